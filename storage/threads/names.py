"""Thread names, in the home's `session_index.jsonl`.

Each line is `{"id", "thread_name", "updated_at"}`; the last line of an id counts.
"""

import os
from collections.abc import Mapping, Set
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from spindle.rpc.protocol.values import loads
from spindle.storage.durable import append_all, sync_folder
from spindle.storage.home import Home
from spindle.storage.locks import locked
from spindle.storage.outside import read_file
from spindle.storage.regular import regular

NAMES_FILE = "session_index.jsonl"
_ENTRY: Final = b'{"id":"'
"""The start of a line, as all writers of the file write it."""
_ID: Final = slice(len(_ENTRY), len(_ENTRY) + 36)
_MOST: Final = 256 << 20
"""The most bytes of the file: some two million names."""


def read_names(home: Home, ids: Set[str] | None = None) -> Mapping[str, str]:
    """Thread id -> name, for all named threads; with `ids`, only those among these threads, which costs little.

    Invalid lines are skipped; without a file there are no names.
    """
    try:
        data = read_file(home.path / NAMES_FILE, _MOST)
    except FileNotFoundError:
        return {}
    names: dict[str, str] = {}
    for line in data.split(b"\n"):
        if ids is not None and line.startswith(_ENTRY) and line[_ID].decode("ascii", "replace") not in ids:
            continue
        if (entry := parse_entry(line)) is not None:
            thread_id, name = entry
            if name:
                names[thread_id] = name
            else:
                names.pop(thread_id, None)
    return names


def read_name(home: Home, thread_id: str) -> str | None:
    """The name of one thread. Only the lines that mention it are decoded."""
    try:
        data = read_file(home.path / NAMES_FILE, _MOST)
    except FileNotFoundError:
        return None
    end = len(data)
    while (at := data.rfind(thread_id.encode(), 0, end)) >= 0:
        start, stop = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at)
        entry = parse_entry(data[start : stop if stop >= 0 else len(data)])
        if entry is not None and entry[0] == thread_id:
            return entry[1]
        end = start
    return None


def parse_entry(line: bytes) -> tuple[str, str | None] | None:
    """The thread id and the name in a line; the name is None if it was removed. None for other lines."""
    try:
        entry: Any = loads(line)
    except orjson.JSONDecodeError:
        return None
    match entry:
        case {"id": str(thread_id), "thread_name": str(name)} if name.strip():
            return thread_id, name
        case {"id": str(thread_id)}:
            return thread_id, None
        case _:
            return None


def record_name(home: Home, thread_id: str, name: str, now: datetime | None = None) -> None:
    """Append a thread's new name to the file and fsync it; `now` (UTC) defaults to the clock.

    Codex 0.171 replaces the file to remove names, under the same lock. Raises OSError.
    """
    at = (now or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    line = orjson.dumps({"id": thread_id, "thread_name": name, "updated_at": at}) + b"\n"
    path = home.path / NAMES_FILE
    with locked(path.with_name(f"{NAMES_FILE}.lock")):
        fd = regular(str(path), os.O_RDWR | os.O_APPEND | os.O_CREAT)
        try:
            size = os.fstat(fd).st_size
            # Our line would become part of an unfinished line.
            if size and os.pread(fd, 1, size - 1) != b"\n":
                line = b"\n" + line
            append_all(fd, line)
        finally:
            os.close(fd)
        if not size:
            sync_folder(path.parent)
