"""A command of a daemon cannot be its client, on either kind of socket. Every other process can, also in the meantime."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest
from benchmarks.driving import completed, created, message_done

from .model import calls

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.driving import Json

    from .client import Client
    from .model import Endpoint
    from .process import Daemon
    from .trace import Trace

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")

ASK = """
import socket, sys
where = sys.argv[1] if len(sys.argv) == 2 else (sys.argv[1], int(sys.argv[2]))
s = socket.socket(socket.AF_UNIX if len(sys.argv) == 2 else socket.AF_INET)
s.settimeout(30)
s.connect(where)
s.sendall(b"GET / HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\n"
          b"Sec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n\\r\\n")
answer = b""
while not (b" 101 " in answer and answer.endswith(b"\\r\\n\\r\\n")) and (data := s.recv(4096)):
    answer += data
print(answer.decode())
"""
REFUSED = "a command that this server runs cannot be its client"


@pytest.fixture(params=["unix", "ws"])
def daemon(request: pytest.FixtureRequest, launch: Callable[..., Daemon], tmp_path: Path) -> Daemon:
    return launch(f"unix://{tmp_path}/s" if request.param == "unix" else "ws://127.0.0.1:0")


@pytest.fixture
def program(daemon: Daemon, tmp_path: Path) -> list[str]:
    """A command line that asks the daemon for a WebSocket, and prints the answer."""
    path = tmp_path / "ask.py"
    path.write_text(ASK, encoding="utf-8")
    where = [daemon.address] if isinstance(daemon.address, str) else [str(part) for part in daemon.address]
    return [sys.executable, str(path), *where]


def output(client: Client, thread: str) -> str:
    item: Json = client.messages.find(
        lambda message: (
            message.get("method") == "item/completed" and message["params"]["item"]["type"] == "commandExecution"
        )
    )["params"]["item"]
    return str(item["aggregatedOutput"])


def run(client: Client, endpoint: Endpoint, argv: list[str], **params: Any) -> str:
    """Let the model run a command; returns its output."""
    answers = [
        calls(("shell", {"command": argv, "timeout_ms": 30_000})),
        [[created(), message_done("done"), completed()]],
    ]
    endpoint.scripts["run"] = lambda: answers.pop(0)
    thread = client.start_thread(**params)["id"]
    assert client.run_turn(thread, "run")["status"] == "completed"
    return output(client, thread)


def test_a_command_is_refused_and_others_are_served(daemon: Daemon, endpoint: Endpoint, program: list[str]) -> None:
    client = daemon.client()
    said = run(client, endpoint, program, sandbox="danger-full-access", approvalPolicy="never")
    assert " 403 " in said.splitlines()[0]
    assert REFUSED in said
    daemon.logged(f"refused a connection: {REFUSED}")
    assert daemon.client().call("thread/loaded/list")["data"]


def test_a_confined_command_with_an_open_network_is_refused(
    launch: Callable[..., Daemon], endpoint: Endpoint, tmp_path: Path
) -> None:
    daemon = launch("ws://127.0.0.1:0")
    (tmp_path / "ask.py").write_text(ASK, encoding="utf-8")
    argv = [sys.executable, str(tmp_path / "ask.py"), "127.0.0.1", str(daemon.address[1])]
    config = {"sandbox_workspace_write.network_access": True}
    assert REFUSED in run(
        daemon.client(), endpoint, argv, sandbox="workspace-write", approvalPolicy="never", config=config
    )


def test_other_clients_are_served_while_a_command_runs(daemon: Daemon, endpoint: Endpoint, program: list[str]) -> None:
    client = daemon.client(experimentalApi=True)
    script = {"cmd": "sleep 1000", "login": False, "yield_time_ms": 250}
    answers = [calls(("exec_command", script)), [[created(), message_done("done"), completed()]]]
    endpoint.scripts["run"] = lambda: answers.pop(0)
    thread = client.start_thread(sandbox="danger-full-access", approvalPolicy="never")["id"]
    assert client.run_turn(thread, "run")["status"] == "completed"
    assert client.call("thread/backgroundTerminals/list", threadId=thread)["data"]
    assert daemon.websocket().status == 101


def test_a_command_of_the_user_is_a_command_too(daemon: Daemon, program: list[str]) -> None:
    client = daemon.client(experimentalApi=True)
    thread = client.start_thread()["id"]
    client.call("thread/shellCommand", threadId=thread, command=" ".join(program))
    assert REFUSED in output(client, thread)


def test_hooks_notify_and_servers_may_be_clients(
    launch: Callable[..., Daemon], endpoint: Endpoint, home: Path, tmp_path: Path, trace: Trace
) -> None:
    (tmp_path / "ask.py").write_text(ASK, encoding="utf-8")
    ask = f"exec {sys.executable} {tmp_path}/ask.py {tmp_path}/s >{trace.path}"
    words = json.dumps(["sh", "-c", ask])
    config = (home / "config.toml").read_text(encoding="utf-8")
    server = f'\n[mcp_servers.asking]\ncommand = "sh"\nargs = {json.dumps(["-c", ask])}\n'
    (home / "config.toml").write_text(f"notify = {words}\n{config}{server}", encoding="utf-8")
    stop = {"hooks": {"Stop": [{"hooks": [{"type": "command", "command": ask}]}]}}
    (home / "hooks.json").write_text(json.dumps(stop), encoding="utf-8")
    client = launch(f"unix://{tmp_path}/s").client()
    with open(trace.path, "wb"):  # keeps the trace open in between
        run(client, endpoint, ["true"], sandbox="danger-full-access", approvalPolicy="never")
        trace.until(b"HTTP/1.1", 3)  # the MCP server before the command, the hook and `notify` after it
        client.start_thread()
        assert trace.until(b"HTTP/1.1", 4).count(b"HTTP/1.1 101 ") == 4
