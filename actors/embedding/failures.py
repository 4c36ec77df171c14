"""The errors of the embedding interface, except refused requests (`RpcError`). Each is an `Error`."""

from __future__ import annotations

from spindle.rpc.protocol.errors import Error
from spindle.rpc.protocol.turns import Turn


class SubscriberLagged(Error):
    """The stream was not read as fast as the thread produced events, and some are lost. Open another stream to go on."""


class ThreadClosed(Error):
    """The thread has ended, or the handle's block has. `id` is the thread's."""

    def __init__(self, id: str) -> None:
        super().__init__(f"thread {id} is closed, or the block of this handle has ended")
        self.id = id


class TurnFailed(Error):
    """The turn failed. `turn` is the turn as it ended, with its error."""

    def __init__(self, turn: Turn) -> None:
        super().__init__(turn.error.message if turn.error else "the turn failed")
        self.turn = turn


class TurnInterrupted(Error):
    """The turn was interrupted. `turn` is the turn as it was recorded."""

    def __init__(self, turn: Turn) -> None:
        super().__init__("the turn was interrupted")
        self.turn = turn


class InvalidOption(Error, ValueError):
    """An option of a thread or a turn has a value that is not allowed. `option` is its name, `reason` says what is allowed."""

    def __init__(self, option: str, reason: str) -> None:
        super().__init__(f"{option}: {reason}")
        self.option = option
        self.reason = reason
