"""The thread: the actor that owns a conversation's settings, history, journal, running turn and subscribers."""
