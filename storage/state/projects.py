"""Projects, and the threads in them. Functions of a connection, for `StateStore.read` and `change`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson
from attrs import evolve
from uuid_utils import uuid7

from spindle.rpc.protocol.projects import Project, ProjectRoot

if TYPE_CHECKING:
    import sqlite3

LARGEST: Final = 1 << 20
"""The most bytes of a project's name, roots and metadata."""
MOST: Final = 10_000
"""How many projects a home may have."""

_COLUMNS: Final = "SELECT id, name, roots, metadata, created_at, updated_at FROM projects"


class ProjectError(Exception):
    """The request about a project is impossible; the message is for clients."""


def list_projects(connection: sqlite3.Connection) -> list[Project]:
    """All projects in the user's order, without `recency_at`."""
    return [_project(*row) for row in connection.execute(f"{_COLUMNS} ORDER BY position, id")]


def read_project(connection: sqlite3.Connection, id: str) -> Project:
    """A project. Raises ProjectError."""
    row = connection.execute(f"{_COLUMNS} WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise ProjectError(f"project not found: {id}")
    return _project(*row)


def create_project(
    connection: sqlite3.Connection,
    key: str,
    name: str,
    roots: Sequence[ProjectRoot],
    metadata: Mapping[str, str],
    now: int,
) -> tuple[Project, bool]:
    """The project that was created with `key`, and whether that is a new one. Raises ProjectError."""
    if not key:
        raise ProjectError("idempotencyKey must not be empty")
    new = Project(
        id=str(uuid7()), name=_name(name), roots=_roots(roots), metadata=metadata, created_at=now, updated_at=now
    )
    known = connection.execute("SELECT project_id FROM project_keys WHERE key = ?", (key,)).fetchone()
    if known is not None:
        if not connection.execute("SELECT 1 FROM projects WHERE id = ?", known).fetchone():
            raise ProjectError(f"idempotency key refers to deleted project: {key}")
        return read_project(connection, known[0]), False
    count, last = connection.execute("SELECT count(*), max(position) FROM projects").fetchone()
    if count >= MOST:
        raise ProjectError(f"a home has at most {MOST} projects")
    connection.execute("INSERT INTO project_keys VALUES (?, ?)", (key, new.id))
    connection.execute(
        "INSERT INTO projects (id, name, roots, metadata, position, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (new.id, *_stored(new), (last or 0) + 1, now, now),
    )
    return new, True


def update_project(
    connection: sqlite3.Connection,
    id: str,
    name: str | None,
    roots: Sequence[ProjectRoot] | None,
    metadata: Mapping[str, str] | None,
    now: int,
) -> tuple[Project, bool]:
    """The project after the change, and whether it has changed. Raises ProjectError."""
    before = read_project(connection, id)
    given: dict[str, Any] = {} if name is None else {"name": _name(name)}
    given |= {} if roots is None else {"roots": _roots(roots)}
    given |= {} if metadata is None else {"metadata": metadata}
    after = evolve(before, **given)
    if after == before:
        return before, False
    after = evolve(after, updated_at=now)
    connection.execute(
        "UPDATE projects SET name = ?, roots = ?, metadata = ?, updated_at = ? WHERE id = ?", (*_stored(after), now, id)
    )
    return after, True


def move_project(connection: sqlite3.Connection, id: str, before: str | None) -> None:
    """Move a project before another one, or to the end. Raises ProjectError."""
    order = [each for (each,) in connection.execute("SELECT id FROM projects ORDER BY position, id")]
    if id not in order:
        raise ProjectError(f"project not found: {id}")
    if before == id:
        raise ProjectError(f"project {id} cannot be moved before itself")
    if before is not None and before not in order:
        raise ProjectError(f"before project not found: {before}")
    order.remove(id)
    order.insert(len(order) if before is None else order.index(before), id)
    connection.executemany("UPDATE projects SET position = ? WHERE id = ?", list(enumerate(order, 1)))


def delete_project(connection: sqlite3.Connection, id: str) -> list[str]:
    """Delete a project; returns the threads that were in it. Its key stays used. Raises ProjectError."""
    read_project(connection, id)
    threads = members(connection, id)
    connection.execute("DELETE FROM projects WHERE id = ?", (id,))
    return sorted(threads)


def members(connection: sqlite3.Connection, id: str) -> frozenset[str]:
    """The threads of a project."""
    rows = connection.execute("SELECT thread_id FROM memberships WHERE project_id = ?", (id,))
    return frozenset(thread for (thread,) in rows)


def assign(connection: sqlite3.Connection, thread_id: str, project_id: str | None) -> bool:
    """Put a thread into a project, or out of its project; False if nothing changes. Raises ProjectError."""
    if project_id is None:
        return connection.execute("DELETE FROM memberships WHERE thread_id = ?", (thread_id,)).rowcount > 0
    read_project(connection, project_id)
    now = connection.execute("SELECT project_id FROM memberships WHERE thread_id = ?", (thread_id,)).fetchone()
    if now == (project_id,):
        return False
    connection.execute("INSERT OR REPLACE INTO memberships VALUES (?, ?)", (thread_id, project_id))
    return True


def copy_membership(connection: sqlite3.Connection, source: str, fork: str) -> str | None:
    """Put a fork into its source's project, which is returned; None without one."""
    row = connection.execute("SELECT project_id FROM memberships WHERE thread_id = ?", (source,)).fetchone()
    if row is None:
        return None
    connection.execute("INSERT OR REPLACE INTO memberships VALUES (?, ?)", (fork, row[0]))
    return str(row[0])


def _name(name: str) -> str:
    if not name.strip():
        raise ProjectError("project name must not be empty")
    return name.strip()


def _roots(roots: Sequence[ProjectRoot]) -> Sequence[ProjectRoot]:
    paths: dict[str, None] = {}
    for root in roots:
        path = os.path.normpath(root.path)
        if path in paths:
            raise ProjectError(f"duplicate project root: {path}")
        paths[path] = None
    return [ProjectRoot(path) for path in paths]


def _stored(project: Project) -> tuple[str, bytes, bytes]:
    roots, metadata = orjson.dumps([root.path for root in project.roots]), orjson.dumps(dict(project.metadata))
    if len(project.name.encode()) + len(roots) + len(metadata) > LARGEST:
        raise ProjectError(f"a project must not exceed {LARGEST} bytes")
    return project.name, roots, metadata


def _project(id: str, name: str, roots: bytes, metadata: bytes, created_at: int, updated_at: int) -> Project:
    return Project(
        id=id,
        name=name,
        roots=[ProjectRoot(path) for path in orjson.loads(roots)],
        metadata=orjson.loads(metadata),
        created_at=created_at,
        updated_at=updated_at,
    )
