"""The MCP servers of a daemon end with it, even after kill -9."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .process import Daemon

SERVER = Path(__file__).parents[1] / "actors" / "tools" / "mcp" / "tiny_server.py"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_server_outlives_the_daemon(
    home: Path, launch: Callable[..., Daemon], tmp_path: Path, number: signal.Signals
) -> None:
    """The server holds the write end of a FIFO, which ends when no process holds it open."""
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    args = ["-c", f"exec 9>{fifo}; exec {sys.executable} -S -E {SERVER} stubborn"]
    with (home / "config.toml").open("a") as config:
        config.write(f'\n[mcp_servers.tiny]\ncommand = "/bin/sh"\nargs = {args}\n')
    daemon = launch()
    client = daemon.client()
    client.start_thread()
    with fifo.open("rb") as alive:  # opens when the server opens it
        daemon.process.send_signal(number)
        assert alive.read() == b""
    daemon.process.wait()
