"""The error of a state file that cannot be used."""


class StateUnavailable(Exception):
    """The state cannot be read or written now. The message says why and names the file."""
