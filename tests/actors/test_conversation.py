"""A conversation that is taken up from a rollout: what it reads, and when."""

import orjson
import pytest

from spindle.actors.thread.conversation import Conversation
from spindle.storage.home import Home
from spindle.storage.rollout.journal import JournalError
from spindle.storage.rollout.lines import encode_line
from spindle.storage.rollout.outlines import Outliner
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


def said(conversation):
    return [part["text"] for item in map(orjson.loads, conversation.items) for part in item.get("content", ())]


async def test_the_history_is_read_when_it_is_needed(stored):
    conversation = stored(*turn("t1", "one"), *turn("t2", "two"))
    assert conversation.last_context == {"turn_id": "t2", "cwd": "/t2"}
    with pytest.raises(RuntimeError, match="has not been loaded"):
        _ = conversation.items
    assert await conversation.begin() is False
    conversation.end()
    assert said(conversation) == ["one", "two"]


async def test_what_is_recorded_before_the_history_is_read_is_in_it_once(stored):
    conversation = stored(*turn("t1", "one"))
    await conversation.begin(history=False)
    conversation.record([("response_item", message("user", "injected"))])
    conversation.end()
    await conversation.begin()
    conversation.record([("response_item", message("user", "two"))])
    conversation.end()
    assert said(conversation) == ["one", "injected", "two"]


async def test_a_history_that_another_program_went_on_with_is_read_anew(stored):
    conversation = stored(*turn("t1", "one"))
    await conversation.begin()
    conversation.end()
    with conversation.path.open("ab") as file:
        file.write(b"".join(encode_line(*entry) for entry in turn("t2", "two")))
    assert await conversation.begin() is True
    conversation.end()
    assert said(conversation) == ["one", "two"]
    assert conversation.last_context == {"turn_id": "t2", "cwd": "/t2"}


async def test_a_call_that_a_crash_left_open_is_answered_in_the_file_when_the_history_is_read(stored):
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


async def test_the_model_gets_of_a_long_output_its_ends(stored):
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


async def test_a_rollout_that_is_gone_leaves_the_conversation_closed(stored):
    conversation = stored(*turn("t1", "one"))
    conversation.path.unlink()
    for _ in range(2):
        with pytest.raises(JournalError, match="is gone"):
            await conversation.begin()
    assert not conversation.path.exists()
