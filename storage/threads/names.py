"""Thread names, kept in the home's `session_index.jsonl`.

One `{"id", "thread_name", "updated_at"}` per line; the last one of an id counts.
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from spindle.storage.home import Home

_FILE = "session_index.jsonl"


def read_names(home: Home) -> Mapping[str, str]:
    """Thread id -> name, of all named threads. Lines that cannot be read are skipped; no file means no names."""
    try:
        data = (home.path / _FILE).read_bytes()
    except FileNotFoundError:
        return {}
    names: dict[str, str] = {}
    for line in data.split(b"\n"):
        if not line.strip():
            continue
        try:
            entry: Any = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        match entry:
            case {"id": str(thread_id), "thread_name": str(name)} if name.strip():
                names[thread_id] = name
            case {"id": str(thread_id)}:
                names.pop(thread_id, None)
            case _:
                pass
    return names


def record_name(home: Home, thread_id: str, name: str, now: datetime | None = None) -> None:
    """Append a thread's new name to the index; `now` (UTC) defaults to the clock. Raises OSError."""
    at = (now or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    line = orjson.dumps({"id": thread_id, "thread_name": name, "updated_at": at}) + b"\n"
    fd = os.open(home.path / _FILE, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(fd).st_size
        # A line that somebody left unfinished would swallow ours.
        if size and os.pread(fd, 1, size - 1) != b"\n":
            line = b"\n" + line
        if os.write(fd, line) != len(line):
            raise OSError(f"short write to {home.path / _FILE}")
    finally:
        os.close(fd)
