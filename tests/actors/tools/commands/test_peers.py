"""A command that connects is recognised, however it connects; other processes are served."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from spindle.actors.tools.commands import peers
from spindle.actors.tools.commands.peers import OWN, UNKNOWN, candidates, refusal
from spindle.actors.tools.commands.process import Command, Trees, Warden, open_warden
from spindle.rpc.transports.peers import Peer, peer_of

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")

LIMIT = 30

PROGRAM = """
import array, ctypes, os, socket, sys, threading
family, where = {family}, {where!r}
def new():
    return socket.socket(family)
def connect():
    s = new()
    s.connect(where)
    return s
{how}
print("there", flush=True)
sys.stdin.read()
"""
PLAINLY = "s = connect()"
ORPHAN = """
if os.fork():
    os.wait()
    sys.stdin.read()
    os._exit(0)
if os.fork():
    os._exit(0)
os.setsid()
s = connect()
"""
MADE_BY_A_CHILD = """
s = new()
pid = os.fork()
if not pid:
    s.connect(where)
    os._exit(0)
os.waitpid(pid, 0)
"""
CLOSED = """
s = connect()
s.sendall(b"all that is to be said")
s.close()
"""
IN_A_QUEUE = """
s = connect()
near, far = socket.socketpair()
near.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [s.fileno()]))])
s.close()
"""
IN_A_THREAD = """
done = threading.Event()
def run():
    assert ctypes.CDLL(None).unshare(0x400) == 0  # descriptors of its own
    own = connect()
    done.set()
    threading.Event().wait()
threading.Thread(target=run, daemon=True).start()
done.wait()
"""


@pytest.fixture(params=["unix", "tcp", "tcp6", "mapped"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, int, object]]:
    """A listening socket, and family and address for its clients."""
    kind = request.param
    family = {"unix": socket.AF_UNIX, "tcp6": socket.AF_INET6}.get(kind, socket.AF_INET)
    with socket.socket(family) as listening:
        listening.bind(str(tmp_path / "s") if kind == "unix" else ("::1" if kind == "tcp6" else "127.0.0.1", 0))
        listening.listen()
        where = listening.getsockname()
        if kind == "mapped":
            yield listening, int(socket.AF_INET6), (f"::ffff:{where[0]}", where[1])
        else:
            yield listening, int(family), where


@asynccontextmanager
async def running(
    warden: Warden, listener: tuple[socket.socket, int, object], how: str, *, may_connect: bool = False
) -> AsyncIterator[Peer]:
    """A command that has connected, and that may hide this."""
    listening, family, where = listener
    program = PROGRAM.format(family=family, where=where, how=how)
    command = Command(argv=[sys.executable, "-c", program], cwd="/", env={}, stdin=True, may_connect=may_connect)
    with trio.fail_after(LIMIT):
        async with await warden.start(command) as process:
            said = await process.read()
            assert said == b"there\n", said
            connection, _ = await trio.to_thread.run_sync(listening.accept)
            with connection:
                yield peer_of(connection)


def name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()


async def asked(warden: Warden, peer: Peer) -> str | None:
    return await refusal(warden, peer, trio.CapacityLimiter(1))


@pytest.mark.parametrize(
    ("how", "unix", "tcp"),
    [
        (PLAINLY, OWN, OWN),
        (ORPHAN, OWN, OWN),
        (MADE_BY_A_CHILD, UNKNOWN, OWN),
        (CLOSED, OWN, UNKNOWN),
        (IN_A_QUEUE, OWN, UNKNOWN),
        (IN_A_THREAD, OWN, UNKNOWN),
    ],
    ids=["plainly", "orphan", "made by a child", "closed", "in a queue", "in a thread"],
)
async def test_commands_are_refused(
    listener: tuple[socket.socket, int, object], how: str, unix: str, tcp: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "FORWARDERS", frozenset[str]())  # the machine may have a real one
    async with open_warden() as warden, running(warden, listener, how) as peer:
        assert await asked(warden, peer) == (unix if listener[0].family == socket.AF_UNIX else tcp)


async def test_a_program_that_may_connect_is_served_while_a_command_runs(listener: tuple[socket.socket, int, object]) -> None:
    async with open_warden() as warden:
        sleeping = Command(argv=["sleep", "1000"], cwd="/", env={"PATH": os.environ["PATH"]})
        async with await warden.start(sleeping), running(warden, listener, ORPHAN, may_connect=True) as peer:
            assert await asked(warden, peer) is None


async def test_other_processes_are_served_while_a_command_runs(listener: tuple[socket.socket, int, object]) -> None:
    listening, family, where = listener
    async with open_warden() as warden, running(warden, listener, PLAINLY):
        with socket.socket(family) as ours:
            ours.connect(where)  # type: ignore[arg-type]
            connection, _ = listening.accept()
            with connection:
                assert await asked(warden, peer_of(connection)) is None


async def test_a_connection_of_an_ended_command_is_refused(
    listener: tuple[socket.socket, int, object],
) -> None:
    async with open_warden() as warden:
        async with running(warden, listener, PLAINLY) as peer:
            pass
        assert await asked(warden, peer) == UNKNOWN


@pytest.mark.parametrize("listener", ["unix", "tcp"], indirect=True)
async def test_nothing_is_searched_before_the_first_command(
    listener: tuple[socket.socket, int, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(peer: Peer) -> None:
        raise AssertionError

    monkeypatch.setattr(peers, "candidates", fail)
    async with open_warden() as warden, running(warden, listener, PLAINLY, may_connect=True) as peer:
        assert await asked(warden, peer) is None


@pytest.mark.parametrize("listener", ["tcp"], indirect=True)
async def test_a_socket_without_a_visible_owner_counts_for_all_that_may_own_it(
    listener: tuple[socket.socket, int, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a server that is not root: sshd's descriptors are hidden, and a command may hide its own."""
    hidden = set[int]()

    def has(pid: int, link: str) -> bool:
        if pid in hidden:
            raise PermissionError
        return False

    monkeypatch.setattr(peers, "_has", has)
    async with open_warden() as warden, running(warden, listener, PLAINLY) as peer:
        (command,) = (process.pid for process in warden._processes)
        assert await asked(warden, peer) == UNKNOWN
        hidden.add(os.getpid())
        assert await asked(warden, peer) == UNKNOWN
        monkeypatch.setattr(peers, "FORWARDERS", {name(os.getpid()), name(command)})
        assert await asked(warden, peer) is None
        hidden.add(command)
        assert await asked(warden, peer) == OWN


@pytest.mark.parametrize("listener", ["tcp"], indirect=True)
async def test_the_socket_of_another_user_belongs_to_that_user(
    listener: tuple[socket.socket, int, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is not root cannot see the descriptors of their processes."""
    own, hidden = os.geteuid(), {os.getpid()}

    def has(pid: int, link: str) -> bool:
        if pid in hidden:
            raise PermissionError
        return False

    monkeypatch.setattr(peers, "_has", has)
    async with open_warden() as warden, running(warden, listener, PLAINLY) as peer:
        (command,) = (process.pid for process in warden._processes)
        monkeypatch.setattr(os, "geteuid", lambda: own + 1)
        assert await asked(warden, peer) is None
        hidden.add(command)  # as one that has become another user
        assert await asked(warden, peer) == OWN


@pytest.mark.parametrize("listener", ["unix", "tcp"], indirect=True)
async def test_the_search_has_a_deadline(
    listener: tuple[socket.socket, int, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_warden() as warden, running(warden, listener, PLAINLY) as peer:
        assert candidates(peer)
        monkeypatch.setattr(peers, "LONGEST", -1.0)
        assert await asked(warden, peer) == UNKNOWN


@pytest.mark.parametrize("listener", ["unix", "tcp"], indirect=True)
async def test_without_proc_every_peer_is_served(
    listener: tuple[socket.socket, int, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "PROC", "/nowhere")
    async with open_warden() as warden, running(warden, listener, PLAINLY) as peer:
        assert await asked(warden, peer) is None


@pytest.mark.parametrize(
    ("lineage", "held"),
    [
        ((9, 11, 10, 1), True),
        ((9, 12, 10, 1), False),
        ((9, 8, 1), False),
        ((9, 10, 1), True),  # its keeper was killed
        ((9, 11, 1), True),  # its warden was killed
        ((9, 12, 1), False),
        ((9, 12, 11, 10, 1), True),  # it has the number of a keeper that has ended
        ((11,), True),
    ],
)
def test_which_processes_belong_to_a_command(lineage: tuple[int, ...], held: bool) -> None:
    trees = Trees(warden=10, commands=frozenset({11}), others=frozenset({12}))
    assert trees.hold(lineage) is held


async def test_an_ended_command_is_in_no_tree() -> None:
    async with open_warden() as warden, await warden.start(Command(argv=["/bin/sh"], cwd="/", env={})) as process:
        with trio.fail_after(LIMIT):
            await process.wait_tree()
        assert warden.trees().commands == frozenset()


def test_a_process_that_is_not_visible_is_no_command() -> None:
    """It is in another namespace; those of commands are below ours."""
    assert candidates(Peer(pid=0)) == [(0,)]
    assert not Trees(warden=10, commands=frozenset({11}), others=frozenset()).hold((0,))
