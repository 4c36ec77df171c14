"""Sections and the positions of threads in them. Functions of a connection, for `StateStore.read` and `change`.

Positions have large gaps, so most moves write one row. When a gap is used up, the section is renumbered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import orjson
from attrs import evolve, field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.sections import ThreadSection, ThreadSectionAppearance
from spindle.rpc.protocol.shapes import ABSENT, Absent
from spindle.rpc.protocol.threads import Thread

if TYPE_CHECKING:
    import sqlite3

PINNED: Final = "01984de2-8f74-7c91-a3b2-5c5e937cf318"
"""The section that each home has, with the id of Codex 0.169."""

PINNED_SECTION: Final = ThreadSection(PINNED, "Pinned")

DEFAULT_LIMIT: Final = 100
"""The default number of sections on a page."""

_STEP: Final = 1_000_000


class SectionError(Exception):
    """The request about a section is impossible; the message is for clients."""


class NoSection(SectionError):
    """No section has this id."""


@frozen
class Placement:
    """A thread's section, its position (ascending), and when it was added (Unix seconds)."""

    section: ThreadSection
    position: int
    entered_at: int


@frozen
class Placements:
    """All placed threads, in one snapshot, and the project of each thread that has one."""

    by_thread: Mapping[str, Placement] = field(factory=lambda: dict[str, Placement]())
    projects: Mapping[str, str] = field(factory=lambda: dict[str, str]())

    def within(self, section_id: str) -> Sequence[tuple[int, str]]:
        """The positions and ids of a section's threads, in order."""
        return sorted((place.position, id) for id, place in self.by_thread.items() if place.section.id == section_id)

    def show(self, thread: Thread) -> Thread:
        """The thread with its section and its project in it."""
        project = thread.project_id if thread.ephemeral else self.projects.get(thread.id)
        if project != thread.project_id:
            thread = evolve(thread, project_id=project)
        place = self.by_thread.get(thread.id)
        return thread if place is None else evolve(thread, section=place.section, section_entered_at=place.entered_at)


def pinned_only(cursor: str | None) -> list[ThreadSection]:
    """The sections of a home without a state file, in the form of `list_sections`."""
    return [PINNED_SECTION] if (cursor or "") < PINNED else []


def list_sections(connection: sqlite3.Connection, cursor: str | None, limit: int) -> list[ThreadSection]:
    """Up to `limit` sections with ids greater than `cursor`, ascending."""
    rows = connection.execute(
        "SELECT id, name, appearance FROM sections WHERE id > ? ORDER BY id LIMIT ?", (cursor or "", limit)
    )
    return [_section(*row) for row in rows]


def create_section(
    connection: sqlite3.Connection, name: str, appearance: ThreadSectionAppearance | None
) -> ThreadSection:
    """Create a section. Raises SectionError for a blank name."""
    from uuid_utils import uuid7  # lists, which only read, do without it

    section = ThreadSection(str(uuid7()), _name(name), appearance)
    connection.execute("INSERT INTO sections VALUES (?, ?, ?)", (section.id, section.name, _stored(appearance)))
    return section


def update_section(
    connection: sqlite3.Connection, section_id: str, name: str, appearance: ThreadSectionAppearance | Absent | None
) -> ThreadSection:
    """Rename a section and change its appearance, unless it is `ABSENT`. Raises SectionError."""
    name = _name(name)
    if section_id == PINNED:
        raise SectionError("the built-in pinned section cannot be renamed")
    section = _existing(connection, section_id)
    look = section.appearance if appearance is ABSENT else appearance
    connection.execute(
        "UPDATE sections SET name = ?, appearance = ? WHERE id = ?",
        (name, _stored(look), section_id),
    )
    return ThreadSection(section_id, name, look)


def delete_section(connection: sqlite3.Connection, section_id: str) -> None:
    """Delete a section; its threads are kept, without a section. Raises SectionError."""
    if section_id == PINNED:
        raise SectionError("the built-in pinned section cannot be deleted")
    _existing(connection, section_id)
    connection.execute("DELETE FROM sections WHERE id = ?", (section_id,))


def move_thread(
    connection: sqlite3.Connection, thread_id: str, section_id: str | None, before: str | None, now: int
) -> None:
    """Move a thread to the end of a section or before one of its threads; None removes it from its section.

    A thread that stays in its section keeps the time at which it was added. Raises SectionError.
    """
    if section_id is None:
        if before is not None:
            raise SectionError("beforeThreadId requires a non-null sectionId")
        connection.execute("DELETE FROM placements WHERE thread_id = ?", (thread_id,))
        return
    if before == thread_id:
        raise SectionError(f"thread {thread_id} cannot be moved before itself")
    if not connection.execute("SELECT 1 FROM sections WHERE id = ?", (section_id,)).fetchone():
        raise SectionError(f"section {section_id} does not exist")
    here = connection.execute(
        "SELECT entered_at FROM placements WHERE thread_id = ? AND section_id = ?", (thread_id, section_id)
    ).fetchone()
    entered = here[0] if here else now
    connection.execute("DELETE FROM placements WHERE thread_id = ?", (thread_id,))
    position = _end(connection, section_id) if before is None else _gap(connection, section_id, before)
    connection.execute("INSERT INTO placements VALUES (?, ?, ?, ?)", (thread_id, section_id, position, entered))


def placements(connection: sqlite3.Connection, thread_id: str | None = None) -> Placements:
    """All placements and projects of threads, or those of one thread."""
    rows = connection.execute(
        "SELECT thread_id, position, entered_at, id, name, appearance FROM placements"
        " JOIN sections ON id = section_id WHERE ?1 IS NULL OR thread_id = ?1",
        (thread_id,),
    )
    within = connection.execute(
        "SELECT thread_id, project_id FROM memberships WHERE ?1 IS NULL OR thread_id = ?1", (thread_id,)
    )
    placed = {id: Placement(_section(*section), position, at) for id, position, at, *section in rows}
    return Placements(placed, dict(within))


def _end(connection: sqlite3.Connection, section_id: str) -> int:
    (last,) = connection.execute("SELECT max(position) FROM placements WHERE section_id = ?", (section_id,)).fetchone()
    return (last or 0) + _STEP


def _gap(connection: sqlite3.Connection, section_id: str, before: str) -> int:
    for _ in range(2):
        row = connection.execute(
            "SELECT position FROM placements WHERE thread_id = ? AND section_id = ?", (before, section_id)
        ).fetchone()
        if row is None:
            raise SectionError(f"before thread {before} is not in section {section_id}")
        (previous,) = connection.execute(
            "SELECT max(position) FROM placements WHERE section_id = ? AND position < ?", (section_id, row[0])
        ).fetchone()
        position: int = (row[0] + (previous or 0)) // 2
        if position not in (row[0], previous or 0):
            return position
        _renumber(connection, section_id)
    raise AssertionError("renumbering leaves a gap between neighbours")


def _renumber(connection: sqlite3.Connection, section_id: str) -> None:
    rows = connection.execute(
        "SELECT thread_id FROM placements WHERE section_id = ? ORDER BY position", (section_id,)
    ).fetchall()
    # positions must be unique after each statement, so the rows first get unused numbers
    for sign in (-1, 1):
        connection.executemany(
            "UPDATE placements SET position = ? WHERE thread_id = ?",
            [(sign * place * _STEP, id) for place, (id,) in enumerate(rows, 1)],
        )


def _existing(connection: sqlite3.Connection, section_id: str) -> ThreadSection:
    row = connection.execute("SELECT id, name, appearance FROM sections WHERE id = ?", (section_id,)).fetchone()
    if row is None:
        raise NoSection(f"thread section not found: {section_id}")
    return _section(*row)


def _name(name: str) -> str:
    if not name.strip():
        raise SectionError("section name must not be empty")
    return name.strip()


def _stored(appearance: ThreadSectionAppearance | None) -> bytes | None:
    return None if appearance is None else orjson.dumps({"icon": appearance.icon, "color": appearance.color})


def _section(id: str, name: str, appearance: bytes | None) -> ThreadSection:
    look = None if appearance is None else ThreadSectionAppearance(**orjson.loads(appearance))
    return ThreadSection(id, name, look)
