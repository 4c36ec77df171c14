"""Boundaries around tasks, so that the failure of one does not end another; and limits on worker threads."""
