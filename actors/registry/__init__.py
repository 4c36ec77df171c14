"""The registry: which threads are loaded, and what is done to those that are not."""
