"""Few descriptors, little memory, and greedy clients: the other clients are still served.

Some of the daemon's tests run here again, each while such clients are connected; what they do is in `Hostile`.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from benchmarks.driving import Refused
from benchmarks.driving.websocket import WebSocket

from . import test_daemon_kept_state, test_daemon_reading, test_daemon_sockets
from .process import Daemon
from .test_daemon_reading import THREAD, write

# run here too
test_pages = test_daemon_reading.test_pages_of_a_thread_loaded_or_not_are_the_same
test_history = test_daemon_reading.test_the_first_turn_after_a_resume_sends_the_model_everything
test_sharing = test_daemon_sockets.test_two_clients_share_a_thread
test_joining = test_daemon_sockets.test_a_client_that_joins_a_running_turn_gets_the_text_so_far
test_sections = test_daemon_kept_state.test_threads_are_listed_in_the_order_of_their_section

pytestmark = pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="changes the limits of a running process")

DESCRIPTORS = 64
MEMORY = 384 * 1024 * 1024
"""Bytes of private memory, the stacks of worker threads included."""
STACK = 1024 * 1024

LIMITED = f"""
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, ({DESCRIPTORS}, {DESCRIPTORS}))
resource.setrlimit(resource.RLIMIT_STACK, ({STACK}, {STACK}))
resource.setrlimit(resource.RLIMIT_DATA, ({MEMORY}, {MEMORY}))
os.execv(sys.argv[1], sys.argv[1:])
"""

HOSTILE_THREAD = THREAD.replace("0001", "00ff")
UNREAD, FLOOD = 400, 1000


def request(id: int, method: str, **params: Any) -> bytes:
    return json.dumps({"id": id, "method": method, "params": params}).encode()


HELLO = request(0, "initialize", clientInfo={"name": "hostile", "version": "1"})


class Hostile:
    """Clients that ask and do not read, that do not finish their handshake, that are silent, that ask without a pause."""

    def __init__(self, daemon: Daemon) -> None:
        self.half_open = [daemon.connect() for _ in range(6)]
        for connection in self.half_open[:3]:
            connection.sendall(b"GET / HT")
        self.silent = [daemon.websocket() for _ in range(3)]
        unread, self._flooding = daemon.websocket(), daemon.websocket()
        reads = [
            request(id, *(("thread/read",) if id % 2 else ("thread/turns/list",)), threadId=HOSTILE_THREAD, **params)
            for id in range(1, UNREAD + 1)
            for params in ({"includeTurns": True} if id % 2 else {"limit": 100},)
        ]
        self._threads = [
            threading.Thread(target=self._write, args=(unread, [HELLO, *reads])),
            threading.Thread(target=self._flood),
        ]
        for thread in self._threads:
            thread.start()

    @staticmethod
    def _write(wire: WebSocket, messages: Sequence[bytes]) -> None:
        with contextlib.suppress(OSError):
            wire.write(messages)  # blocks when the daemon reads no more of it

    def _flood(self) -> None:
        self._write(self._flooding, [HELLO, *(request(id, "thread/loaded/list") for id in range(1, FLOOD + 1))])
        with contextlib.suppress(OSError):  # the daemon may exit first
            _first(self._flooding.read(), FLOOD)

    def close(self) -> None:
        """Close after the daemon has exited, which ends the blocked writes."""
        for thread in self._threads:
            thread.join()
        for connection in self.half_open:
            connection.close()


@pytest.fixture
def launch(home: Path) -> Iterator[Callable[..., Daemon]]:
    """A daemon with few descriptors and little memory, and with hostile clients on its socket."""
    stored = write(home, 200)
    archived = home / "archived_sessions" / stored.name.replace(THREAD, HOSTILE_THREAD)
    archived.parent.mkdir()
    archived.write_text(stored.read_text(encoding="utf-8").replace(THREAD, HOSTILE_THREAD), encoding="utf-8")
    shutil.rmtree(home / "sessions")
    daemons: list[tuple[Daemon, Hostile]] = []

    def launch(listen: str = "ws://127.0.0.1:0", prefix: Sequence[str] = ()) -> Daemon:
        daemon = Daemon(home, listen, [*prefix, sys.executable, "-c", LIMITED])
        daemons.append((daemon, Hostile(daemon)))
        return daemon

    yield launch
    for daemon, hostile in daemons:
        assert daemon.process.poll() is None, "the daemon has ended"
        daemon.kill()
        hostile.close()
        daemon.close()


@pytest.fixture
def daemon(launch: Callable[..., Daemon]) -> Daemon:
    """A client on the socket, where the hostile clients are too."""
    return launch()


def descriptors(daemon: Daemon) -> int:
    return len(os.listdir(f"/proc/{daemon.process.pid}/fd"))


def test_turns_run_and_clients_connect_next_to_hostile_ones(daemon: Daemon) -> None:
    client = daemon.client()
    thread = client.start_thread()["id"]
    for _ in range(3):
        assert client.run_turn(thread, "hello")["status"] == "completed"
        other = daemon.client()
        assert len(other.call("thread/resume", threadId=thread)["thread"]["turns"]) > 0
        assert len(client.call("thread/read", threadId=HOSTILE_THREAD, includeTurns=True)["thread"]["turns"]) == 200
    assert descriptors(daemon) < DESCRIPTORS


def test_connections_beyond_the_bound_are_refused_until_one_is_free(daemon: Daemon) -> None:
    client = daemon.client()
    wires = [daemon.websocket() for _ in range(DESCRIPTORS // 2)]
    statuses = [wire.status for wire in wires]
    served = statuses.count(101)
    assert statuses == [101] * served + [503] * (len(wires) - served)
    assert served < DESCRIPTORS // 2
    assert client.call("thread/loaded/list")["data"] == []
    for wire in wires:
        wire.close()
    while daemon.websocket().status != 101:
        pass  # the daemon needs a moment to notice
    assert client.run_turn(client.start_thread()["id"], "hello")["status"] == "completed"


def test_without_descriptors_requests_and_turns_fail_and_afterwards_they_work(daemon: Daemon) -> None:
    client = daemon.client()
    thread = client.start_thread()["id"]
    client.run_turn(thread, "first")
    stored = client.start_thread()["id"]
    client.run_turn(stored, "stored")
    client.call("thread/unsubscribe", threadId=stored)
    client.wait_for("thread/closed", stored)

    resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (3, DESCRIPTORS))
    waiting = daemon.connect()
    daemon.logged("connections have to wait")
    ended = client.run_turn(thread, "second")
    assert ended["status"] == "failed"
    assert "Too many open files" in ended["error"]["message"]
    for method, params in (("thread/read", {"includeTurns": True}), ("thread/resume", {}), ("thread/turns/list", {})):
        with pytest.raises(Refused, match="Too many open files"):
            client.call(method, threadId=stored, **params)

    resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    daemon.logged("connections are accepted again")
    waiting.close()
    assert client.run_turn(thread, "third")["status"] == "completed"
    assert len(client.call("thread/resume", threadId=stored)["thread"]["turns"]) == 1
    assert daemon.client().call("thread/read", threadId=thread, includeTurns=True)["thread"]["turns"][-1]["id"]


def test_unread_answers_hold_no_descriptor(daemon: Daemon) -> None:
    client, greedy = daemon.client(), daemon.websocket()
    before = descriptors(daemon)
    threads = [client.start_thread()["id"] for _ in range(3)]
    for thread in threads:
        client.run_turn(thread, "x" * 30_000)
    asked = [request(n, "thread/resume", threadId=threads[n % 3]) for n in range(1, 201)]
    greedy.write([HELLO, *asked])
    answers = {message.get("id"): message for message in map(json.loads, _first(greedy.read(), 1))}
    assert 0 in answers
    for thread in threads:
        assert client.run_turn(thread, "more")["status"] == "completed"
    assert descriptors(daemon) < before + 12
    ids = (message.get("id") for message in map(json.loads, greedy.read()) if "result" in message)
    assert sorted(_first(ids, 200)) == list(range(1, 201))


def _first(items: Iterator[Any], count: int) -> list[Any]:
    return [item for _, item in zip(range(count), items, strict=False)]
