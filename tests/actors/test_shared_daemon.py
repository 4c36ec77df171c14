"""Which relays the shared daemon serves, and when it ends."""

import json
import os
import signal
import socket
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from spindle.actors import shared_daemon
from spindle.actors.shared_daemon import FIRST_CLIENT, SharedDaemon, serve_relays
from spindle.actors.signals import EndSignals
from spindle.rpc.relay.hello import hello
from spindle.rpc.relay.verdict import read_hello
from spindle.rpc.transports.accepting import Refusal
from spindle.rpc.transports.peers import Peer, standing
from spindle.storage import shared_folder

WORDS = hello([])
IDLE = 60


class Relay:
    """The relay's end of a connection that the daemon opens, and serves if it accepts it."""

    def __init__(self, daemon):
        self.daemon = daemon
        ours, theirs = socket.socketpair()
        self.stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
        self._theirs = trio.SocketStream(trio.socket.from_stdlib_socket(theirs))

    async def run(self, refused=None):
        """As `accepting.accept_clients` does it."""
        async with self._theirs:
            client = await self.daemon.open(self._theirs, refused)
            if client is not None:
                await self.daemon.serve(client)

    async def greet(self, **changes):
        """The answer to a hello; None if there is none."""
        await self.stream.send_all(json.dumps({**WORDS, **changes}).encode() + b"\n")
        answer = bytes(await self.stream.receive_some())
        return json.loads(answer) if answer else None

    async def call(self, method, **params):
        await self.stream.send_all(json.dumps({"id": method, "method": method, "params": params}).encode() + b"\n")
        data = b""
        while True:
            data += await self.stream.receive_some()
            for line in data.split(b"\n")[:-1]:
                if (message := json.loads(line)).get("id") == method:
                    return message["result"]


@pytest.fixture(autouse=True)
def _no_threads(monkeypatch):
    """The clock of a test must not go on while a worker thread is at work."""

    async def inline(function, *args, **options):
        await trio.lowlevel.checkpoint()
        return function(*args)

    monkeypatch.setattr(trio.to_thread, "run_sync", inline)
    monkeypatch.setattr(trio.from_thread, "check_cancelled", lambda: None)


@pytest.fixture
def shared(opened, nursery):
    """shared(model=None, idle=IDLE) -> a context with (its runtime, relay(refused=None), an event: it is unused)."""

    @asynccontextmanager
    async def share(model=None, idle=IDLE):
        async with opened(model, config=[("shared_daemon_idle_secs", idle)]) as runtime:
            daemon, unused = SharedDaemon(runtime._backend, read_hello(json.dumps(WORDS))), trio.Event()

            async def wait():
                await daemon.unused()
                unused.set()

            def relay(refused=None):
                made = Relay(daemon)
                relays.append(made)
                nursery.start_soon(made.run, refused)
                return made

            relays: list[Relay] = []
            nursery.start_soon(wait)
            yield runtime, relay, unused
            for made in relays:
                await made.stream.aclose()

    return share


async def test_it_ends_some_time_after_its_last_client(shared, autojump_clock):
    async with shared() as (_, relay, unused):
        one, two = relay(), relay()
        assert await one.greet() == {"accepted": True}
        assert await two.greet() == {"accepted": True}
        await one.stream.aclose()
        await trio.sleep(10 * IDLE)
        assert not unused.is_set()
        await two.stream.send_eof()
        assert await two.stream.receive_some() == b""
        await trio.sleep(IDLE - 1)
        assert not unused.is_set()
        three = relay()
        assert await three.greet() == {"accepted": True}
        await trio.sleep(10 * IDLE)
        assert not unused.is_set()
        await three.stream.aclose()
        began = trio.current_time()
        await unused.wait()
        assert trio.current_time() - began == pytest.approx(IDLE)
        assert await relay().greet() is None  # the relay then starts another daemon


async def test_a_new_one_waits_for_the_relay_that_has_started_it(shared, autojump_clock):
    async with shared(idle=0) as (_, relay, unused):
        assert "refused" in await relay().greet(version="another")  # of another relay, which came first
        await trio.sleep(FIRST_CLIENT - 1)
        assert not unused.is_set()
        await unused.wait()


async def test_a_running_turn_keeps_it(shared, scripted, autojump_clock):
    held = trio.Event()
    async with shared(scripted(["so far", held])) as (runtime, relay, unused):
        client = relay()
        assert await client.greet(cwd="/") == {"accepted": True}
        await client.call("initialize", clientInfo={"name": "n", "version": "1"})
        thread = (await client.call("thread/start"))["thread"]
        assert thread["cwd"] == "/"
        await client.call("turn/start", threadId=thread["id"], input=[{"type": "text", "text": "hi"}])
        await client.stream.aclose()
        await trio.sleep(10 * IDLE)
        assert runtime._backend.busy
        assert not unused.is_set()
        assert "busy" not in (await relay().greet(umask=0o777))["refused"]
        held.set()
        began = trio.current_time()
        await unused.wait()
        assert trio.current_time() - began == pytest.approx(IDLE, abs=1)


async def test_a_client_that_needs_another_daemon_ends_it_only_if_it_is_not_in_use(shared, autojump_clock):
    async with shared() as (_, relay, unused):
        client = relay()
        assert await client.greet() == {"accepted": True}
        reason = "it was started with other environment variables (NEW)"
        other = {**read_hello(json.dumps(WORDS)).environment, "NEW": "1"}
        assert await relay().greet(environment=other) == {"refused": reason}
        assert "refused" in await relay().greet(form=2)
        await client.stream.aclose()
        await wait_all_tasks_blocked()
        assert await relay(Refusal("one of ours")).greet() == {"refused": "one of ours"}
        assert not unused.is_set()
        assert await relay().greet(environment=other) == {"ending": True}
        await wait_all_tasks_blocked()
        assert unused.is_set()


async def test_none_is_accepted_by_a_daemon_that_was_signalled(shared):
    async with shared() as (runtime, relay, _):
        runtime._backend.ending = True
        assert await relay().greet() is None
        nobody = relay()
        await nobody.stream.aclose()
        await wait_all_tasks_blocked()


async def test_a_relay_that_is_gone_before_its_answer_counts_no_longer(shared, autojump_clock, monkeypatch):
    async with shared() as (_, relay, unused):
        first = relay()
        assert await first.greet() == {"accepted": True}
        await first.stream.aclose()

        async def never(stream, **answer):
            raise trio.BrokenResourceError

        monkeypatch.setattr(shared_daemon, "answer_hello", never)
        daemon = first.daemon
        ours, theirs = socket.socketpair()
        with ours, theirs:
            stream = trio.SocketStream(trio.socket.from_stdlib_socket(theirs))
            ours.sendall(json.dumps(WORDS).encode() + b"\n")
            with pytest.raises(trio.BrokenResourceError):
                await daemon.open(stream, None)
        await unused.wait()


@pytest.mark.skipif(not os.path.exists("/proc/self/ns"), reason="needs /proc")
async def test_a_process_is_judged_by_what_the_kernel_says(opened, monkeypatch):
    async with opened() as runtime:
        daemon = SharedDaemon(runtime._backend, read_hello(json.dumps(WORDS)))
        assert await daemon.refuse(Peer(pid=os.getpid())) is None
        assert "cannot be looked at" in (await daemon.refuse(Peer(pid=0)) or "")
        assert await daemon.refuse(Peer(pid=None)) is None
        ours = standing(os.getpid())
        assert ours is not None
        theirs = {**ours, "user": "1 1 1 1", "mnt namespace": "mnt:[1]"}
        monkeypatch.setattr(shared_daemon, "standing", lambda pid: ours if pid == os.getpid() else theirs)
        assert await daemon.refuse(Peer(pid=1)) == "its process differs in mnt namespace, user"


async def test_it_serves_on_its_socket_until_signalled(opened, nursery, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # restores the working directory
    shared_folder.enter(str(tmp_path / "home"))
    lock, signals = shared_folder.take_lock(), EndSignals()
    assert lock is not None
    async with opened() as runtime:
        given = read_hello(json.dumps(WORDS)), lock, shared_folder.listen().detach()
        nursery.start_soon(serve_relays, runtime._backend, signals, *given)
        async with await trio.open_unix_socket(shared_folder.SOCKET) as stream:
            await stream.send_all(json.dumps(WORDS).encode() + b"\n")
            assert json.loads(await stream.receive_some()) == {"accepted": True}
            assert shared_folder.owner() == (str(os.getpid()), False)
            assert shared_folder.take_lock() is None
            signals._on_signal(signal.SIGTERM, None)
            assert await stream.receive_some() == b""
    await wait_all_tasks_blocked()
    assert shared_folder.SOCKET not in os.listdir(".")
    os.close(lock)
