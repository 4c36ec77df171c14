"""LineTransport: framing, limits, the end of the input, and stdio in a process of its own."""

import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import (
    MemoryReceiveStream,
    MemorySendStream,
    assert_no_checkpoints,
    lockstep_stream_one_way_pair,
    memory_stream_one_way_pair,
    wait_all_tasks_blocked,
)

from spindle.rpc.transports.lines import EagerFdStream, LineTooLong, LineTransport


def pipe(**options: Any) -> tuple[MemorySendStream, LineTransport, MemoryReceiveStream]:
    feed, receive_stream = memory_stream_one_way_pair()
    send_stream, sink = memory_stream_one_way_pair()
    return feed, LineTransport(receive_stream, send_stream, **options), sink


async def everything(transport: LineTransport) -> list[bytes]:
    found: list[bytes] = []
    while (message := await transport.receive()) is not None:
        found.append(bytes(message))
    return found


async def test_each_line_is_a_message() -> None:
    feed, transport, _ = pipe()
    await feed.send_all(b'{"id":1}\n\n{"id":2}\n')
    await feed.aclose()
    assert await everything(transport) == [b'{"id":1}', b'{"id":2}']
    assert await transport.receive() is None  # the end stays the end


async def test_only_a_newline_ends_a_line() -> None:
    line = '{"a":"\u2028\x85\x0b\x0c"}\r'.encode()
    feed, transport, _ = pipe()
    await feed.send_all(line + b"\n")
    assert await transport.receive() == line


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_chunk_borders_do_not_matter(size: int) -> None:
    feed, transport, _ = pipe()
    text = b"one\ntwo\n\nthree"
    async with trio.open_nursery() as nursery:

        async def trickle() -> None:
            for start in range(0, len(text), size):
                await feed.send_all(text[start : start + size])
                await wait_all_tasks_blocked()
            await feed.aclose()

        nursery.start_soon(trickle)
        assert await everything(transport) == [b"one", b"two", b"three"]


async def test_an_unfinished_last_line_is_a_message() -> None:
    feed, transport, _ = pipe()
    await feed.send_all(b"one\ntwo")
    await feed.aclose()
    assert await everything(transport) == [b"one", b"two"]


async def test_a_message_of_the_longest_length_passes_and_a_longer_one_is_skipped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    feed, transport, _ = pipe(max_message_bytes=5)
    await feed.send_all(b"12345\n123456\nok\n")
    await feed.aclose()
    with caplog.at_level(logging.WARNING):
        assert await everything(transport) == [b"12345", b"ok"]
    assert [record.getMessage() for record in caplog.records] == ["skipped a message of 6 bytes: the limit is 5"]


async def test_a_batch_is_one_write() -> None:
    _, transport, sink = pipe()
    await transport.send([b"one", b"two"])
    assert await sink.receive_some(100) == b"one\ntwo\n"


async def test_an_empty_batch_writes_nothing() -> None:
    _, transport, sink = pipe()
    await transport.send([])
    await transport.aclose()
    assert await sink.receive_some() == b""


async def test_a_cancelled_receive_loses_nothing() -> None:
    feed, transport, _ = pipe()
    await feed.send_all(b"one\ntwo\n")
    assert await transport.receive() == b"one"
    with trio.CancelScope() as scope:
        scope.cancel()
        await transport.receive()
    assert scope.cancelled_caught
    assert await transport.receive() == b"two"


async def test_after_a_send_cut_in_two_nothing_more_is_sent() -> None:
    send_stream, sink = lockstep_stream_one_way_pair()  # its send waits for the reader
    transport = LineTransport(memory_stream_one_way_pair()[1], send_stream)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.send, [b"one"])
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    with pytest.raises(trio.BrokenResourceError):
        await transport.send([b"two"])
    await sink.aclose()


async def test_a_send_cancelled_beforehand_leaves_the_transport_whole() -> None:
    _, transport, sink = pipe()
    with trio.CancelScope() as scope:
        scope.cancel()
        await transport.send([b"one"])
    assert scope.cancelled_caught
    await transport.send([b"two"])
    assert await sink.receive_some() == b"two\n"


async def test_a_closed_reader_is_an_error_for_the_sender() -> None:
    _, transport, sink = pipe()
    await sink.aclose()
    with pytest.raises(trio.BrokenResourceError):
        await transport.send([b"one"])


async def test_closed_is_closed_in_both_directions() -> None:
    _, transport, _ = pipe()
    await transport.aclose()
    await transport.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await transport.receive()
    with pytest.raises(trio.ClosedResourceError):
        await transport.send([b"one"])


async def test_what_was_read_before_comes_first() -> None:
    feed, receive_stream = memory_stream_one_way_pair()
    transport = LineTransport(receive_stream, memory_stream_one_way_pair()[0], received=b"one\ntwo\nth")
    await feed.send_all(b"ree\n")
    await feed.aclose()
    assert await everything(transport) == [b"one", b"two", b"three"]


async def test_what_was_read_before_is_bounded_too() -> None:
    feed, receive_stream = memory_stream_one_way_pair()
    transport = LineTransport(
        receive_stream, memory_stream_one_way_pair()[0], max_message_bytes=4, received=b"too long\nlon"
    )
    await feed.send_all(b"ger\nfits\n")
    await feed.aclose()
    assert await everything(transport) == [b"fits"]


@pytest.mark.parametrize("sent", [b"o", b"one", b"one\n"])
async def test_what_was_written_before_is_left_out(sent: bytes) -> None:
    send_stream, sink = memory_stream_one_way_pair()
    transport = LineTransport(memory_stream_one_way_pair()[1], send_stream, sent=sent)
    await transport.send([b"one", b"two"])
    await transport.send([b"one"])
    assert sent + bytes(await sink.receive_some()) == b"one\ntwo\none\n"


async def test_another_message_than_was_begun_breaks_the_transport() -> None:
    send_stream, sink = memory_stream_one_way_pair()
    transport = LineTransport(memory_stream_one_way_pair()[1], send_stream, sent=b"one\n")
    with pytest.raises(RuntimeError, match="already written"):
        await transport.send([b"other"])
    with pytest.raises(trio.BrokenResourceError):
        await transport.send([b"one"])
    await transport.aclose()
    assert await sink.receive_some() == b""


# -- stdio: descriptors 0 and 1 belong to the whole process, so each of these has one of its own -------------------

ECHO = """
import os, sys, trio
from spindle.rpc.transports.lines import open_stdio

async def main():
    before = os.get_blocking(0), os.get_blocking(1)
    transport = open_stdio()
    count = size = 0
    while (message := await transport.receive()) is not None:
        count, size = count + 1, size + len(message)
    await transport.send([b"%d messages, %d bytes" % (count, size)] + [b"x" * 100_000] * 3)
    await transport.aclose()
    assert (os.get_blocking(0), os.get_blocking(1)) == before, "blocking mode was not restored"

trio.run(main)
"""


def summary(output: bytes) -> bytes:
    first, *others = output.splitlines()
    assert others == [b"x" * 100_000] * 3
    return first


def test_stdio_over_pipes() -> None:
    sent = (b"y" * 1000 + b"\n") * 500
    done = subprocess.run([sys.executable, "-c", ECHO], input=sent, capture_output=True, check=True, timeout=60)
    assert summary(done.stdout) == b"500 messages, 500000 bytes"


def test_stdio_over_files(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"one\ntwo\n")
    with (tmp_path / "in").open("rb") as stdin, (tmp_path / "out").open("wb") as stdout:
        subprocess.run([sys.executable, "-c", ECHO], stdin=stdin, stdout=stdout, check=True, timeout=60)
    assert summary((tmp_path / "out").read_bytes()) == b"2 messages, 6 bytes"


def test_stdio_without_input() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ECHO], stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=60
    )
    assert summary(done.stdout) == b"0 messages, 0 bytes"


def test_stdio_where_both_are_one_open_file(tmp_path: Path) -> None:
    """As with a terminal: the second descriptor is already non-blocking because of the first."""
    with (tmp_path / "both").open("w+b") as both:
        subprocess.run([sys.executable, "-c", ECHO], stdin=both, stdout=both, check=True, timeout=60)
    assert summary((tmp_path / "both").read_bytes()) == b"0 messages, 0 bytes"


async def pieces_of(*parts: bytes | Exception) -> AsyncIterator[bytes]:
    for part in parts:
        if isinstance(part, Exception):
            raise part
        yield part


async def test_a_message_in_pieces_is_one_line_and_nothing_comes_between() -> None:
    _, transport, sink = pipe()
    arrived = trio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b'{"a":'
        await arrived.wait()
        yield b"1}"

    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.send_pieces, slowly())
        await wait_all_tasks_blocked()
        nursery.start_soon(transport.send, [b"next"])
        await wait_all_tasks_blocked()
        arrived.set()
    assert await sink.receive_some() == b'{"a":1}\nnext\n'


async def test_a_message_whose_pieces_fail_leaves_a_broken_transport() -> None:
    _, transport, _ = pipe()
    with pytest.raises(ValueError, match="no more"):
        await transport.send_pieces(pieces_of(b"{", ValueError("no more")))
    with pytest.raises(trio.BrokenResourceError):
        await transport.send([b"{}"])
    with pytest.raises(trio.BrokenResourceError):
        await transport.send_pieces(pieces_of(b"{}"))
    await transport.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await transport.send_pieces(pieces_of(b"{}"))


@pytest.mark.parametrize("rest", [b"12345678", b"12345678\nafter\n", b"12345678" * 100])
async def test_a_longer_line_ends_a_transport_that_does_not_skip(rest: bytes) -> None:
    feed, transport, _ = pipe(max_message_bytes=7, skip_longer=False)
    await feed.send_all(b"one\n1234567\n" + rest)
    assert [await transport.receive(), await transport.receive()] == [b"one", b"1234567"]
    for _ in range(2):
        with pytest.raises(LineTooLong, match="a line of more than 7 bytes"):
            await transport.receive()


@contextlib.asynccontextmanager
async def descriptors() -> AsyncIterator[tuple[trio.lowlevel.FdStream, EagerFdStream]]:
    read_fd, write_fd = os.pipe()
    async with trio.lowlevel.FdStream(read_fd) as reader, EagerFdStream(write_fd) as writer:
        yield reader, writer


async def test_a_descriptor_is_written_to_at_once() -> None:
    async with descriptors() as (reader, writer):
        with assert_no_checkpoints():
            await writer.send_all(b"x")
        assert await reader.receive_some(10) == b"x"


async def test_what_a_full_pipe_does_not_take_is_written_later() -> None:
    data = os.urandom(1_000_000)
    async with descriptors() as (reader, writer), trio.open_nursery() as nursery:
        nursery.start_soon(writer.send_all, data)
        await wait_all_tasks_blocked()
        received = bytearray()
        while len(received) < len(data):
            received += await reader.receive_some(65536)
        assert received == data


async def test_a_lost_reader_or_a_closed_descriptor_is_an_error_of_the_write() -> None:
    async with descriptors() as (reader, writer):
        await reader.aclose()
        with pytest.raises(trio.BrokenResourceError):
            await writer.send_all(b"x")
        await writer.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await writer.send_all(b"x")
