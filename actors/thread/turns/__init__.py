"""The turns of a thread: the queue, the task of one turn, and what a turn sees of its thread."""
