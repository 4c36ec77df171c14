"""The ways to load a thread: new, from its rollout, from a history, as a fork, as an agent."""
