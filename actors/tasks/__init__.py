"""Boundaries around tasks, so that one failing task does not end another; and limits on worker threads."""
