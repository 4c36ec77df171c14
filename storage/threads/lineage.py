"""What depends on a thread: the threads spawned from it, and the histories that start in its rollout. Blocking."""

from collections import defaultdict
from collections.abc import Iterator

from spindle.rpc.lazy_class import frozen
from spindle.storage.home import Home
from spindle.storage.threads.locate import RolloutName, day_folders, locate_all, rollouts_in
from spindle.storage.threads.summary import Head, history_base, parent_of, read_head
from spindle.storage.threads.thread_errors import StoredThreadError, is_passing


@frozen
class Lineage:
    """`descendants` are the ids of spawned threads at all depths, children before their parents.

    `dependants` are the ids of other threads whose rollouts refer to this one's instead of copying it.
    """

    descendants: tuple[str, ...]
    dependants: tuple[str, ...]


def lineage(home: Home, thread_id: str) -> Lineage:
    """Read all threads younger than this one, archived ones included. Raises OSError."""
    children: dict[str, list[str]] = defaultdict(list)
    dependants: list[str] = []
    files = [path for archived in (False, True) for path in locate_all(home, thread_id, archived=archived)]
    names = [name for path in files if (name := RolloutName.parse(path.name)) is not None]
    own = {thread_id} | {name.rollout_id for name in names}
    for head, path in _younger(home, thread_id):
        parent = parent_of(head.source)
        if parent is not None and head.id not in children[parent]:
            children[parent].append(head.id)
        # a fork of a fork may refer to the first fork
        refers = head.forked_from_id is not None and head.id not in dependants and head.id != thread_id
        if refers and history_base(path) in own:
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
            # version 7 ids ascend with time, and a thread's descendants are younger
            if _ordered(name.thread_id) and _ordered(thread_id) and name.thread_id <= thread_id:
                continue
            try:
                yield read_head(path), path
            except (StoredThreadError, OSError) as error:
                if is_passing(error):
                    raise
                continue


def _ordered(thread_id: str) -> bool:
    return thread_id[14:15] == "7"
