"""Sections: the user's own ordered groups of threads, beside the time order of every list. From Codex 0.169."""

from collections.abc import Sequence
from typing import ClassVar

from attrs import frozen

from spindle.rpc.protocol.shapes import ABSENT, U32, Absent


@frozen
class ThreadSectionAppearance:
    """How clients draw a section; any words."""

    icon: str | None = None
    color: str | None = None


@frozen
class ThreadSection:
    """A section. `id` is a UUIDv7 and stays when the section is renamed."""

    id: str
    name: str
    appearance: ThreadSectionAppearance | None = None


@frozen
class ThreadSectionCreateParams:
    """Make a section; surrounding blanks of the name are dropped, and names need not be unique."""

    name: str
    appearance: ThreadSectionAppearance | None = None


@frozen
class ThreadSectionCreateResponse:
    """The new section."""

    section: ThreadSection


@frozen
class ThreadSectionListParams:
    """Page through the sections in the order of their making; the cursor is the last id of the page before."""

    cursor: str | None = None
    limit: U32 | None = None


@frozen
class ThreadSectionListResponse:
    """One page."""

    data: Sequence[ThreadSection]
    next_cursor: str | None = None


@frozen
class ThreadSectionUpdateParams:
    """Rename a section; None clears the appearance, `ABSENT` leaves it."""

    section_id: str
    name: str
    appearance: ThreadSectionAppearance | Absent | None = ABSENT


@frozen
class ThreadSectionUpdateResponse:
    """The section as it is now."""

    section: ThreadSection


@frozen
class ThreadSectionDeleteParams:
    """Remove a section; its threads stay, in no section."""

    section_id: str


@frozen
class ThreadSectionDeleteResponse:
    """The section is gone."""


@frozen
class ThreadSectionMoveParams:
    """Put a thread into a section, at its end or before another; `section_id` None takes it out of its section."""

    thread_id: str
    section_id: str | None
    before_thread_id: str | None = None


@frozen
class ThreadSectionMoveResponse:
    """The thread has its place."""


@frozen
class ThreadSectionChangedNotification:
    """A thread was moved into, within or out of a section."""

    METHOD: ClassVar[str] = "thread/section/changed"

    thread_id: str
    section_id: str | None
