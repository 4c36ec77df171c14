"""Hooks: the programs of the user's that a turn calls, and what their answers do to it."""
