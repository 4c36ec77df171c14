"""Taking away: a whole thread, or the end of its history. From Codex 0.169."""

from typing import ClassVar

from attrs import frozen

from spindle.rpc.protocol.threads import Thread


@frozen
class ThreadDeleteParams:
    """Delete a thread, and those that were spawned from it, for good; loaded ones are closed first."""

    thread_id: str


@frozen
class ThreadDeleteResponse:
    """The thread is gone."""


@frozen
class ThreadDeletedNotification:
    """A thread was deleted."""

    METHOD: ClassVar[str] = "thread/deleted"

    thread_id: str


@frozen
class ThreadRevertParams:
    """Take back a turn and all that follow it; files they changed stay changed."""

    thread_id: str
    before_turn_id: str


@frozen
class ThreadRevertResponse:
    """The thread without turns, and cursors to read what is left from its end."""

    thread: Thread
    turns_backwards_cursor: str | None = None
    items_backwards_cursor: str | None = None


@frozen
class ThreadRevertedNotification:
    """The end of a thread's history was taken back."""

    METHOD: ClassVar[str] = "thread/reverted"

    thread_id: str
