"""Revert a "paginated" thread: it continues in a new file, whose first line refers to a part of an older one.

The format is that of Codex 0.169: `history_base` in the session_meta has the older file's rollout id, and the number of
its bytes and lines that come first. Older files are not changed.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from uuid_utils import uuid7

from spindle.rpc.lazy_class import frozen
from spindle.storage.home import Home
from spindle.storage.rollout.fork import Segment, cut, segments, write_fork
from spindle.storage.rollout.lines import decode_line, stamp
from spindle.storage.rollout.source import open_plain
from spindle.storage.rollout.writer_lock import WriterLock
from spindle.storage.threads.locate import RolloutName, locate_file, newest_segment
from spindle.storage.threads.thread_errors import StoredThreadError


class CannotRevert(StoredThreadError):
    """Another file cannot refer to these files."""


@frozen
class Revert:
    """The revert. `path` is the file in force, `meta` its session_meta; `lines` follow the new session_meta.

    The history is kept up to the start of turn `before`; None keeps nothing.
    """

    thread_id: str
    path: Path
    meta: dict[str, Any]
    before: str | None
    lines: Sequence[bytes]


def write_segment(home: Home, revert: Revert, now: datetime, check: Callable[[], None]) -> Path:
    """Write the new file, which is then in force; returns its path. Blocking; holds the writer's lock.

    `check` may raise to stop. Raises UnknownTurn, CannotRevert, WriterBusy, OSError; in these cases nothing is written.
    """
    lock = WriterLock(home.lock_file(revert.thread_id))
    lock.acquire()
    try:
        if newest_segment(home, revert.path) != revert.path:
            raise CannotRevert(f"thread {revert.thread_id} has been reverted by another program")
        base = None if revert.before is None else _base(home, revert.path, revert.before, check)
        meta = {name: value for name, value in revert.meta.items() if name != "history_base"}
        meta |= {"timestamp": stamp(now), "history_mode": "paginated"} | ({} if base is None else {"history_base": base})
        path = _newer_path(home, revert, now)
        write_fork(path, meta, [], lambda _: revert.lines, check, first=0 if base is None else base["end_ordinal_exclusive"])
        return path
    finally:
        lock.release()


def _base(home: Home, path: Path, before: str, check: Callable[[], None]) -> dict[str, Any]:
    """The `history_base` of a history that ends at the start of a turn in the history at `path`."""
    last = cut(segments(path, lambda id: locate_file(home, id)), check, last=None, before=before)[-1]
    name = RolloutName.parse(last.path.name)
    if name is None or locate_file(home, name.rollout_id) != last.path:
        raise CannotRevert(f"the history in {last.path} cannot be referred to")
    return {
        "thread_id": name.rollout_id,
        "end_ordinal_exclusive": _ordinal_at(last),
        "end_byte_offset": last.end,
    }


def _ordinal_at(part: Segment) -> int:
    with open_plain(part.path, 1 << 16) as file:
        file.seek(part.end)
        line = decode_line(file.readline())
    if line is None or line.ordinal is None:
        raise CannotRevert(f"the lines of {part.path} are not numbered")
    return line.ordinal


def _newer_path(home: Home, revert: Revert, now: datetime) -> Path:
    """A name that sorts after the file in force, even if the clock was set back."""
    current = RolloutName.parse(revert.path.name)
    segment = str(uuid7())
    path = home.new_rollout_path(f"{revert.thread_id}_{segment}", now)
    name = RolloutName.parse(path.name)
    if current is not None and name is not None and name.age <= current.age:
        later = datetime.strptime(current.stamp, "%Y-%m-%dT%H-%M-%S") + timedelta(seconds=1)
        return home.new_rollout_path(f"{revert.thread_id}_{segment}", later)
    return path
