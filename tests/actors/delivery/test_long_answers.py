"""Answers that are encoded while they are sent."""

from typing import Any

import orjson
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from spindle.actors.delivery import long_answers as streaming
from spindle.actors.delivery.long_answers import LongMessage, Streamed
from spindle.actors.delivery.outbox import Outbox, Overflow
from spindle.actors.delivery.snapshot import Snapshot
from spindle.storage.rollout.source import RolloutChanged

# as an answer is: turns last in the thread, and other members behind it that may hold anything
RESULT: dict[str, Any] = {"thread": {"id": "t", "name": '"turns":[]', "turns": []}, "page": {"turns": []}}


def turns(count):
    return [{"id": str(number), "items": [{"text": "ö" * 10}]} for number in range(count)]


class Guarded(Snapshot):
    """Tells whether it was closed; fails after some turns."""

    closed = False
    fails_at = -1

    def read(self, numbers):
        for number in numbers:
            if number == self.fails_at:
                raise RolloutChanged("rewritten")
            yield from super().read([number])

    def close(self):
        self.closed = True
        super().close()


async def sent(message):
    """All pieces."""
    out, made = trio.open_memory_channel(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(message.make, out)
        return [piece async for piece in message.pieces(made)]


@pytest.mark.parametrize("count", [0, 1, 2, 50])
@pytest.mark.parametrize("size", [1, 100, 10_000])
async def test_the_pieces_are_the_message(monkeypatch, count, size):
    monkeypatch.setattr(streaming, "PIECE", size)
    pieces = await sent(LongMessage.answer(7, Streamed(RESULT, Snapshot.of(turns(count)))))
    assert orjson.loads(b"".join(pieces)) == {
        "id": 7,
        "result": {**RESULT, "thread": {**RESULT["thread"], "turns": turns(count)}},
    }
    assert all(pieces)
    assert all(piece.decode() for piece in pieces)
    assert len(pieces) == (count + 1 if size == 1 else len(pieces))


async def test_only_one_piece_is_encoded_ahead(monkeypatch):
    monkeypatch.setattr(streaming, "PIECE", 1)
    read = []

    class Counted(Snapshot):
        def read(self, numbers):
            for body in super().read(numbers):
                read.append(body["id"])
                yield body

    message = LongMessage.answer(7, Streamed(RESULT, Counted.of(turns(50))))
    out, made = trio.open_memory_channel(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(message.make, out)
        await made.receive()
        while len(read) < 3:  # worker threads make them
            await trio.lowlevel.checkpoint()
        await wait_all_tasks_blocked()
        assert len(read) == 3
        nursery.cancel_scope.cancel()
    await made.aclose()


async def test_an_error_while_encoding_is_raised_with_the_pieces(monkeypatch):
    monkeypatch.setattr(streaming, "PIECE", 1)
    snapshot = Guarded.of(turns(5))
    snapshot.fails_at = 3
    message = LongMessage.answer(7, Streamed(RESULT, snapshot))
    pieces: list[bytes] = []
    out, made = trio.open_memory_channel(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(message.make, out)
        with pytest.raises(RolloutChanged):
            await collect(message.pieces(made), pieces)
    assert len(pieces) == 3


async def collect(source, into):
    async for one in source:
        into.append(one)


async def test_an_answer_whose_turns_cannot_be_read_is_an_error():
    snapshot = Guarded.of(turns(5))
    snapshot.fails_at = 3
    (answer,) = await sent(LongMessage.answer(7, Streamed(RESULT, snapshot)))
    error = orjson.loads(answer)["error"]
    assert (error["code"], error["message"]) == (-32603, "failed to read the thread's history: rewritten")


async def test_an_answer_frees_its_turns_unless_it_is_sent_at_once():
    waiting, behind, late = Guarded.of([]), Guarded.of([]), Guarded.of([])
    outbox = Outbox(Overflow.CLOSE)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.take)
        await wait_all_tasks_blocked()
        outbox.put(LongMessage.answer(1, Streamed(RESULT, waiting)))
        outbox.put(LongMessage.answer(2, Streamed(RESULT, behind)))
    outbox.close()
    outbox.put(LongMessage.answer(3, Streamed(RESULT, late)))
    assert (waiting.closed, behind.closed, late.closed) == (False, True, True)


@pytest.mark.parametrize("end", [Outbox.discard, Outbox._overflows])
async def test_an_answer_that_is_not_taken_frees_its_turns(end):
    left = Guarded.of([])
    outbox = Outbox(Overflow.CLOSE)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.take)
        await wait_all_tasks_blocked()
        outbox.put(LongMessage.answer(1, Streamed(RESULT, left)))
        assert not left.closed
        end(outbox)
    assert left.closed


def test_a_changed_answer_keeps_its_turns():
    snapshot = Snapshot.of(turns(1))
    changed = Streamed({"turns": []}, snapshot).map(lambda thread: {"thread": thread})
    assert (changed.result, changed.turns) == ({"thread": {"turns": []}}, snapshot)


async def test_a_turn_that_cannot_be_encoded_becomes_a_failed_turn(caplog):
    bad = {"id": "bad\udcff", "items": [{"text": "\ud800"}]}
    pieces = await sent(LongMessage.answer(7, Streamed(RESULT, Snapshot.of([*turns(1), bad, *turns(1)]))))
    first, shown, last = orjson.loads(b"".join(pieces))["result"]["thread"]["turns"]
    assert [first, last] == [*turns(1), *turns(1)]
    assert (shown["id"], shown["status"], shown["items"]) == ("bad\ufffd", "failed", [])
    assert "UTF-8" in shown["error"]["message"]
    assert "UTF-8" in caplog.text


def test_an_answer_whose_beginning_cannot_be_encoded_closes_its_file():
    snapshot = Guarded.of([])
    with pytest.raises(TypeError):
        LongMessage.answer(1, Streamed({"name": "\udcff", **RESULT}, snapshot))
    assert snapshot.closed


async def test_an_unexpected_error_while_reading_turns_is_the_answer(caplog):
    class Broken(Snapshot):
        def read(self, numbers):
            raise KeyError("unforeseen")
            yield

    (answer,) = await sent(LongMessage.answer(7, Streamed(RESULT, Broken.of(turns(1)))))
    assert "unforeseen" in orjson.loads(answer)["error"]["message"]
    assert "cannot be read" in caplog.text


async def test_an_unexpected_error_later_is_raised_with_the_pieces(monkeypatch):
    monkeypatch.setattr(streaming, "PIECE", 1)

    class Broken(Snapshot):
        def read(self, numbers):
            yield from super().read(numbers)
            raise KeyError("unforeseen")

    out, made = trio.open_memory_channel(1)
    message = LongMessage.answer(7, Streamed(RESULT, Broken.of(turns(1))))
    pieces: list[bytes] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(message.make, out)
        with pytest.raises(KeyError):
            await collect(message.pieces(made), pieces)
    assert len(pieces) == 1
