"""Read states: the first turn of a thread that its user has not read. From Codex 0.169."""

from typing import Annotated, ClassVar, Literal, TypeAlias

from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.shapes import Tagged
from spindle.rpc.protocol.wire import Notification


@frozen
class UnreadFromStart:
    """The whole thread is unread."""

    type: Literal["threadStart"] = field(default="threadStart", init=False)


@frozen
class UnreadFromTurn:
    """This turn and the turns after it are unread."""

    type: Literal["turn"] = field(default="turn", init=False)
    turn_id: str


ThreadUnreadPosition: TypeAlias = Annotated[UnreadFromStart | UnreadFromTurn, Tagged("ThreadUnreadPosition")]


@frozen
class ThreadReadState:
    """The first unread position, None if all is read. `revision` changes with each turn and each mark."""

    first_unread: ThreadUnreadPosition | None
    revision: str


@frozen
class MarkRead:
    """Mark all as read."""

    type: Literal["read"] = field(default="read", init=False)


@frozen
class MarkUnread:
    """Mark the last turn as unread."""

    type: Literal["unread"] = field(default="unread", init=False)


ThreadReadStateOperation: TypeAlias = Annotated[MarkRead | MarkUnread, Tagged("ThreadReadStateOperation")]


@frozen
class ThreadReadStateUpdateParams:
    """Mark a thread; refused if its revision is not the expected one."""

    thread_id: str
    operation: ThreadReadStateOperation
    expected_revision: str


@frozen
class ThreadReadStateUpdateResponse:
    """The new state."""

    read_state: ThreadReadState


@frozen
class ReadStateConflict:
    """The `data` of the error for a mark with an old revision."""

    reason: Literal["readStateConflict"] = field(default="readStateConflict", init=False)
    read_state: ThreadReadState


@frozen
class ThreadReadStateChangedNotification(Notification):
    """The state changed: a turn ended, or a client marked the thread."""

    METHOD: ClassVar[str] = "thread/readState/changed"

    thread_id: str
    read_state: ThreadReadState
