"""List threads from the files, while there is no index.

A page costs what it shows. By creation, day folders are read one after the other, and only the heads of files that may
be on the page. By change, every file's time has to be asked for, but again only the heads of a page are read.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from spindle.storage.home import Home
from spindle.storage.threads.locate import Segments, day_folders, rollouts_in
from spindle.storage.threads.names import read_names
from spindle.storage.threads.query import Cursor, ListPosition, ThreadPage, ThreadQuery, page_of, wanted
from spindle.storage.threads.summary import Head, parent_of, read_head, summarize, with_later_git
from spindle.storage.threads.thread_errors import StoredThreadError, is_passing


class TooMuchToRead(Exception):
    """The page would need more heads than allowed."""


def list_threads(home: Home, query: ThreadQuery, heads: int | None = None) -> ThreadPage:
    """One page of stored threads. An unchanged thread is on exactly one page, even if threads have equal times.

    Files that cannot be read as a thread, and threads without a user message, are skipped. `heads` limits how many
    files are opened. Raises InvalidCursor, TooMuchToRead, OSError if the folders cannot be read, or for errors that are
    not a file's own.
    """
    cursor, newest_first = query.after, query.newest_first
    family: Collection[str] | None = None
    if query.ancestor_thread_id is not None:
        if heads is not None:
            raise TooMuchToRead
        family = _descendants(home, query.ancestor_thread_id)
    names: Mapping[str, str] = read_names(home) if query.search_term else {}
    found: list[tuple[ListPosition, Head, Path, int]] = []
    more = False
    segments = Segments(home, archived=query.archived)
    read = 0
    for place, path in (_by_change if query.by_change else _by_creation)(home, query.archived, newest_first, cursor):
        id = place.thread_id
        if cursor is not None and not cursor.precedes(place, newest_first):
            continue
        if id in query.excluded_ids or (query.only_ids is not None and id not in query.only_ids):
            continue
        if family is not None and id not in family:
            continue
        if heads is not None and read >= heads:
            raise TooMuchToRead
        read += 1
        try:
            stat = os.stat(path)
            head = read_head(path)
        except (StoredThreadError, OSError) as error:
            if is_passing(error):
                raise
            continue
        if not wanted(head, names.get(head.id), query):
            continue
        if head.history_mode == "paginated" and segments.supersede(path):
            continue
        if len(found) == query.rows:
            more = True
            break
        found.append((place, with_later_git(head, Path(path), stat.st_size), Path(path), stat.st_mtime_ns))
    if not query.search_term:
        names = read_names(home, {head.id for _, head, _, _ in found})
    rows = [
        (place, summarize(head, path, mtime_ns, names.get(head.id), query.default_provider))
        for place, head, path, mtime_ns in found
    ]
    return page_of(rows, more=more)


def _descendants(home: Home, ancestor: str) -> Collection[str]:
    spawned: dict[str, list[str]] = {}
    for folder in (home.archived_sessions, *day_folders(home.sessions, newest_first=True)):
        for name, path in rollouts_in(folder):
            try:
                parent = parent_of(read_head(path).source)
            except (StoredThreadError, OSError) as error:
                if is_passing(error):
                    raise
                continue
            if parent is not None:
                spawned.setdefault(parent, []).append(name.thread_id)
    found: set[str] = set()
    to_do = [ancestor]
    while to_do:
        children = set(spawned.get(to_do.pop(), ())) - found
        found |= children
        to_do += children
    return found - {ancestor}


def _by_creation(
    home: Home, archived: bool, newest_first: bool, cursor: Cursor | None
) -> Iterator[tuple[ListPosition, str]]:
    folders = [home.archived_sessions] if archived else day_folders(home.sessions, newest_first=newest_first)
    border = (
        None if cursor is None or archived else datetime.fromtimestamp(cursor.millis / 1000, UTC).strftime("%Y%m%d")
    )
    for folder in folders:
        if border is not None:
            day = "".join(folder.parts[-3:])
            if day > border if newest_first else day < border:
                continue
        found: list[tuple[ListPosition, str]] = []
        for name, path in rollouts_in(folder):
            try:
                found.append((ListPosition(name.millis, name.thread_id), path))
            except ValueError:
                continue
        yield from sorted(found, reverse=newest_first)


def _by_change(home: Home, archived: bool, newest_first: bool, cursor: Cursor | None) -> Iterator[tuple[ListPosition, str]]:
    folders = [home.archived_sessions] if archived else day_folders(home.sessions, newest_first=newest_first)
    found: list[tuple[ListPosition, str]] = []
    for folder in folders:
        for name, path in rollouts_in(folder):
            try:
                changed = os.stat(path).st_mtime_ns // 1_000_000
            except OSError as error:
                if is_passing(error):
                    raise
                continue
            place = ListPosition(changed, name.thread_id)
            if cursor is None or cursor.precedes(place, newest_first):
                found.append((place, path))
    return iter(sorted(found, reverse=newest_first))
