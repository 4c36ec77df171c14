"""Read states: from where on a thread holds something its user has not seen. From Codex 0.169."""

from typing import Annotated, ClassVar, Literal, TypeAlias

from attrs import field, frozen

from spindle.rpc.protocol.shapes import Tagged


@frozen
class UnreadFromStart:
    """Nothing of the thread is read."""

    type: Literal["threadStart"] = field(default="threadStart", init=False)


@frozen
class UnreadFromTurn:
    """This turn and what follows is not read."""

    type: Literal["turn"] = field(default="turn", init=False)
    turn_id: str


ThreadUnreadPosition: TypeAlias = Annotated[UnreadFromStart | UnreadFromTurn, Tagged("ThreadUnreadPosition")]


@frozen
class ThreadReadState:
    """The first unread position, None where all is read. `revision` changes with every turn and every mark."""

    first_unread: ThreadUnreadPosition | None
    revision: str


@frozen
class MarkRead:
    """All is read."""

    type: Literal["read"] = field(default="read", init=False)


@frozen
class MarkUnread:
    """The last turn is unread again."""

    type: Literal["unread"] = field(default="unread", init=False)


ThreadReadStateOperation: TypeAlias = Annotated[MarkRead | MarkUnread, Tagged("ThreadReadStateOperation")]


@frozen
class ThreadReadStateUpdateParams:
    """Mark a thread; refused if its state is not the one the user saw."""

    thread_id: str
    operation: ThreadReadStateOperation
    expected_revision: str


@frozen
class ThreadReadStateUpdateResponse:
    """The state as it is now."""

    read_state: ThreadReadState


@frozen
class ReadStateConflict:
    """The `data` of the error that a mark with an old revision gets."""

    reason: Literal["readStateConflict"] = field(default="readStateConflict", init=False)
    read_state: ThreadReadState


@frozen
class ThreadReadStateChangedNotification:
    """A turn has ended, or somebody has marked the thread."""

    METHOD: ClassVar[str] = "thread/readState/changed"

    thread_id: str
    read_state: ThreadReadState
