"""server/diagnostics: the server's process, and what it has in hand."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from spindle.actors.kernel.mailbox import Reply
from spindle.rpc.protocol.diagnostics import (
    ServerDiagnosticsGauge,
    ServerDiagnosticsParams,
    ServerDiagnosticsProcess,
    ServerDiagnosticsResponse,
)

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller


def read(caller: Caller, params: ServerDiagnosticsParams, reply: Reply[Any]) -> None:
    """server/diagnostics"""
    backend = caller.backend

    async def work() -> ServerDiagnosticsResponse:
        resident = await trio.to_thread.run_sync(_resident_bytes)
        counts = {
            "app.clients.connected": backend.audience.size,
            "core.processes.running": 0 if backend.warden is None else len(backend.warden.running()),
            "core.threads.live": len(backend.loaded()),
        }
        gauges = [ServerDiagnosticsGauge(name, value) for name, value in counts.items()]
        return ServerDiagnosticsResponse(gauges, ServerDiagnosticsProcess(os.getpid(), None, resident))

    caller.later(reply, work)


def _resident_bytes() -> int:
    """The memory of this process that is in use; where the system does not tell that, the most that ever was. Blocks."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
