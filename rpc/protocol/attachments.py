"""Attachments: JSON that clients keep with a thread, by type and identity. From Codex 0.171. Times are Unix seconds."""

from collections.abc import Sequence
from typing import ClassVar, Literal, TypeAlias

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.shapes import U32
from spindle.rpc.protocol.wire import Notification

ThreadAttachmentAddOutcome: TypeAlias = Literal["created", "existing"]
ThreadAttachmentOperation: TypeAlias = Literal["created", "deleted"]


@frozen
class ThreadAttachment:
    """An attachment. A thread has one of a type and an identity; `payload` is any JSON."""

    id: str
    attachment_type: str
    identity_key: str
    payload: object
    created_at: int


@frozen
class ThreadAttachmentAddParams:
    """Attach something to a thread. One with the same type and identity stays as it is."""

    thread_id: str
    attachment_type: str
    identity_key: str
    payload: object


@frozen
class ThreadAttachmentAddResponse:
    """The attachment, and whether it is new."""

    outcome: ThreadAttachmentAddOutcome
    attachment: ThreadAttachment


@frozen
class ThreadAttachmentListParams:
    """Page through the attachments of a thread, oldest first."""

    thread_id: str
    cursor: str | None = None
    limit: U32 | None = None


@frozen
class ThreadAttachmentListResponse:
    """One page."""

    data: Sequence[ThreadAttachment]
    next_cursor: str | None = None


@frozen
class ThreadAttachmentOwner:
    """A thread with an attachment."""

    thread_id: str
    archived: bool


@frozen
class ThreadAttachmentOwnerListParams:
    """Page through the threads that have an attachment. `archived` None means all of them."""

    attachment_type: str
    identity_key: str
    archived: bool | None = None
    cursor: str | None = None
    limit: U32 | None = None


@frozen
class ThreadAttachmentOwnerListResponse:
    """One page."""

    data: Sequence[ThreadAttachmentOwner]
    next_cursor: str | None = None


@frozen
class ThreadAttachmentRemoveParams:
    """Remove an attachment, if the thread has it."""

    thread_id: str
    attachment_type: str
    identity_key: str


@frozen
class ThreadAttachmentRemoveResponse:
    """The thread has no such attachment."""


@frozen
class ThreadAttachmentUpdatedNotification(Notification):
    """An attachment was created or deleted."""

    METHOD: ClassVar[str] = "thread/attachment/updated"

    thread_id: str
    attachment_type: str
    identity_key: str
    attachment_id: str
    operation: ThreadAttachmentOperation
