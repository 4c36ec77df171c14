"""The queue of a thread: submissions that become turns one after the other. From Codex 0.171."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.shapes import U32
from spindle.rpc.protocol.turns import Turn
from spindle.rpc.protocol.user_input import UserInput
from spindle.rpc.protocol.wire import Notification


@frozen(kw_only=True)
class QueuedSubmission:
    """One entry. `id` is a UUIDv7, `client_user_message_id` the client's own name for it, which need not be unique."""

    id: str
    input: Sequence[UserInput]
    client_user_message_id: str
    responsesapi_client_metadata: Mapping[str, str] | None = None


@frozen(kw_only=True)
class ThreadQueueAddParams:
    """Put input at the end of the queue."""

    thread_id: str
    input: Sequence[UserInput]
    client_user_message_id: str
    responsesapi_client_metadata: Mapping[str, str] | None = None


@frozen
class ThreadQueueAddResponse:
    """The new entry."""

    queued_submission: QueuedSubmission


@frozen
class ThreadQueueListParams:
    """Page through the queue, the next entry first."""

    thread_id: str
    cursor: str | None = None
    limit: U32 | None = None


@frozen
class ThreadQueueListResponse:
    """One page."""

    data: Sequence[QueuedSubmission]
    next_cursor: str | None = None


@frozen(kw_only=True)
class ThreadQueueUpdateParams:
    """Replace the input of an entry. Metadata that is None or empty keeps the entry's metadata."""

    thread_id: str
    queued_submission_id: str
    input: Sequence[UserInput]
    responsesapi_client_metadata: Mapping[str, str] | None = None


@frozen
class ThreadQueueUpdateResponse:
    """The changed entry."""

    queued_submission: QueuedSubmission


@frozen
class ThreadQueueDeleteParams:
    """Remove an entry."""

    thread_id: str
    queued_submission_id: str


@frozen
class ThreadQueueDeleteResponse:
    """Whether there was such an entry."""

    deleted: bool


@frozen
class ThreadQueueReorderParams:
    """Bring the queue into another order. The ids are those of all entries, each once."""

    thread_id: str
    queued_submission_ids: Sequence[str]


@frozen
class ThreadQueueReorderResponse:
    """The queue has the new order."""


@frozen
class ThreadQueueStartParams:
    """Make a turn of an entry now, of the next one if no id is given. A paused queue goes on after it."""

    thread_id: str
    queued_submission_id: str | None = None


@frozen
class ThreadQueueStartResponse:
    """The new turn."""

    turn: Turn


@frozen
class ThreadQueueChangedNotification(Notification):
    """Entries were added, changed, removed or moved, or one has become a turn."""

    METHOD: ClassVar[str] = "thread/queue/changed"

    thread_id: str
