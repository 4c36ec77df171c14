"""What the system says of a process: its program, its start, its memory and its processor time. Everything blocks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.values import one_line

_SHOWN = 200


@frozen(kw_only=True)
class Usage:
    """Of one process. Memory in bytes; `pss` counts shared pages in proportion. None where the system does not say."""

    program: str
    started_at: float | None
    rss: int | None
    pss: int | None
    cpu_seconds: float | None


def usage(pid: int) -> Usage | None:
    """None for a process that has ended or may not be looked at."""
    return _of_proc(pid) if sys.platform.startswith("linux") else _of_ps(pid)


def _of_proc(pid: int) -> Usage | None:
    try:
        # "1234 (name) S ..."; the name may have brackets and spaces
        _, _, rest = _read(pid, "stat").rpartition(")")
        fields = rest.split()
        words = [os.path.basename(word) for word in _read(pid, "cmdline").split("\0")[:3] if word]
        name = _read(pid, "comm").strip()
    except OSError:
        return None
    ticks = os.sysconf("SC_CLK_TCK")
    uptime = time.clock_gettime(time.CLOCK_BOOTTIME)
    return Usage(
        program=one_line(" ".join(words) or name, _SHOWN),
        started_at=round(time.time() - uptime + int(fields[19]) / ticks, 2),
        rss=int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
        pss=_pss(pid),
        cpu_seconds=(int(fields[11]) + int(fields[12])) / ticks,
    )


def _pss(pid: int) -> int | None:
    with suppress(OSError):
        for line in _read(pid, "smaps_rollup").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return None


def _read(pid: int, name: str) -> str:
    with open(f"/proc/{pid}/{name}", encoding="utf-8", errors="replace") as file:
        return file.read()


def _of_ps(pid: int) -> Usage | None:
    command = ["ps", "-o", "rss=,etime=,time=,comm=", "-p", str(pid)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=5)
    words = done.stdout.split(maxsplit=3)
    if done.returncode or len(words) < 4:
        return None
    rss, elapsed, cpu, program = words
    return Usage(
        program=one_line(os.path.basename(program.strip()), _SHOWN),
        started_at=round(time.time() - _seconds(elapsed), 2),
        rss=int(rss) * 1024,
        pss=None,
        cpu_seconds=_seconds(cpu),
    )


def _seconds(text: str) -> float:
    """Of a time of ps(1): [[days-]hours:]minutes:seconds."""
    days, _, rest = text.rpartition("-")
    total = 0.0
    for part in rest.split(":"):
        total = total * 60 + float(part)
    return total + 86400 * int(days or 0)
