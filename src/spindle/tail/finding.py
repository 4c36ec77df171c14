"""Finds the thread that a user means: by its id, by the beginning of an id that no other has, or by its name."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from spindle.rpc.protocol.values import one_line
from spindle.storage.home import Home
from spindle.storage.threads.locate import day_folders, locate, locate_archived, rollouts_in
from spindle.storage.threads.names import read_names

SHOWN: Final = 10
"""The most candidates in an error."""
_BEGINNING: Final = re.compile(r"[0-9a-f]{4}[0-9a-f-]*")
_ID_LENGTH: Final = 36
_NAME_LENGTH: Final = 80


class NotFound(Exception):
    """No thread is meant, or several; the text says which."""


def find(home: Home, wanted: str) -> str:
    """The id of the thread. Raises NotFound, OSError."""
    beginning = wanted.lower() if _BEGINNING.fullmatch(wanted.lower()) else None
    if beginning is not None and len(beginning) == _ID_LENGTH and rollout_of(home, beginning) is not None:
        return beginning
    names = read_names(home)
    named = {id for id, name in names.items() if name.casefold() == wanted.casefold()}
    stored = {id for id in _stored(home) if id in named or (beginning is not None and id.startswith(beginning))}
    if len(stored) == 1:
        return stored.pop()
    if not stored:
        raise NotFound(f"no thread of {home.path} has this id or name: {one_line(wanted, _NAME_LENGTH)}")
    newest = sorted(stored, reverse=True)[:SHOWN]
    lines = [f"  {id}  {one_line(names.get(id, ''), _NAME_LENGTH)}".rstrip() for id in newest]
    more = [f"  and {len(stored) - SHOWN} more"] if len(stored) > SHOWN else []
    raise NotFound("\n".join([f"{len(stored)} threads have this id or name:", *lines, *more]))


def rollout_of(home: Home, thread_id: str) -> Path | None:
    """The rollout of a thread, archived or not. Raises OSError."""
    return locate(home, thread_id) or locate_archived(home, thread_id)


def _stored(home: Home) -> Iterator[str]:
    """The ids of all threads. Raises OSError."""
    for folder in (*day_folders(home.sessions, newest_first=True), home.archived_sessions):
        if os.path.isdir(folder):
            yield from (name.thread_id for name, _ in rollouts_in(folder))
