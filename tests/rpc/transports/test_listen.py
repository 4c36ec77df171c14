"""Listening: values of --listen, probes and refusals, and the life of a connection."""

import contextlib
import errno
import logging
import os
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair, open_stream_to_socket_listener, wait_all_tasks_blocked
from wsproto import ConnectionType, WSConnection
from wsproto.events import Request

from spindle.rpc.transports import Transport, accepting, listen
from spindle.rpc.transports.accepting import most_connections
from spindle.rpc.transports.listen import (
    ListenTarget,
    handshake,
    open_listeners,
    parse_listen,
    serve_websocket,
)
from spindle.rpc.transports.peers import Peer
from spindle.rpc.transports.websocket import UpgradeRefused, WebSocketTransport, connect

LOOPBACK = ListenTarget("websocket", "127.0.0.1", 0)
Handler = Callable[[Transport], Awaitable[None]]


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("stdio://", ListenTarget("stdio")),
        ("off", ListenTarget("off")),
        ("ws://127.0.0.1:0", LOOPBACK),
        ("ws://127.9.9.9:65535", ListenTarget("websocket", "127.9.9.9", 65535)),
        ("ws://[::1]:80", ListenTarget("websocket", "::1", 80)),
        ("unix:///run/s.sock", ListenTarget("unix", path=Path("/run/s.sock"))),
        ("unix://s.sock", ListenTarget("unix", path=Path("s.sock"))),
        ("unix://", ListenTarget("unix")),
        ("ws://0.0.0.0:1", ListenTarget("websocket", "0.0.0.0", 1)),
        ("ws://192.0.2.1:1", ListenTarget("websocket", "192.0.2.1", 1)),
    ],
)
def test_listen_values(url: str, target: ListenTarget) -> None:
    assert parse_listen(url) == target


@pytest.mark.parametrize(
    "url",
    [
        "",
        "stdio",
        "stdio:///x",
        "off:",
        "http://127.0.0.1:1",
        "unix://a\0b",
        "ws://",
        "ws://127.0.0.1",
        "ws://127.0.0.1:",
        "ws://127.0.0.1:x",
        "ws://127.0.0.1:-1",
        "ws://127.0.0.1:\u0661",
        "ws://127.0.0.1:65536",
        "ws://127.0.0.1:1/path",
        "ws://localhost:1",
        "ws://::1:1",
        "ws://[127.0.0.1]:1",
    ],
)
def test_listen_values_that_are_refused_by_name(url: str) -> None:
    with pytest.raises(ValueError, match=r"^--listen `") as error:
        parse_listen(url)
    assert f"`{url}`" in str(error.value)


@pytest.mark.parametrize("kind", ["stdio", "off"])
async def test_targets_without_a_socket(kind: str) -> None:
    with pytest.raises(ValueError, match="no socket"):
        async with open_listeners(parse_listen({"stdio": "stdio://"}.get(kind, kind))):
            pass


async def echo(transport: Transport) -> None:
    while (message := await transport.receive()) is not None:
        await transport.send([bytes(message)])


@asynccontextmanager
async def serving(
    handler: Handler = echo, target: ListenTarget = LOOPBACK, **bounds: Any
) -> AsyncIterator[trio.SocketListener]:
    async with open_listeners(target) as listeners, trio.open_nursery() as nursery:
        await nursery.start(partial(serve_websocket, listeners, handler, **bounds))
        yield listeners[0]
        nursery.cancel_scope.cancel()


async def ask(listener: trio.SocketListener, request: bytes) -> bytes:
    async with await open_stream_to_socket_listener(listener) as stream:
        await stream.send_all(request)
        answer = b""
        while data := await stream.receive_some():
            answer += data
        return answer


async def test_when_accepting_ends_open_connections_go_on() -> None:
    async with open_listeners(LOOPBACK) as listeners, trio.open_nursery() as nursery:
        accepting: trio.CancelScope = await nursery.start(serve_websocket, listeners, echo)
        address = listeners[0].socket.getsockname()
        async with await open_stream_to_socket_listener(listeners[0]) as stream:
            client = await connect(stream, "localhost", "/")
            accepting.cancel()
            await wait_all_tasks_blocked()
            with pytest.raises(OSError, match=r"failed|refused"):
                await trio.open_tcp_stream(*address[:2])
            await client.send([b'"still here"'])
            assert await client.receive() == b'"still here"'
            await client.aclose()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("path", [b"/readyz", b"/healthz"])
async def test_probes_are_answered_without_a_body(path: bytes) -> None:
    async with serving() as listener:
        head, body = (await ask(listener, b"GET %s HTTP/1.1\r\nhost: localhost\r\n\r\n" % path)).split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"content-length: 0" in head.lower()
    assert body == b""


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"GET /readyz HTTP/1.1\r\nhost: localhost\r\norigin: x\r\n\r\n", 403),
        (b"HEAD /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n", 200),
        (b"POST /readyz HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\n\r\nabc", 405),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\n\r\n", 400),
        (b"no http at all\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 40_000 + b"\r\n\r\n", 431),
    ],
)
async def test_a_request_that_is_not_a_websocket_gets_one_answer(request_head: bytes, status: int) -> None:
    async with serving() as listener:
        answer = await ask(listener, request_head)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.count(b"HTTP/1.1") == 1


async def test_a_websocket_from_a_web_page_is_refused() -> None:
    async with serving() as listener:
        stream = await open_stream_to_socket_listener(listener)
        with pytest.raises(UpgradeRefused) as refusal:
            await connect(stream, "localhost", "/", [("origin", "https://example.com")])
        await stream.aclose()
    assert refusal.value.status == 403


@pytest.mark.parametrize("kind", ["unix", "tcp"])
async def test_a_peer_is_refused_with_a_reason_and_the_next_is_served(kind: str, tmp_path: Path) -> None:
    asked: list[Peer] = []

    async def refuse(peer: Peer) -> str | None:
        await trio.lowlevel.checkpoint()
        asked.append(peer)
        return "not you" if len(asked) == 1 else None

    target = ListenTarget("unix", path=tmp_path / "s") if kind == "unix" else LOOPBACK

    async def reach(listener: trio.SocketListener) -> trio.SocketStream:
        if kind == "unix":
            return await trio.open_unix_socket(tmp_path / "s")
        return await open_stream_to_socket_listener(listener)

    async with serving(target=target, refuse=refuse) as listener:
        async with await reach(listener) as stream:
            with pytest.raises(UpgradeRefused) as refusal:
                await connect(stream, "localhost", "/")
            assert (refusal.value.status, refusal.value.body) == (403, b"not you\n")
            if kind == "unix":
                assert asked == [Peer(pid=os.getpid(), uid=os.geteuid())]
            else:
                assert asked == [Peer((stream.socket.getsockname(), listener.socket.getsockname()))]
        client = await connect(await reach(listener), "localhost")
        await client.aclose()
    assert len(asked) == 2


async def test_a_peer_that_is_refused_may_still_probe() -> None:
    async def refuse(peer: Peer) -> str | None:
        return "not you"

    async with serving(refuse=refuse) as listener:
        answer = await ask(listener, b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("path", ["/", "/some/path?x"])
async def test_any_path_opens_a_websocket(path: str) -> None:
    async with serving() as listener:
        client = await connect(await open_stream_to_socket_listener(listener), "localhost", path)
        await client.send([b"hello"])
        assert await client.receive() == b"hello"
        await client.aclose()


async def test_the_next_connection_is_served_after_a_crash(caplog: pytest.LogCaptureFixture) -> None:
    async def crash(transport: Transport) -> None:
        if await transport.receive() == b"crash":
            raise RuntimeError("on purpose")
        await transport.send([b"fine"])

    async with serving(crash) as listener:
        first = await connect(await open_stream_to_socket_listener(listener), "localhost")
        second = await connect(await open_stream_to_socket_listener(listener), "localhost")
        with caplog.at_level(logging.ERROR):
            await first.send([b"crash"])
            assert await first.receive() is None
        await second.send([b"go on"])
        assert await second.receive() == b"fine"
        await first.aclose()
        await second.aclose()
    assert [record.getMessage() for record in caplog.records] == ["a connection failed"]


async def test_a_client_that_disappears_is_not_a_crash(caplog: pytest.LogCaptureFixture) -> None:
    ended = trio.Event()

    async def talk(transport: Transport) -> None:
        try:
            while True:
                await transport.send([b"x" * 65536])
        finally:
            ended.set()

    with caplog.at_level(logging.WARNING):
        async with serving(talk) as listener:
            stream = await open_stream_to_socket_listener(listener)
            await connect(stream, "localhost")
            await stream.aclose()
            await ended.wait()
    assert caplog.records == []


async def test_a_stopping_server_sends_close_frames() -> None:
    async with serving() as listener:
        stream = await open_stream_to_socket_listener(listener)
        client = await connect(stream, "localhost")
        await client.send([b"hello"])
        assert await client.receive() == b"hello"
    raw = b""
    with contextlib.suppress(trio.BrokenResourceError):
        while piece := await stream.receive_some():
            raw += piece
    await stream.aclose()
    assert raw == b"\x88\x02\x03\xe9"  # a close frame with 1001


async def test_a_missing_head_times_out_after_ten_seconds(autojump_clock: MockClock) -> None:
    here, there = memory_stream_pair()
    await there.send_all(b"GET / HT")
    assert await handshake(here, "websocket") is None
    assert trio.current_time() == pytest.approx(10)


async def test_a_client_that_does_not_read_its_refusal_is_dropped_after_a_second(autojump_clock: MockClock) -> None:
    here, there = memory_stream_pair()
    await there.send_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert await handshake(here, "websocket") is None
    assert trio.current_time() == pytest.approx(1)


async def test_a_refusal_ends_when_the_client_has_read_it(autojump_clock: MockClock) -> None:
    here, there = memory_stream_pair()
    await there.send_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(handshake, here, "websocket")
        with trio.fail_after(0.5):
            while await there.receive_some():
                pass
        await there.aclose()
    assert trio.current_time() == 0


async def test_a_client_that_disconnects_before_its_request(autojump_clock: MockClock) -> None:
    here, there = memory_stream_pair()
    await there.send_eof()
    assert await handshake(here, "websocket") is None
    assert trio.current_time() == 0


async def test_a_port_in_use_is_an_error() -> None:
    async with open_listeners(LOOPBACK) as listeners:
        port = listeners[0].socket.getsockname()[1]
        with pytest.raises(OSError, match="in use") as error:
            async with open_listeners(ListenTarget("websocket", "127.0.0.1", port)):
                pass
        assert error.value.errno == errno.EADDRINUSE


async def test_a_unix_socket_carries_websockets_and_says_so(tmp_path: Path) -> None:
    kinds: list[str] = []

    async def note(transport: Transport) -> None:
        kinds.append(transport.kind)
        await echo(transport)

    path = tmp_path / "s"
    async with serving(note, ListenTarget("unix", path=path)):
        client = await connect(await trio.open_unix_socket(str(path)), "localhost")
        await client.send([b"hello"])
        assert await client.receive() == b"hello"
        await client.aclose()
    assert kinds == ["unix"]
    assert not path.exists()


async def test_a_tcp_socket_says_websocket() -> None:
    kinds: list[str] = []

    async def note(transport: Transport) -> None:
        kinds.append(transport.kind)

    async with serving(note) as listener:
        client = await connect(await open_stream_to_socket_listener(listener), "localhost")
        assert await client.receive() is None
        await client.aclose()
    assert kinds == ["websocket"]


async def connected(listener: trio.SocketListener) -> WebSocketTransport:
    return await connect(await open_stream_to_socket_listener(listener), "localhost")


async def admitted(listener: trio.SocketListener) -> WebSocketTransport:
    """A connection, opened as soon as the server has capacity."""
    while True:
        stream = await open_stream_to_socket_listener(listener)
        try:
            return await connect(stream, "localhost")
        except UpgradeRefused:
            await stream.aclose()


async def refusal(listener: trio.SocketListener) -> UpgradeRefused:
    async with await open_stream_to_socket_listener(listener) as stream:
        with pytest.raises(UpgradeRefused) as refused:
            await connect(stream, "localhost")
    return refused.value


async def test_connections_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(connections=2) as listener:
        clients = [await connected(listener) for _ in range(2)]
        for _ in range(20):
            refused = await refusal(listener)
            assert (refused.status, refused.body) == (503, b"too many connections\n")
        assert b" 200 " in await ask(listener, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await clients.pop().aclose()
        clients.append(await admitted(listener))
        for client in clients:
            await client.send([b"served"])
            assert await client.receive() == b"served"
            await client.aclose()
    assert "too many connections" in caplog.text


async def test_unfinished_handshakes_are_bounded_and_do_not_affect_open_connections() -> None:
    async with serving(handshakes=2) as listener:
        client = await connected(listener)
        waiting = [await open_stream_to_socket_listener(listener) for _ in range(2)]
        for stream in waiting:
            await stream.send_all(b"GET / HT")
        assert (await refusal(listener)).body == b"too many connections that are being opened\n"
        await client.send([b"served"])
        assert await client.receive() == b"served"
        for stream in waiting:
            await stream.aclose()
        other = await admitted(listener)
        await client.aclose()
        await other.aclose()


def test_half_of_the_descriptors_are_left_for_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, most in ((64, 32), (1024, 512), (1_000_000, 512), (resource.RLIM_INFINITY, 512)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, limit=limit: (limit, limit))
        assert most_connections() == most


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
async def test_without_a_descriptor_connections_wait_and_the_log_says_so_once(
    number: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    accept, failures = trio.SocketListener.accept, 5

    async def failing(listener: trio.SocketListener) -> trio.SocketStream:
        nonlocal failures
        await trio.lowlevel.checkpoint()
        if failures:
            failures -= 1
            raise OSError(number, "out of it")
        return await accept(listener)

    monkeypatch.setattr(trio.SocketListener, "accept", failing)
    monkeypatch.setattr(accepting, "_NO_ROOM_SECONDS", 0)
    with caplog.at_level(logging.INFO, accepting.__name__):
        async with serving() as listener:
            client = await connected(listener)
            await client.aclose()
    assert failures == 0
    assert [record.getMessage() for record in caplog.records] == [
        "connections have to wait: out of it",
        "connections are accepted again",
    ]


async def test_a_client_that_does_not_answer_pings_is_closed(autojump_clock: MockClock) -> None:
    here, there = memory_stream_pair()
    client = WSConnection(ConnectionType.CLIENT)
    await there.send_all(client.send(Request(host="localhost", target="/")))
    transport = await handshake(here, "websocket")
    assert transport is not None
    ended: list[object] = []

    async def handler(transport: Transport) -> None:
        with pytest.raises(trio.ClosedResourceError):
            await transport.receive()
        ended.append(trio.current_time())

    await listen._run_handler(transport, handler)
    assert ended == [pytest.approx(62)]  # and the two seconds of the close handshake
