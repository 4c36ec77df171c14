"""`spindle app-server daemon` and `proxy`: one daemon of a home, started, shown and ended by command."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from benchmarks.driving import DEADLINE
from benchmarks.driving.websocket import WebSocket

from .client import Client
from .process import Daemon, interpreter
from .sharing import Relays, Shared

Command = Callable[..., "tuple[int, dict[str, Any], str]"]


def begin(home: Path, *argv: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*interpreter(), "spindle", "app-server", *argv],
        env={**os.environ, "CODEX_HOME": str(home)},
        encoding="latin-1",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def end(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any], str]:
    """The exit code, what it printed, and its errors."""
    out, errors = process.communicate(timeout=DEADLINE)
    return process.returncode, json.loads(out) if out else {}, errors


@pytest.fixture
def command(home: Path, shared: Shared) -> Command:
    """command(action, …) -> the result of `daemon action …`. A daemon that it has started ends with the test."""
    return lambda *argv: end(begin(home, "daemon", *argv))


@contextmanager
def control(home: Path) -> Generator[Client]:
    """An initialized client at the control socket."""
    connection = socket.socket(socket.AF_UNIX)
    folder = os.open(home / "app-server-control", os.O_RDONLY)
    short = f"/proc/self/fd/{folder}" if sys.platform == "linux" else f"{home}/app-server-control"
    connection.connect(f"{short}/app-server-control.sock")
    os.close(folder)
    wire = WebSocket(connection)
    client = Client(wire)
    try:
        client.initialize()
        yield client
    finally:
        wire.close()
        client.join()
        wire.dispose()


def test_starts_at_once_start_one_daemon(home: Path, shared: Shared, command: Command) -> None:
    results = [end(starting) for starting in [begin(home, "daemon", "start") for _ in range(3)]]
    assert [(code, errors) for code, _, errors in results] == [(0, "")] * 3
    assert sorted(shown["status"] for _, shown, _ in results) == ["alreadyRunning", "alreadyRunning", "started"]
    (started,) = [shown["pid"] for _, shown, _ in results if "pid" in shown]
    assert started == shared.pid
    assert {shown["backend"] for _, shown, _ in results} == {"pid"}


def test_the_life_of_a_daemon(home: Path, shared: Shared, command: Command) -> None:
    path = home / "app-server-control" / "app-server-control.sock"
    assert command("stop")[:2] == (0, command("status")[1])
    assert command("status")[:1] == (1,)
    assert command("version") == (1, {}, f"spindle: failed to connect to {path}\n")

    code, started, errors = command("start", "-c", "model=from-the-command")
    assert (code, errors, started["status"], started["pid"]) == (0, "", "started", shared.pid)
    assert started["socketPath"] == str(path)
    assert started["appServerVersion"] == started["cliVersion"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    running = {name: value for name, value in started.items() if name != "pid"} | {"status": "running"}
    assert command("version") == (0, running, "")
    assert command("status") == (0, running | {"pid": shared.pid}, "")
    with control(home) as client:
        assert client.call("thread/start")["model"] == "from-the-command"

    code, restarted, _ = command("restart")
    assert (code, restarted["status"], restarted["pid"]) == (0, "restarted", shared.pid)
    assert restarted["pid"] != started["pid"]
    code, stopped, _ = command("stop")
    assert (code, stopped["status"], stopped["backend"]) == (0, "stopped", "pid")
    assert not path.exists()
    assert command("stop")[1]["status"] == "notRunning"


def test_relays_and_clients_of_the_control_socket_share_threads(home: Path, command: Command, relay: Relays) -> None:
    assert command("start", "-c", "shared_daemon_idle_secs=0")[0] == 0
    one = relay("-c", "shared_daemon_idle_secs=0")
    one.client.initialize()
    with control(home) as other:
        thread = one.client.start_thread()["id"]
        one.client.run_turn(thread, "hello")
        assert len(other.call("thread/resume", threadId=thread)["thread"]["turns"]) == 1
    one.client.wire.close()
    assert one.ended() == (0, "")
    code, shown, _ = command("status")  # it stays without a client
    assert (code, shown["status"]) == (0, "running")


def test_a_client_that_needs_another_daemon_is_refused_and_the_daemon_stays(command: Command, relay: Relays) -> None:
    assert command("start")[0] == 0
    code, errors = relay("-c", "model=other").ended()
    assert code == 1
    assert "other values of -c" in errors
    assert command("status")[0] == 0


def test_a_client_that_connects_again_finds_its_thread(home: Path, command: Command) -> None:
    assert command("start", "-c", "thread_unload_delay_secs=3600")[0] == 0
    with control(home) as client:
        thread = client.start_thread()["id"]
        client.run_turn(thread, "hello")
    with control(home) as client:
        assert client.call("thread/loaded/list")["data"] == [thread]


def test_a_killed_daemon_is_replaced(home: Path, shared: Shared, command: Command) -> None:
    assert command("start")[0] == 0
    before = shared.pid
    os.kill(before, signal.SIGKILL)
    shared.wait_for_end()
    assert (home / "app-server-control" / "app-server-control.sock").exists()
    code, shown, _ = command("start")
    assert (code, shown["status"]) == (0, "started")
    assert shown["pid"] != before


def test_a_server_that_was_started_otherwise_is_left_alone(
    home: Path, command: Command, launch: Callable[..., Daemon]
) -> None:
    server = launch("unix://")
    code, shown, _ = command("start")
    assert (code, shown["status"]) == (0, "alreadyRunning")
    assert "backend" not in shown
    for action in ("stop", "restart"):
        reason = "spindle: app server is running but is not managed by `spindle app-server daemon`\n"
        assert command(action) == (1, {}, reason)
    code, _, errors = end(begin(home, "--listen", "unix://"))
    assert code == 1
    assert "a server has this socket in use" in errors
    assert server.process.poll() is None


def test_a_shared_daemon_of_relays_is_not_taken_for_the_daemon(command: Command, relay: Relays, shared: Shared) -> None:
    one = relay()
    one.client.initialize()
    code, _, errors = command("start")
    assert code == 1
    assert f"(pid {shared.pid}) was started by a client of --shared and has no control socket" in errors
    assert command("stop")[1]["status"] == "notRunning"
    assert one.client.start_thread()["id"]


def test_what_keeps_it_from_starting_is_shown(home: Path, command: Command) -> None:
    (home / "app-server-control").mkdir()
    (home / "app-server-control" / "app-server-control.sock").write_text("not a socket")
    code, _, errors = command("start")
    assert code == 1
    assert "did not start: " in errors
    assert "this file is not a socket" in errors


@pytest.mark.parametrize(
    ("action", "reason"),
    [("bootstrap", "Codex"), ("update", "Codex"), ("enable-remote-control", "cloud"), ("disable-remote-control", "cloud")],
)
def test_what_has_nothing_to_do_here_is_refused_by_name(command: Command, action: str, reason: str) -> None:
    code, shown, errors = command(action)
    assert (code, shown) == (1, {})
    assert f"`daemon {action}`" in errors
    assert reason in errors


@pytest.mark.parametrize("named", [False, True])
def test_a_proxy_copies_bytes(home: Path, tmp_path: Path, launch: Callable[..., Daemon], named: bool) -> None:
    path = tmp_path / "s"
    launch(f"unix://{path}" if named else "unix://")
    proxy = begin(home, "proxy", *(["--sock", str(path)] if named else []))
    assert proxy.stdin is not None
    assert proxy.stdout is not None
    head = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    proxy.stdin.write(f"{head}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    proxy.stdin.flush()
    assert proxy.stdout.readline().startswith("HTTP/1.1 101 ")
    rest, errors = proxy.communicate(timeout=DEADLINE)  # closes its input
    assert rest.endswith("\x88\x02\x03\xe8")  # the server closes the WebSocket with 1000
    assert (proxy.returncode, errors) == (0, "")


def test_a_proxy_without_a_server(home: Path) -> None:
    path = home / "app-server-control" / "app-server-control.sock"
    reason = f"spindle: failed to connect to socket at {path}: No such file or directory\n"
    assert end(begin(home, "proxy")) == (1, {}, reason)
