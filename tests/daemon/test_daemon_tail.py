"""`spindle tail` beside a daemon that runs the thread."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

from .feed import Feed
from .model import Endpoint
from .process import Daemon, interpreter


def test_it_follows_a_turn_to_its_end(home: Path, daemon: Daemon, endpoint: Endpoint) -> None:
    client = daemon.client()
    thread = client.start_thread()["id"]
    client.run_turn(thread, "first")
    client.hold_turn(thread)
    command = [*interpreter(), "spindle", "tail", thread[:-4], "-n", "2", "--until-idle"]
    tail = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "CODEX_HOME": str(home)})
    lines: Feed[str] = Feed()

    def read() -> None:
        assert tail.stdout is not None
        with tail.stdout as output:
            for line in output:
                lines.add(line.rstrip("\n"))
        lines.end()

    reading = threading.Thread(target=read)
    reading.start()
    try:
        lines.find(lambda line: line == "user: hold on")
        endpoint.release()
        lines.wait_end()
        assert tail.wait() == 0
    finally:
        tail.kill()
        reading.join()
    shown = [line for line in lines.entries if line.startswith(("user", "agent", "── completed"))]
    assert [line.partition("  ")[0] for line in shown] == [
        *("user: first", "agent: You said: first", "── completed"),
        *("user: hold on", "agent: So far and on", "── completed"),
    ]
    assert "30 tokens" in shown[-1]
