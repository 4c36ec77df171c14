"""A daemon whose WebSockets need a token: who is served, and that no token is shown."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .process import Daemon
from .test_daemon_sockets import http

TOKEN = "a-very-secret-token"
UPGRADE = "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="


@pytest.fixture
def daemon(home: Path) -> Iterator[Daemon]:
    """It listens for other machines too."""
    (home / "token").write_text(f"{TOKEN}\n")
    options = ["--ws-auth", "capability-token", "--ws-token-file", f"{home}/token"]
    served = Daemon(home, "ws://0.0.0.0:0", options=options, log="debug")
    yield served
    served.close()


def test_a_token_opens_a_connection_and_is_shown_nowhere(daemon: Daemon) -> None:
    client = daemon.websocket(f"Authorization: Bearer {TOKEN}")
    assert client.status == 101
    client.write([b'{"id":1,"method":"initialize","params":{"clientInfo":{"name":"t","version":"1"}}}'])
    assert b'"id":1' in next(client.read())

    wrong = TOKEN[::-1]
    head = f"GET /?t={wrong} HTTP/1.1\nHost: example.com\n{UPGRADE}"
    assert http(daemon, f"{head}\n") == (401, b"missing websocket bearer token")
    assert http(daemon, f"{head}\nAuthorization: Bearer {wrong}\n") == (401, b"invalid websocket bearer token")
    assert http(daemon, f"{head}\nAuthorization: Bearer {TOKEN}\nOrigin: null\n")[0] == 403
    assert http(daemon, "GET /readyz HTTP/1.1\nHost: example.com\n") == (200, b"")
    daemon.logged("refused a connection: invalid websocket bearer token")

    shown = "\n".join(daemon.log.entries)
    if sys.platform.startswith("linux"):
        shown += Path(f"/proc/{daemon.process.pid}/cmdline").read_text()
    assert TOKEN not in shown
    assert wrong not in shown


def test_without_a_token_only_local_hosts_are_served(home: Path) -> None:
    served = Daemon(home, "ws://127.0.0.1:0")
    try:
        head = f"GET / HTTP/1.1\n{UPGRADE}\nHost: "
        assert http(served, f"{head}rebound.example:80\n") == (403, b"the host must be an IP address or localhost\n")
        assert served.websocket().status == 101
    finally:
        served.close()
