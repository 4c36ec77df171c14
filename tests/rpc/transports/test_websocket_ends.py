"""Our WebSocket client against our server: handshakes, refusals, and messages sent in pieces."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import h11
import pytest
import trio
from trio.testing import MockClock, memory_stream_pair, wait_all_tasks_blocked
from wsproto.events import (
    Event,
    Ping,
    Pong,
    TextMessage,
)

from spindle.rpc.transports.websocket import UpgradeRefused, WebSocketTransport, accept, connect

from .websocket_peer import server_and_peer


@asynccontextmanager
async def connected(trailing: bytes = b"") -> AsyncIterator[tuple[WebSocketTransport, WebSocketTransport]]:
    """Our client and our server."""
    here, there = memory_stream_pair()
    servers: list[WebSocketTransport] = []

    async def serve() -> None:
        connection = h11.Connection(h11.SERVER)
        while (request := connection.next_event()) is h11.NEED_DATA:
            connection.receive_data(bytes(await there.receive_some()))
        assert isinstance(request, h11.Request)
        assert (b"x-test", b"1") in request.headers
        servers.append(await accept(there, request.target, request.headers, connection.trailing_data[0] + trailing))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        client = await connect(here, "localhost:1", "/any", [("x-test", "1")])
    yield client, servers[0]


async def test_client_and_server_understand_each_other() -> None:
    async with connected() as (client, server):
        await client.send([b"one", b"two"])
        assert [await server.receive(), await server.receive()] == [b"one", b"two"]
        await server.send([b"three", b"x" * 100_000])
        assert await client.receive() == b"three"
        assert await client.receive() == b"x" * 100_000
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.aclose)
            assert await server.receive() is None
            await server.aclose()


async def test_frames_right_after_the_request_head_are_not_lost() -> None:
    frame = b"\x81\x85\0\0\0\0early"
    async with connected(trailing=frame) as (_, server):
        assert await server.receive() == b"early"


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 4\r\n\r\nnope", 401, b"nope"),
        (b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", 403, b""),
    ],
)
async def test_a_refusal_carries_status_and_body(answer: bytes, status: int, body: bytes) -> None:
    here, there = memory_stream_pair()
    await there.send_all(answer)
    await there.send_eof()
    with pytest.raises(UpgradeRefused) as refusal:
        await connect(here, "localhost", "/")
    assert (refusal.value.status, refusal.value.body) == (status, body)


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0\r\n\r\n"])
async def test_a_server_that_does_not_speak_http_is_a_refusal(answer: bytes) -> None:
    here, there = memory_stream_pair()
    await there.send_all(answer)
    await there.send_eof()
    with pytest.raises(UpgradeRefused) as refusal:
        await connect(here, "localhost", "/")
    assert refusal.value.status == 0


async def test_a_silent_server_times_out_after_ten_seconds(autojump_clock: MockClock) -> None:
    here, _there = memory_stream_pair()
    with pytest.raises(trio.TooSlowError):
        await connect(here, "localhost", "/")
    assert trio.current_time() == pytest.approx(10)


async def pieces_of(*parts: bytes | Exception) -> AsyncIterator[bytes]:
    for part in parts:
        if isinstance(part, Exception):
            raise part
        yield part


async def test_a_message_in_pieces_is_one_message_in_fragments() -> None:
    transport, peer = await server_and_peer(memory_stream_pair())
    await transport.send_pieces(pieces_of(b"one ", "zw\u00f6lf".encode(), b"x" * 70_000))
    await transport.send([b"next"])
    events: list[Event] = []
    while len(events) < 4:
        events += await peer.events()
    assert [(event.data, event.message_finished) for event in events if isinstance(event, TextMessage)] == [
        ("one ", False),
        ("zw\u00f6lf", False),
        ("x" * 70_000, True),
        ("next", True),
    ]


async def test_a_message_of_one_piece_is_one_frame() -> None:
    transport, peer = await server_and_peer(memory_stream_pair())
    await transport.send_pieces(pieces_of(b"all"))
    assert await peer.events() == [TextMessage("all")]


async def test_a_ping_is_answered_between_two_pieces() -> None:
    transport, peer = await server_and_peer(memory_stream_pair())
    pinged = trio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"
        await pinged.wait()
        yield b"c"

    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.send_pieces, slowly())
        nursery.start_soon(transport.receive)
        await peer.send(Ping(b"there?"))
        await wait_all_tasks_blocked()
        pinged.set()
        await wait_all_tasks_blocked()
        assert [type(event) for event in await peer.events()] == [TextMessage, TextMessage, Pong, TextMessage]
        nursery.cancel_scope.cancel()


async def test_a_message_whose_pieces_fail_leaves_a_broken_websocket() -> None:
    transport, _ = await server_and_peer(memory_stream_pair())
    with pytest.raises(ValueError, match="no more"):
        await transport.send_pieces(pieces_of(b"a", b"b", ValueError("no more")))
    with pytest.raises(trio.BrokenResourceError):
        await transport.send([b"{}"])


async def test_a_client_sends_pieces_too() -> None:
    here, there = memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_one, there)
        transport = await connect(here, "h")
        await transport.send_pieces(pieces_of(b"one ", b"two"))
        assert await transport.receive() == b"one two"


async def serve_one(stream: trio.abc.Stream) -> None:
    request = h11.Connection(h11.SERVER)
    while not isinstance(event := request.next_event(), h11.Request):
        request.receive_data(bytes(await stream.receive_some()))
    transport = await accept(stream, event.target, list(event.headers))
    message = await transport.receive()
    assert message is not None
    await transport.send([bytes(message)])
