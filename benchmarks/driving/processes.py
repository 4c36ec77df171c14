"""What a process and all that it has started use, read from /proc. Needs Linux."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_QUIET, _LIMIT, _PAUSE = 0.3, 15.0, 0.03


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat from the state on; None if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def tree(pid: int) -> list[int]:
    """The process and its descendants."""
    below: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (stat := _stat(int(name))):
            below.setdefault(int(stat[1]), []).append(int(name))
    found = [pid]
    for each in found:
        found += below.get(each, [])
    return found


def processor(pid: int) -> float:
    """Seconds of processor time that the tree has used so far, ended processes included."""
    return sum(_own(each, stat) + _reaped(stat) for each in tree(pid) if (stat := _stat(each)))


def _own(pid: int, stat: list[str]) -> float:
    """Of a process itself. Ticks are rounded down, which matters for many small processes; nanoseconds lack ended threads."""
    nanoseconds = 0
    for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):
            nanoseconds += int(file.read_text().split()[0])
    return max(nanoseconds / 1e9, (int(stat[11]) + int(stat[12])) / _TICKS)


def _reaped(stat: list[str]) -> float:
    """Of the children that a process has waited for."""
    return (int(stat[13]) + int(stat[14])) / _TICKS


def resident(pid: int) -> float:
    """MiB of the tree in memory. Pages that processes share count in each of them."""
    stats = (_stat(each) for each in tree(pid))
    return sum(int(stat[21]) for stat in stats if stat) * os.sysconf("SC_PAGE_SIZE") / 2**20


def proportional(pid: int) -> float:
    """MiB of the tree in memory. A page that processes share is divided among them (PSS)."""
    total = 0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            rollup = Path(f"/proc/{each}/smaps_rollup").read_text()
            total += int(rollup.partition("\nPss:")[2].split()[0])
    return total / 1024


def settle(pid: int) -> None:
    """Wait until the tree has used at most a tick of processor time for a while, or for too long."""
    limit = time.monotonic() + _LIMIT
    used, since = processor(pid), time.monotonic()
    while time.monotonic() < limit and time.monotonic() - since < _QUIET:
        time.sleep(_PAUSE)
        if (now := processor(pid)) - used > 1.5 / _TICKS:
            used, since = now, time.monotonic()
