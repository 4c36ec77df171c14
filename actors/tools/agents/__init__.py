"""Sub-agents as tools: threads that a thread's model starts, feeds, waits for and closes."""
