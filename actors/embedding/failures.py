"""What goes wrong for an application, beside the requests that are refused (`RpcError`). All of it is an `Error`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle.rpc.protocol.errors import Error
from spindle.rpc.protocol.turns import Turn

if TYPE_CHECKING:
    from spindle.actors.embedding.approvals import ApprovalQuestion


class SubscriberLagged(Error):
    """The events were not taken as fast as the thread produced them, and some are lost; open another stream to go on."""


class ThreadClosed(Error):
    """The thread has ended, or the block that the handle belongs to; `id` is the thread's."""

    def __init__(self, id: str) -> None:
        super().__init__(f"thread {id} is closed, or the block of this handle has ended")
        self.id = id


class TurnFailed(Error):
    """The turn ended as failed; `turn` is how, with its error."""

    def __init__(self, turn: Turn) -> None:
        super().__init__(turn.error.message if turn.error else "the turn failed")
        self.turn = turn


class TurnInterrupted(Error):
    """The turn was interrupted before it was done; `turn` is how it was recorded."""

    def __init__(self, turn: Turn) -> None:
        super().__init__("the turn was interrupted")
        self.turn = turn


class ApprovalRequired(Error):
    """The agent asked for what nobody here answers, and it was declined. `subject` says for what: a command, files, a tool.

    `question` is the question itself. Pass `approve` to `start_thread`, or iterate a `turn` and answer there.
    """

    def __init__(self, question: ApprovalQuestion, subject: str) -> None:
        super().__init__(f"nobody answers questions here, and this one was declined: {subject}")
        self.question = question
        self.subject = subject
