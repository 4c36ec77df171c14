"""A conversation that continues from a rollout: what it reads, and when."""

import threading

import orjson
import pytest
import trio
import trio.testing

from spindle.actors.thread.conversation import Conversation
from spindle.rpc.large import LARGE
from spindle.storage.home import Home
from spindle.storage.rollout.journal import Journal, JournalError
from spindle.storage.rollout.lines import encode_line
from spindle.storage.rollout.outliner import Outliner
from spindle.storage.rollout.reading import OpenRollout

THREAD = "00000000-0000-7000-8000-000000000001"


def message(role, text):
    return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}


def turn(id, text, *more, end=True):
    event = {"type": "user_message", "message": text, "images": [], "local_images": [], "text_elements": []}
    return [
        ("event_msg", {"type": "task_started", "turn_id": id, "started_at": 1}),
        ("turn_context", {"turn_id": id, "cwd": f"/{id}"}),
        ("response_item", message("user", text)),
        ("event_msg", event),
        *more,
        *([("event_msg", {"type": "task_complete", "turn_id": id})] if end else []),
    ]


CALL = ("response_item", {"type": "function_call", "call_id": "c", "name": "n", "arguments": "{}"})


@pytest.fixture
def stored(tmp_path):
    """stored(entries) -> a conversation that follows a rollout with these lines"""
    home = Home(tmp_path)

    def write(*entries):
        path = tmp_path / "rollout.jsonl"
        head = ("session_meta", {"id": THREAD, "timestamp": "2025-01-05T12:00:00.000Z", "cwd": "/"})
        path.write_bytes(b"".join(encode_line(*entry) for entry in (head, *entries)))
        outliner = Outliner()
        conversation = Conversation(home, THREAD, path, {}, outliner)
        with OpenRollout(path, outliner) as rollout:
            conversation.follow(rollout)
        return conversation

    return write


def texts(conversation):
    return [part["text"] for item in map(orjson.loads, conversation.items) for part in item.get("content", ())]


async def test_the_history_is_read_when_it_is_needed(stored):
    conversation = stored(*turn("t1", "one"), *turn("t2", "two"))
    assert conversation.last_context == {"turn_id": "t2", "cwd": "/t2"}
    with pytest.raises(RuntimeError, match="has not been loaded"):
        _ = conversation.items
    assert await conversation.begin() is False
    conversation.end()
    assert texts(conversation) == ["one", "two"]


async def test_what_is_recorded_before_the_history_is_read_is_in_it_once(stored):
    conversation = stored(*turn("t1", "one"))
    await conversation.begin(history=False)
    conversation.record([("response_item", message("user", "injected"))])
    conversation.end()
    await conversation.begin()
    conversation.record([("response_item", message("user", "two"))])
    conversation.end()
    assert texts(conversation) == ["one", "injected", "two"]


async def test_a_history_that_another_program_continued_is_reloaded(stored):
    conversation = stored(*turn("t1", "one"))
    await conversation.begin()
    conversation.end()
    with conversation.path.open("ab") as file:
        file.write(b"".join(encode_line(*entry) for entry in turn("t2", "two")))
    assert await conversation.begin() is True
    conversation.end()
    assert texts(conversation) == ["one", "two"]
    assert conversation.last_context == {"turn_id": "t2", "cwd": "/t2"}


async def test_a_call_that_a_crash_left_open_gets_an_output_when_the_history_is_read(stored):
    conversation = stored(*turn("t1", "one", CALL, end=False))
    assert conversation.cut_off_turn == "t1"
    before = conversation.path.read_bytes()
    await conversation.begin(history=False)
    conversation.end()
    assert conversation.path.read_bytes() == before
    await conversation.begin()
    conversation.end()
    added = orjson.loads(conversation.path.read_bytes()[len(before) :])["payload"]
    assert added == {"type": "function_call_output", "call_id": "c", "output": "aborted"}
    assert orjson.loads(conversation.items[-1]) == added


async def test_the_model_gets_both_ends_of_a_long_output(stored):
    output = "".join(f"{number:07d}\n" for number in range(20_000))
    answer = ("response_item", {"type": "function_call_output", "call_id": "c", "output": output})
    conversation = stored(*turn("t1", "one", CALL, answer))
    await conversation.begin()
    conversation.end()
    sent = orjson.loads(conversation.items[-1])["output"]
    assert sent == f"{output[:20_000]}…30000 tokens truncated…{output[-20_000:]}"
    assert output.encode() in conversation.path.read_bytes().replace(b"\\n", b"\n")


async def test_a_snapshot_does_not_see_what_comes_after_it(stored):
    conversation = stored(*turn("t1", "one"))
    snapshot = await conversation.snapshot(None)
    await conversation.begin()
    conversation.record(turn("t2", "two"))
    conversation.end()
    assert [body["id"] for body in snapshot.read(range(len(snapshot.ids)))] == ["t1"]
    snapshot.close()
    assert (await conversation.snapshot(None)).ids == ["t1", "t2"]


async def test_a_missing_rollout_leaves_the_conversation_closed(stored):
    conversation = stored(*turn("t1", "one"))
    conversation.path.unlink()
    for _ in range(2):
        with pytest.raises(JournalError, match="is gone"):
            await conversation.begin()
    assert not conversation.path.exists()


def response(text):
    return ("response_item", message("user", text))


@pytest.fixture
def slowly(monkeypatch):
    """slowly.begun is set when a worker thread is about to append, which it does when slowly.go is set."""

    class Slowly:
        begun, go = trio.Event(), threading.Event()

    append, home = Journal.append, threading.current_thread()

    def held(journal, lines):
        if threading.current_thread() is not home:
            trio.from_thread.run_sync(Slowly.begun.set)
            Slowly.go.wait()
        append(journal, lines)

    monkeypatch.setattr(Journal, "append", held)
    return Slowly


def in_file(conversation):
    with open(conversation.path, "rb") as file:
        lines = [line["payload"] for line in map(orjson.loads, file) if line["type"] == "response_item"]
    return [payload["content"][0]["text"][:5] for payload in lines]


async def test_entries_recorded_while_a_large_one_is_written_come_behind_it(stored, slowly):
    conversation = stored(*turn("t1", "one"))
    await conversation.begin()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(conversation.keep, [response("l" * LARGE)])
        await slowly.begun.wait()
        conversation.record([response("small")])
        assert in_file(conversation) == ["one"]
        conversation.end()
        assert not conversation.is_open
        with pytest.raises(JournalError):
            conversation.record([response("late")])
        assert conversation.journal.is_open  # until all of it is written
        slowly.go.set()
    assert in_file(conversation) == [text[:5] for text in texts(conversation)] == ["one", "lllll", "small"]
    assert not conversation.journal.is_open


async def test_a_rollout_is_reopened_after_a_large_entry_is_written(stored, slowly):
    conversation = stored(*turn("t1", "one"))
    await conversation.begin()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(conversation.keep, [response("l" * LARGE)])
        await slowly.begun.wait()
        conversation.end()
        nursery.start_soon(conversation.begin)
        await trio.testing.wait_all_tasks_blocked()
        slowly.go.set()
    conversation.record([response("next")])
    assert in_file(conversation) == ["one", "lllll", "next"]
    conversation.end()


async def test_a_cancelled_large_entry_is_written_whole(stored, slowly):
    conversation = stored(*turn("t1", "one"))
    await conversation.begin()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(conversation.keep, [response("l" * LARGE), response("more")])
        await slowly.begun.wait()
        nursery.cancel_scope.cancel()
        slowly.go.set()
    with trio.CancelScope() as scope:
        scope.cancel()
        await conversation.keep([response("late " + "l" * LARGE)])
    assert in_file(conversation) == [text[:5] for text in texts(conversation)] == ["one", "lllll", "more", "late "]
    conversation.end()


async def test_an_entry_that_cannot_be_encoded_does_not_lose_others_recorded_meanwhile(stored, monkeypatch):
    conversation = stored(*turn("t1", "one"))
    await conversation.begin()
    dumps, failing = orjson.dumps, threading.Event()
    begun, home = trio.Event(), threading.current_thread()

    def held(value, *args, **options):
        if threading.current_thread() is not home and not failing.is_set():
            trio.from_thread.run_sync(begun.set)
            failing.wait()
            raise TypeError("no JSON")
        return dumps(value, *args, **options)

    monkeypatch.setattr(orjson, "dumps", held)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(refused, conversation, [response("l" * LARGE)])
        await begun.wait()
        conversation.record([response("small")])
        failing.set()
    assert in_file(conversation) == texts(conversation) == ["one", "small"]
    conversation.end()


async def refused(conversation, entries):
    with pytest.raises(TypeError, match="no JSON"):
        await conversation.keep(entries)


async def test_a_replaced_history_keeps_entries_recorded_meanwhile(stored, slowly):
    conversation = stored(*turn("t1", "one"))
    await conversation.begin()
    summary = orjson.dumps(message("user", "summary"))
    compacted = ("compacted", {"message": "l" * LARGE, "replacement_history": [orjson.Fragment(summary)]})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(conversation.keep, [compacted], lambda: conversation.replace([summary], "summary"))
        await slowly.begun.wait()
        conversation.record([response("small")])
        slowly.go.set()
    assert texts(conversation) == ["summary", "small"]
    conversation.end()
