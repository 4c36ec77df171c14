"""Select a page of threads: a `ThreadQuery` as SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

import orjson

from spindle.storage.index.rows import ACTIVE, ARCHIVED, mask
from spindle.storage.threads.query import ThreadQuery

_FEW = 2000
"""A search compares at most so many candidates one by one; with more, walking the order soon fills a page."""

_TRIGRAMS = 24
"""The most trigrams of a term that are looked up; comparing decides the rest."""

_DESCENDANTS = (
    "t.thread_id IN (WITH RECURSIVE d(id) AS (SELECT thread_id FROM threads WHERE parent = ? "
    "UNION SELECT c.thread_id FROM threads c JOIN d ON c.parent = d.id) SELECT id FROM d)"
)
_MATCHES = "(instr(t.preview, ?) OR t.thread_id IN (SELECT thread_id FROM names WHERE instr(name, ?)))"


def select(db: sqlite3.Connection, query: ThreadQuery, count: int) -> list[int]:
    """Ids of the first `count` rows that pass, in order. Raises InvalidCursor."""
    order = "changed" if query.by_change else "created"
    where, values = _filters(query, order)
    source = "threads t"
    # Otherwise SQLite might walk the order, which is slow when few rows pass.
    sorted_by = f"t.{order}"
    if query.search_term:
        where.append(_MATCHES)
        values += [query.search_term, query.search_term]
        few = _candidates(db, query.search_term)
        if few is not None:
            source = "json_each(?) j CROSS JOIN threads t ON t.id = j.value"
            values.insert(0, orjson.dumps(few).decode())
            sorted_by = f"+t.{order}"
    direction = "DESC" if query.newest_first else "ASC"
    sql = (
        f"SELECT t.id FROM {source} WHERE {' AND '.join(where)} "
        f"ORDER BY {sorted_by} {direction}, t.thread_id {direction} LIMIT ?"
    )
    return [id for (id,) in db.execute(sql, (*values, count))]


def recent(db: sqlite3.Connection, shelf: int, column: str, count: int) -> list[int]:
    """Ids of the `count` newest rows of a shelf."""
    return [
        id
        for (id,) in db.execute(f"SELECT id FROM threads WHERE shelf = ? ORDER BY {column} DESC LIMIT ?", (shelf, count))
    ]


def _filters(query: ThreadQuery, order: str) -> tuple[list[str], list[object]]:
    where: list[str] = ["t.shelf = ?", "t.kinds & ?"]
    values: list[object] = [ARCHIVED if query.archived else ACTIVE, mask(query.kinds)]
    if (cursor := query.after) is not None:
        compared = "<" if query.newest_first else ">"
        if cursor.thread_id is None:
            where.append(f"t.{order} {compared} ?")
            values.append(cursor.millis)
        else:
            where.append(f"(t.{order}, t.thread_id) {compared}{'=' if cursor.inclusive else ''} (?, ?)")
            values += [cursor.millis, cursor.thread_id]
    if query.providers:
        where.append(f"coalesce(t.provider, ?) IN {_in(query.providers)}")
        values += [query.default_provider, *query.providers]
    if query.cwd is not None:
        where.append(f"t.cwd IN {_in(query.cwd)}")
        values += query.cwd
    if query.excluded_ids:
        where.append("t.thread_id NOT IN (SELECT value FROM json_each(?))")
        values.append(orjson.dumps(list(query.excluded_ids)).decode())
    if query.only_ids is not None:
        where.append("t.thread_id IN (SELECT value FROM json_each(?))")
        values.append(orjson.dumps(list(query.only_ids)).decode())
    if query.parent_thread_id is not None:
        where.append("t.parent = ?")
        values.append(query.parent_thread_id)
    if query.ancestor_thread_id is not None:
        where.append(f"t.thread_id != ? AND {_DESCENDANTS}")
        values += [query.ancestor_thread_id, query.ancestor_thread_id]
    return where, values


def _in(values: Collection[object]) -> str:
    return f"({', '.join('?' * len(values))})"


def _candidates(db: sqlite3.Connection, term: str) -> list[int] | None:
    """The only rows that may contain the term, or None if they are too many."""
    if len(term) < 3 or "\0" in term or not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'search'").fetchone():
        return None
    starts = range(len(term) - 2)
    if len(starts) > _TRIGRAMS:
        starts = range(0, len(term) - 2, -(-len(starts) // _TRIGRAMS))
    quoted = " AND ".join('"' + term[at : at + 3].replace('"', '""') + '"' for at in starts)
    found = [id for (id,) in db.execute("SELECT rowid FROM search WHERE search MATCH ? LIMIT ?", (quoted, _FEW + 1))]
    found += [id for (id,) in db.execute("SELECT id FROM threads WHERE long AND instr(preview, ?)", (term,))]
    named = (
        "SELECT t.id FROM names n CROSS JOIN threads t ON t.thread_id = n.thread_id WHERE instr(n.name, ?) LIMIT ?"
    )
    found += [id for (id,) in db.execute(named, (term, _FEW + 1))]
    return list(dict.fromkeys(found)) if len(found) <= _FEW else None
