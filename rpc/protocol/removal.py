"""Delete a thread, or revert the end of its history. From Codex 0.169."""

from typing import ClassVar

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.threads import Thread
from spindle.rpc.protocol.wire import Notification


@frozen
class ThreadDeleteParams:
    """Delete a thread and all threads spawned from it. Loaded ones are closed first."""

    thread_id: str


@frozen
class ThreadDeleteResponse:
    """The thread was deleted."""


@frozen
class ThreadDeletedNotification(Notification):
    """A thread was deleted."""

    METHOD: ClassVar[str] = "thread/deleted"

    thread_id: str


@frozen
class ThreadRevertParams:
    """Remove a turn and all turns after it from the history. Changes to files are kept."""

    thread_id: str
    before_turn_id: str


@frozen
class ThreadRevertResponse:
    """The thread without turns, and cursors to page backwards through the rest."""

    thread: Thread
    turns_backwards_cursor: str | None = None
    items_backwards_cursor: str | None = None


@frozen
class ThreadRevertedNotification(Notification):
    """The end of a thread's history was reverted."""

    METHOD: ClassVar[str] = "thread/reverted"

    thread_id: str
