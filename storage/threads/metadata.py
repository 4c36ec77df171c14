"""Change the metadata of a stored thread by further lines: another `session_meta`, or a name.

The last `session_meta` line with the thread's id counts, whole (as in Codex 0.124 and 0.169). Lines with other ids
belong to threads it was forked from.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spindle.storage.home import Home
from spindle.storage.regular import regular
from spindle.storage.rollout import records
from spindle.storage.rollout.compressed import inflate
from spindle.storage.rollout.lines import encode_line, salvage
from spindle.storage.rollout.records import Entry

_MARK = records.SESSION_META.encode()
# small, so that searching one block does not hold the interpreter lock for long
_BLOCK = 256 * 1024


def append_to_stored(home: Home, path: Path, thread_id: str, entries: Sequence[Entry]) -> None:
    """Append records to a rollout that no thread of this process has loaded, and fsync them.

    A compressed file is decompressed first. Blocking. Raises WriterBusy, JournalError, OSError.
    """
    from spindle.storage.rollout.journal import Journal  # lists, which only read, do without it

    path = inflate(path)
    journal = Journal(path, home.lock_file(thread_id))
    there = os.stat(path)
    journal.expect(there.st_size, there.st_ino)  # else a file that was moved meanwhile would be created again, empty
    journal.begin([encode_line(*entry) for entry in entries])
    try:
        journal.sync()
    finally:
        journal.end()


def latest_meta(path: Path, thread_id: str, floor: int = 0) -> dict[str, Any] | None:
    """The payload of the thread's last `session_meta` line after byte `floor`, or None.

    Blocking; searches the file from its end. Raises OSError.
    """
    with open(path, "rb", buffering=0, opener=regular) as file:
        fd = file.fileno()
        end = os.fstat(fd).st_size
        while end > floor:
            start = max(floor, end - _BLOCK)
            # the overlap finds a mark across two blocks
            block = os.pread(fd, end - start + len(_MARK) - 1, start)
            at = block.rfind(_MARK)
            while at >= 0:
                line_start, line = _line_around(fd, start + at)
                decoded = salvage(line)
                if decoded is not None and decoded.type == records.SESSION_META and decoded.payload.get("id") == thread_id:
                    return decoded.payload
                at = block.rfind(_MARK, 0, max(0, line_start - start))
            end = start
    return None


def _line_around(fd: int, at: int) -> tuple[int, bytes]:
    """The line that contains the byte at `at`: (offset of its first byte, its bytes)."""
    start = at
    while start > 0:
        low = max(0, start - _BLOCK)
        newline = os.pread(fd, start - low, low).rfind(b"\n")
        if newline >= 0:
            start = low + newline + 1
            break
        start = low
    parts: list[bytes] = []
    offset = start
    while part := os.pread(fd, _BLOCK, offset):
        newline = part.find(b"\n")
        if newline >= 0:
            parts.append(part[:newline])
            break
        parts.append(part)
        offset += len(part)
    return start, b"".join(parts)
