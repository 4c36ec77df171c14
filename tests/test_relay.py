"""How a relay finds the daemon of its home: it starts one under the lock only, and waits for one that ends or starts."""

import json
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from spindle import relay
from spindle.relay import PATIENCE, NoDaemon
from spindle.storage import shared_folder


class World:
    """The shared folder, and a clock that only goes on when a relay waits. `then` is what happens at each wait."""

    def __init__(self) -> None:
        self.now, self.waits, self.started = 0.0, 0, 0
        self.then: Callable[[], object] = lambda: None

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.waits += 1
        self.then()

    def start(self, home: str, lock: int, options: Sequence[str]) -> Callable[[], str]:
        self.started += 1
        os.close(lock)
        return lambda: "its log"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(tmp_path)  # restores the working directory
    shared_folder.enter(str(tmp_path))
    world = World()
    clock = SimpleNamespace(monotonic=lambda: world.now, sleep=world.sleep)
    monkeypatch.setattr("spindle.relay.time", clock)
    monkeypatch.setattr(relay, "start", world.start)
    return world


def accepted(home: str = "HOME") -> tuple[socket.socket, bytes]:
    return relay._accepted(home, b"hello\n", [])


def test_it_waits_for_the_lock_of_another_process(world: World) -> None:
    lock = shared_folder.take_lock()
    assert lock is not None
    world.then = lambda: os.close(lock)
    with pytest.raises(NoDaemon, match=r"^the shared daemon of HOME did not start: its log$"):
        accepted()
    assert (world.waits, world.started) == (1, 1)


def test_the_wait_has_a_bound(world: World) -> None:
    lock = shared_folder.take_lock()
    assert lock is not None
    shared_folder.sign(lock)
    named = f"the shared daemon of HOME (pid {os.getpid()}) has neither answered nor ended in 30 s"
    with pytest.raises(NoDaemon) as error:
        accepted()
    os.close(lock)
    assert str(error.value).startswith(named)
    assert world.started == 0
    assert world.now == pytest.approx(PATIENCE, abs=0.1)


@pytest.mark.parametrize("answer", [None, {"ending": True}])
def test_it_asks_again_where_a_daemon_ends(world: World, answer: dict[str, object] | None) -> None:
    lock = shared_folder.take_lock()
    assert lock is not None
    with shared_folder.listen() as server:
        answers: list[dict[str, object] | None] = [answer, {"accepted": True}]
        answered: list[bytes] = []

        def ask(connection: socket.socket, words: bytes) -> tuple[Mapping[str, object], bytes]:
            answered.append(words)
            peer, _ = server.accept()
            with peer:
                if (given := answers.pop(0)) is not None:
                    peer.sendall(json.dumps(given).encode() + b"\nrest")
            return original(connection, words)

        original = relay._ask
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(relay, "_ask", ask)
            connection, rest = accepted()
    connection.close()
    os.close(lock)
    assert (rest, answered, world.waits, world.started) == (b"rest", [b"hello\n"] * 2, 1, 0)
