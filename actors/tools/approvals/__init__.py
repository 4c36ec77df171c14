"""Asking the user whether something may be done, and remembering what was answered for longer than once."""
