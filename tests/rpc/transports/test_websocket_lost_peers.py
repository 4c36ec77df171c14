"""Pings find a peer that disappeared without closing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, lockstep_stream_pair, memory_stream_pair
from wsproto.events import (
    Ping,
    TextMessage,
)

from spindle.rpc.transports.websocket import WebSocketTransport

from .websocket_peer import server_and_peer


async def lost_at(transport: WebSocketTransport) -> float:
    """The time at which the peer counts as lost; an hour later if it does not."""
    with trio.move_on_after(3600):
        await transport.lost()
    return trio.current_time()


@asynccontextmanager
async def receiving(transport: WebSocketTransport) -> AsyncIterator[None]:
    """A task that receives all messages."""

    async def receive() -> None:
        while await transport.receive() is not None:
            pass

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        yield
        nursery.cancel_scope.cancel()


async def test_a_peer_that_answers_nothing_is_lost(autojump_clock: MockClock) -> None:
    transport, peer = await server_and_peer(memory_stream_pair())
    async with receiving(transport):
        assert await lost_at(transport) == 60
    assert await peer.events() == [Ping(b"")]


async def test_a_peer_that_answers_pings_is_there(autojump_clock: MockClock) -> None:
    transport, peer = await server_and_peer(memory_stream_pair())
    pings = 0

    async def answer() -> None:
        nonlocal pings
        while True:
            for event in await peer.events():
                assert isinstance(event, Ping)
                pings += 1
                await trio.sleep(29)
                await peer.send(event.response())

    async with receiving(transport), trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        assert await lost_at(transport) == 3600
        nursery.cancel_scope.cancel()
    assert pings == pytest.approx(3600 / 59, abs=1)


async def test_a_peer_that_says_anything_is_there_and_is_not_pinged_meanwhile(autojump_clock: MockClock) -> None:
    transport, peer = await server_and_peer(memory_stream_pair())

    async def talk() -> None:
        while True:
            await trio.sleep(20)
            await peer.send(TextMessage("x"))

    async with receiving(transport), trio.open_nursery() as nursery:
        nursery.start_soon(talk)
        assert await lost_at(transport) == 3600
        nursery.cancel_scope.cancel()
    await transport.send([b"first"])
    assert await peer.events() == [TextMessage("first")]


@pytest.mark.parametrize(("pause", "until"), [(20, 3600), (3600, 60)])
async def test_a_peer_that_reads_blocked_writes_is_there(
    autojump_clock: MockClock, pause: float, until: float
) -> None:
    """Nothing is received meanwhile, so a pong would not be noticed."""
    transport, peer = await server_and_peer(lockstep_stream_pair())

    async def send() -> None:
        while True:
            await transport.send([b"x" * 1000])

    async def read() -> None:
        while True:
            await trio.sleep(pause)
            await peer.stream.receive_some()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        nursery.start_soon(read)
        assert await lost_at(transport) == until
        nursery.cancel_scope.cancel()
