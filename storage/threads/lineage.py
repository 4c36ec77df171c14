"""What hangs on a thread: the threads spawned from it, and the histories that begin in its rollout. Blocks on the disk."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, cast

from attrs import frozen

from spindle.storage.home import Home
from spindle.storage.rollout.lines import decode_line
from spindle.storage.rollout.regular import regular
from spindle.storage.threads.errors import StoredThreadError
from spindle.storage.threads.locate import day_folders, rollouts_in
from spindle.storage.threads.summary import Head, parent_of, read_head


@frozen
class Lineage:
    """`descendants` are the ids of spawned threads at any depth, children before their parents.

    `dependants` are those of other threads whose rollouts do not repeat what they took over but refer to this one's.
    """

    descendants: tuple[str, ...]
    dependants: tuple[str, ...]


def lineage(home: Home, thread_id: str) -> Lineage:
    """Look at every thread that is younger than this one, archived ones too. Raises OSError."""
    children: dict[str, list[str]] = defaultdict(list)
    dependants: list[str] = []
    for head, path in _younger(home, thread_id):
        if (parent := parent_of(head.source)) is not None:
            children[parent].append(head.id)
        if head.forked_from_id == thread_id and _refers_to(path, thread_id):
            dependants.append(head.id)
    found: list[str] = []
    todo = [thread_id]
    while todo:
        for child in children.pop(todo.pop(), ()):
            found.append(child)
            todo.append(child)
    return Lineage(tuple(reversed(found)), tuple(dependants))


def _younger(home: Home, thread_id: str) -> Iterator[tuple[Head, str]]:
    for folder in (*day_folders(home.sessions, newest_first=True), home.archived_sessions):
        for name, path in rollouts_in(folder):
            # version 7 ids ascend with time, and nothing can descend from what comes after it
            if _ordered(name.thread_id) and _ordered(thread_id) and name.thread_id <= thread_id:
                continue
            try:
                yield read_head(path), path
            except (StoredThreadError, OSError):
                continue


def _ordered(thread_id: str) -> bool:
    return thread_id[14:15] == "7"


def _refers_to(path: str, thread_id: str) -> bool:
    with open(path, "rb", opener=regular) as file:
        line = decode_line(file.readline())
    base: Any = None if line is None else line.payload.get("history_base")
    return isinstance(base, dict) and cast("dict[str, object]", base).get("thread_id") == thread_id
