"""WebSocketTransport over memory streams: frames, pings, the close handshake, violations of the protocol."""

import tracemalloc
from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock, lockstep_stream_pair, memory_stream_pair, wait_all_tasks_blocked
from wsproto.events import (
    BytesMessage,
    CloseConnection,
    Ping,
    Pong,
    TextMessage,
)

from .websocket_peer import server_and_peer

KEPT = tracemalloc.Filter(True, "*/rpc/transports/websocket.py")


async def test_text_frames_are_messages() -> None:
    transport, peer = await server_and_peer(memory_stream_pair())
    await peer.send(TextMessage("one"), TextMessage("zw\u00f6lf"))
    assert await transport.receive() == b"one"
    assert await transport.receive() == "zw\u00f6lf".encode()


async def test_fragments_are_joined() -> None:
    transport, peer = await server_and_peer(memory_stream_pair())
    parts = [TextMessage("a", message_finished=False), TextMessage("b", message_finished=False), TextMessage("c")]
    await peer.send(parts[0], Ping(b"between"), parts[1], parts[2])
    assert await transport.receive() == b"abc"
    assert await peer.events() == [Pong(b"between")]


async def test_bytes_may_arrive_one_at_a_time() -> None:
    transport, peer = await server_and_peer(lockstep_stream_pair())
    data = b"".join(peer.websocket.send(TextMessage(text)) for text in ("\u20ac" * 50, "second"))
    async with trio.open_nursery() as nursery:

        async def trickle() -> None:
            for byte in data:
                await peer.stream.send_all(bytes((byte,)))

        nursery.start_soon(trickle)
        assert await transport.receive() == ("\u20ac" * 50).encode()
        assert await transport.receive() == b"second"


async def test_binary_messages_are_ignored() -> None:
    transport, peer = await server_and_peer(memory_stream_pair())
    await peer.send(BytesMessage(b"one"), TextMessage("two"))
    assert await transport.receive() == b"two"


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65535, 65536])
async def test_a_batch_arrives_as_one_frame_each(length: int) -> None:
    transport, peer = await server_and_peer(memory_stream_pair())
    batch = [b"x" * length, b"end"]
    await transport.send(batch)
    peer.websocket.receive_data(bytes(await peer.stream.receive_some()))
    # One read brought all of it, so it was one write; wsproto, which checks each header, found two whole frames.
    found = [event for event in peer.websocket.events() if isinstance(event, TextMessage) and event.frame_finished]
    assert [event.data for event in found] == [message.decode() for message in batch]


async def test_a_ping_is_answered_while_receiving() -> None:
    transport, peer = await server_and_peer(memory_stream_pair())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.receive)
        await peer.send(Ping(b"1"))
        assert await peer.events() == [Pong(b"1")]
        nursery.cancel_scope.cancel()


async def test_messages_of_a_peer_that_does_not_read_are_received() -> None:
    """The pong must wait for the blocked batch; the messages after the ping need not."""
    transport, peer = await server_and_peer(lockstep_stream_pair())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.send, [b"stuck"])
        await wait_all_tasks_blocked()
        nursery.start_soon(peer.send, Ping(b"1"), TextMessage("read"))
        assert await transport.receive() == b"read"
        found = [*await peer.events(), *await peer.events()]
    assert found == [TextMessage("stuck"), Pong(b"1")]


async def test_a_deadline_around_receive_does_not_cut_a_pong() -> None:
    transport, peer = await server_and_peer(lockstep_stream_pair())
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(peer.send, Ping(b"1"))

            async def cancel_when_stuck() -> None:
                await wait_all_tasks_blocked()
                scope.cancel()
                assert await peer.events() == [Pong(b"1")]

            nursery.start_soon(cancel_when_stuck)
            await transport.receive()
    assert scope.cancelled_caught
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.send, [b"whole"])
        assert await peer.events() == [TextMessage("whole")]


async def test_a_cancelled_receive_loses_nothing() -> None:
    transport, peer = await server_and_peer(memory_stream_pair())
    await peer.send(TextMessage("one"), TextMessage("two"))
    assert await transport.receive() == b"one"
    with trio.CancelScope() as scope:
        scope.cancel()
        await transport.receive()
    assert scope.cancelled_caught
    assert await transport.receive() == b"two"


async def test_the_peers_close_is_answered_and_ends_the_messages() -> None:
    transport, peer = await server_and_peer(memory_stream_pair())
    await peer.send(TextMessage("last"), CloseConnection(1001, "bye"))
    assert await transport.receive() == b"last"
    assert await transport.receive() is None
    assert await peer.events() == [CloseConnection(1001, "bye")]
    with pytest.raises(trio.BrokenResourceError):
        await transport.send([b"x"])
    await transport.aclose()
    assert await peer.stream.receive_some() == b""


async def test_a_connection_that_ends_without_a_close_frame_is_an_end() -> None:
    transport, peer = await server_and_peer(memory_stream_pair())
    await peer.stream.aclose()
    assert await transport.receive() is None
    await transport.aclose()


async def test_our_close_waits_for_the_peers() -> None:
    transport, peer = await server_and_peer(memory_stream_pair())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.aclose, 1008, "too slow")
        assert await peer.events() == [CloseConnection(1008, "too slow")]
        await wait_all_tasks_blocked()
        assert nursery.child_tasks
        await peer.send(CloseConnection(1008))
    assert await peer.stream.receive_some() == b""
    with pytest.raises(trio.ClosedResourceError):
        await transport.receive()
    with pytest.raises(trio.ClosedResourceError):
        await transport.send([b"x"])


async def test_close_during_a_pending_receive() -> None:
    transport, peer = await server_and_peer(memory_stream_pair())
    results: list[bytes | bytearray | None] = []

    async def receive() -> None:
        results.append(await transport.receive())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await wait_all_tasks_blocked()
        nursery.start_soon(transport.aclose)
        await wait_all_tasks_blocked()
        await peer.send(TextMessage("too late"))
        assert await peer.events() == [CloseConnection(1000, "")]
        await peer.send(CloseConnection(1000))
    assert results == [None]


async def test_a_peer_that_does_not_close_times_out(autojump_clock: MockClock) -> None:
    transport, peer = await server_and_peer(memory_stream_pair())
    start = trio.current_time()
    await transport.aclose()
    assert trio.current_time() - start == pytest.approx(2)
    assert await peer.events() == [CloseConnection(1000, "")]


async def test_a_stuck_send_ends_when_the_transport_closes(autojump_clock: MockClock) -> None:
    transport, _ = await server_and_peer(lockstep_stream_pair())

    async def stuck() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await transport.send([b"x"])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stuck)
        await wait_all_tasks_blocked()
        await transport.aclose()


async def test_a_cancelled_close_closes_at_once() -> None:
    transport, peer = await server_and_peer(memory_stream_pair())
    with trio.CancelScope() as scope:
        scope.cancel()
        await transport.aclose()
    assert scope.cancelled_caught
    assert await peer.stream.receive_some() == b""


async def test_after_a_send_cut_in_two_nothing_more_is_sent() -> None:
    transport, _ = await server_and_peer(lockstep_stream_pair())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.send, [b"one"])
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    with pytest.raises(trio.BrokenResourceError):
        await transport.send([b"two"])


@pytest.mark.parametrize("texts", [["x" * 11], ["x" * 6, "x" * 5], ["\u20ac" * 4]])
async def test_a_message_beyond_the_limit_closes_with_1009(texts: Sequence[str]) -> None:
    transport, peer = await server_and_peer(memory_stream_pair(), max_message_bytes=10)
    last = len(texts) - 1
    await peer.send(TextMessage("x" * 10))
    await peer.send(*(TextMessage(text, message_finished=place == last) for place, text in enumerate(texts)))
    assert await transport.receive() == b"x" * 10
    assert await transport.receive() is None
    assert await peer.events() == [CloseConnection(1009, "a message may have 10 bytes")]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x81\x83\0\0\0\0a\xffb", 1007),  # text that is not UTF-8
        (b"\x81\x01a", 1002),  # a client has to mask
        (b"\xc1\x81\0\0\0\0a", 1002),  # an extension that was never negotiated
    ],
)
async def test_a_broken_frame_closes_with_a_reason(frame: bytes, code: int) -> None:
    transport, peer = await server_and_peer(memory_stream_pair())
    await peer.stream.send_all(frame)
    assert await transport.receive() is None
    (close,) = await peer.events()
    assert isinstance(close, CloseConnection)
    assert close.code == code
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.aclose)
        await peer.stream.send_all(frame)  # later bytes are not read as frames
        await peer.stream.aclose()


async def test_after_a_broken_frame_the_peer_has_time_to_read_the_reason(autojump_clock: MockClock) -> None:
    """Closing at once, with unread bytes, would reset a TCP connection and lose the close frame."""
    transport, peer = await server_and_peer(memory_stream_pair())
    await peer.stream.send_all(b"\x81\x01a")
    assert await transport.receive() is None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.aclose)
        await peer.events()
        assert await peer.stream.receive_some() == b""
        await peer.stream.send_all(b"unread")
        await wait_all_tasks_blocked()
        assert nursery.child_tasks
        await peer.stream.aclose()
    assert trio.current_time() == 0


async def test_a_flood_of_frames_lets_other_tasks_run() -> None:
    transport, peer = await server_and_peer(memory_stream_pair())
    await peer.send(*[Ping(b"")] * 6400, TextMessage("at last"))
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        assert await transport.receive() == b"at last"
        nursery.cancel_scope.cancel()
    assert turns >= 100


async def test_all_messages_after_a_flood_are_received_in_order() -> None:
    transport, peer = await server_and_peer(memory_stream_pair())
    await peer.send(*(TextMessage(str(number)) for number in range(1000)), CloseConnection(1000))
    received = [await transport.receive() for _ in range(1000)]
    assert received == [b"%d" % number for number in range(1000)]
    assert await transport.receive() is None


async def test_a_message_in_very_many_pieces_uses_only_the_memory_of_its_bytes() -> None:
    transport, peer = await server_and_peer(memory_stream_pair(), max_message_bytes=10_000)
    size = 0
    tracemalloc.start()
    try:
        await peer.send(*[TextMessage("x" if n % 2 else "", message_finished=False) for n in range(19_000)])
        with trio.move_on_after(0.05):
            await transport.receive()
        size = sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([KEPT]).traces)
    finally:
        tracemalloc.stop()
    assert size < 30_000
