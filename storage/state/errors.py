"""What can be wrong with the state as a whole."""


class StateUnavailable(Exception):
    """The state can be neither read nor kept now; the message says why and names the file."""
