"""Sections: the user's ordered groups of threads. From Codex 0.169."""

from collections.abc import Sequence
from typing import ClassVar

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.shapes import ABSENT, U32, Absent
from spindle.rpc.protocol.wire import Notification


@frozen
class ThreadSectionAppearance:
    """How clients draw a section; any strings."""

    icon: str | None = None
    color: str | None = None


@frozen
class ThreadSection:
    """A section. `id` is a UUIDv7; renaming keeps it."""

    id: str
    name: str
    appearance: ThreadSectionAppearance | None = None


@frozen
class ThreadSectionCreateParams:
    """Create a section. Blanks around the name are removed; names need not be unique."""

    name: str
    appearance: ThreadSectionAppearance | None = None


@frozen
class ThreadSectionCreateResponse:
    """The new section."""

    section: ThreadSection


@frozen
class ThreadSectionListParams:
    """Page through the sections in the order of creation; the cursor is the last id of the previous page."""

    cursor: str | None = None
    limit: U32 | None = None


@frozen
class ThreadSectionListResponse:
    """One page."""

    data: Sequence[ThreadSection]
    next_cursor: str | None = None


@frozen
class ThreadSectionUpdateParams:
    """Rename a section; None clears the appearance, `ABSENT` keeps it."""

    section_id: str
    name: str
    appearance: ThreadSectionAppearance | Absent | None = ABSENT


@frozen
class ThreadSectionUpdateResponse:
    """The changed section."""

    section: ThreadSection


@frozen
class ThreadSectionDeleteParams:
    """Delete a section. Its threads are kept, without a section."""

    section_id: str


@frozen
class ThreadSectionDeleteResponse:
    """The section was deleted."""


@frozen
class ThreadSectionMoveParams:
    """Move a thread into a section, at its end or before another thread; `section_id` None removes it from its section."""

    thread_id: str
    section_id: str | None
    before_thread_id: str | None = None


@frozen
class ThreadSectionMoveResponse:
    """The thread was moved."""


@frozen
class ThreadSectionChangedNotification(Notification):
    """A thread was moved into, within, or out of a section."""

    METHOD: ClassVar[str] = "thread/section/changed"

    thread_id: str
    section_id: str | None
