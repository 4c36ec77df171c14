"""Reading by outline against a full replay: for any file, both give the same result."""

import os
import tempfile
from contextlib import closing
from pathlib import Path

import attrs
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spindle.rpc.protocol.converter import unstructure
from spindle.storage.rollout import scan, straight
from spindle.storage.rollout.lines import encode_line
from spindle.storage.rollout.load import load
from spindle.storage.rollout.outline import Outline, Skim
from spindle.storage.rollout.outliner import MemoryOutlines, Outliner
from spindle.storage.rollout.reading import OpenRollout
from spindle.storage.rollout.source import Source

THREAD = "00000000-0000-7000-8000-000000000001"

ids = st.sampled_from(["t1", "t2", "t3", "t4"])
words = st.sampled_from(["", "hi", "häß\u2028🙂", "x" * 9000, '{"timestamp":"', "<environment_context>", "y" * 70_000])
calls = st.sampled_from(["c1", "c2", None])


def event(kind, **members):
    return encode_line("event_msg", {"type": kind, **members})


def message(role, text):
    return encode_line(
        "response_item", {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}
    )


@st.composite
def lines(draw):
    """One line of a relevant kind, or two that belong together."""
    text, turn, call = draw(words), draw(ids), draw(calls)
    kind = draw(st.integers(0, 19))
    match kind:
        case 0 | 1:
            return event("task_started", turn_id=turn, started_at=100, model_context_window=1)
        case 2 | 3:
            return event("task_complete", turn_id=turn, last_agent_message=text, completed_at=102, duration_ms=3)
        case 4:
            return event("turn_aborted", reason="interrupted", **draw(st.sampled_from([{}, {"turn_id": turn}])))
        case 5 | 6:
            return message("user", text) + event(
                "user_message", message=text, images=[], local_images=[], text_elements=[]
            )
        case 7:
            return event("agent_message", message=text, phase=None, memory_citation=None) + message("assistant", text)
        case 8:
            return event("agent_reasoning", text=text)
        case 9 | 10:
            members = {"call_id": call, "turn_id": turn, "command": ["ls"], "cwd": "/", "aggregated_output": text}
            if call is None:
                del members["call_id"]
            return event("exec_command_end", **members, exit_code=0)
        case 11:
            of = draw(st.sampled_from(["UserMessage", "AgentMessage", "CommandExecution", "commandExecution", "Plan"]))
            item = {"type": of, "id": call or "i", "content": [{"type": "text", "text": text}], "text": text}
            return event("item_completed", thread_id=THREAD, turn_id=turn, item=item)
        case 12:
            return event("thread_rolled_back", num_turns=draw(st.integers(0, 3)))
        case 13 | 14:
            kept = {"replacement_history": [orjson.Fragment(b'{"type":"message","role":"user","content":[]}')] * 2}
            return encode_line("compacted", {"message": text, **draw(st.sampled_from([{}, kept]))})
        case 15:
            return encode_line("turn_context", {"turn_id": turn, "cwd": "/", "model": draw(words)[:5]})
        case 16:
            info = draw(st.sampled_from([None, {}, {"total_token_usage": {"total_tokens": 3}}]))
            return event("token_count", info=info, rate_limits=None)
        case 17:
            return event(
                "error", message="no", codex_error_info=draw(st.sampled_from(["other", "thread_rollback_failed"]))
            )
        case 18:
            return event("thread_name_updated", thread_id=THREAD, thread_name=text)
        case _:
            body = {"call_id": call or "c", "output": text}
            return encode_line(
                "response_item", {"type": "function_call", "call_id": "c1", "name": "n", "arguments": "{}"}
            ) + (encode_line("response_item", {"type": "function_call_output", **body}))


@st.composite
def damaged(draw):
    """A damaged line."""
    line = draw(lines())
    match draw(st.integers(0, 5)):
        case 0:
            return line[: draw(st.integers(1, len(line) - 1))] + draw(
                st.just(line) | lines()
            )  # half a record, then another
        case 1:
            return line.replace(b"hi", b"\xff\xfe")
        case 2:
            return b"\0" * 10 + line
        case 3:
            return draw(st.sampled_from([b"\n", b"garbage\n", b"{}\n", b"[1]\n", b'{"type":"event_msg"}\n']))
        case 4:
            cut = draw(st.integers(0, len(line) - 1))
            return line[:cut] + draw(lines())
        case _:
            return line + line


def rollout(draw_lines):
    meta = {"id": THREAD, "timestamp": "2025-01-05T12:00:00.000Z", "cwd": "/", "source": "cli"}
    return encode_line("session_meta", meta) + b"".join(draw_lines)


files = st.lists(st.one_of(lines(), lines(), lines(), damaged()), max_size=30).map(rollout)


def parts(outline):
    return attrs.asdict(outline, recurse=False)


def outliner_of(path, outliner):
    with OpenRollout(path, outliner) as reader:
        return reader.outline


def check(path, outliner):
    loaded = load(path)
    whole = orjson.loads(orjson.dumps(unstructure(loaded.replay.turns())))
    with OpenRollout(path, outliner) as reader:
        outline = reader.outline
        assert outline.ids == [turn["id"] for turn in whole]
        assert (outline.end, outline.inode) == (loaded.end, loaded.inode)
        everything = list(range(len(whole)))
        for numbers in (everything, everything[::2], everything[-2:], everything[1:2]):
            assert list(reader.turns(numbers)) == [whole[number] for number in numbers]
        replay = reader.replay()
        assert replay.history == loaded.replay.history
        assert replay.summary == loaded.replay.summary
        assert reader.payload(outline.context) == loaded.replay.last_turn_context
        assert reader.token_usage == loaded.replay.token_usage
        assert outline.name == loaded.replay.name
        assert outline.cut_off == loaded.replay.ended_interrupted
        again = Outline.decode(outline.encode())
        assert again is not None
        assert parts(again) == parts(outline)
    return outline


@pytest.mark.parametrize("block", [64 * 1024, 9000])
@given(data=files, cut=st.floats(0, 1))
@settings(max_examples=400, deadline=None)
def test_pages_and_history_by_outline_are_those_of_a_full_replay(block, data, cut):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "BLOCK", block)
        path = Path(folder, "rollout.jsonl")
        path.write_bytes(data)
        outline = check(path, Outliner())
        # the same in two passes, the first over a part that may end at any byte
        path.write_bytes(data[: int(len(data) * cut)])
        outliner = Outliner(MemoryOutlines())
        first = check(path, outliner)
        unterminated = first.end > 0 and data[first.end - 1 : first.end] != b"\n"
        with path.open("ab") as file:
            file.write(data[os.path.getsize(path) :])
        second = check(path, outliner) if not unterminated else outliner_of(path, outliner)
        with closing(Source(path)) as source:
            assert parts(Skim(source, first).run()) == parts(second)
        if not unterminated:  # a whole line without its newline counts already, but ends one byte earlier
            assert parts(second) == parts(outline) | {"inode": second.inode, "skipped": second.skipped}


# ---- straight rollouts: the history is found as text

STRINGS = [
    '""',
    '"hi"',
    r'"\u00e9 \/ \ud83d\ude00 \u001f \b\t"',
    r'"\ud800"',
    r'"\"type\":\"response_item\",\"payload\":{\"type\":\"message\"}"',
    '"h\u00e4\u00df\u2028\u2029\u007f\U0001f642"',
    '"hi\t"',
    '"' + "long \\n" * 12_000 + '"',
    '"' + "\u00e4" * 40_000 + '"',
]
VALUES = [
    "null",
    "1.0",
    "-0.0",
    "1E5",
    "12345678901234567890123",
    "NaN",
    "[]",
    "{ }",
    "[" * 200 + "]" * 200,
    '{"type":"response_item","payload":{"type":"message","role":"user","content":[]}}',
]
texts, values = st.sampled_from(STRINGS), st.sampled_from(VALUES)


@st.composite
def odd_items(draw):
    """The line of a response item, written as text: with unusual members, an unusual order, or values that are not JSON."""
    text = draw(texts)
    content = draw(
        st.sampled_from(
            [
                f'[{{"type":"input_text","text":{text}}}]',
                f'[{{"type":"input_image","image_url":{text},"detail":"high"}},{{"type":"output_text","text":{text}}}]',
                text,
            ]
        )
    )
    call = draw(st.sampled_from(['"call_id":"c1"', '"call_id":"c2"', '"call_id":null', '"call_id":"c1","call_id":"c2"']))
    members = draw(
        st.sampled_from(
            [
                f'"type":"message","role":"user","content":{content}',
                f'"type":"message","role":"assistant","content":{content},"phase":"commentary"',
                f'"role":"user","content":{content},"type":"message"',
                f'"type":"reasoning","summary":[],"content":null,"encrypted_content":{text}',
                f'"type":"function_call","name":"n","arguments":{text},{call}',
                f'"type":"function_call_output",{call},"output":{draw(st.sampled_from([text, content]))}',
                f'"type":"custom_tool_call","status":"completed",{call},"name":"n","input":{text}',
                f'"type":"custom_tool_call_output",{call},"output":{content}',
                f'"type":"local_shell_call",{call},"status":"completed","action":{{"type":"exec"}}',
                '"type":"web_search_call","status":"completed","action":{"type":"search"}',
                f'"type":"image_generation_call","id":"ig","result":{text}',
                '"type":"ghost_snapshot","ghost_commit":{"id":"x"}',
                f'"type":"other","text":{text}',
                f'"type":"from_the_future","text":{text}',
                f'"type":7,"text":{text}',
                f'"text":{text}',
            ]
        )
    )
    head, tail = draw(st.sampled_from(["", '"id":"i",', '"type":"message",'])), draw(
        st.sampled_from(["", ',"id":"i"', ',"metadata":{"a":1}', ',"internal_chat_message_metadata_passthrough":{}', ',"x":'])
    )
    tail += draw(values) if tail.endswith(":") else ""
    ordinal = draw(st.sampled_from(["", '"ordinal":3,', '"ordinal":03,']))
    after = draw(st.sampled_from(["", ',"metadata":{"turn_id":"t1"}', f',"metadata":{draw(values)}', ',"type":"event_msg"']))
    stamp = draw(st.sampled_from(["2025-01-05T12:00:00.000Z", "", "\x01", "\udcff"]))
    line = f'{{"timestamp":"{stamp}",{ordinal}"type":"response_item","payload":{{{head}{members}{tail}}}{after}}}\n'
    return line.encode("utf-8", "surrogateescape")


@st.composite
def nested(draw):
    """Another line, with the text of an item's line in it."""
    body = orjson.Fragment(b'{"type":"response_item","payload":{"type":"message","role":"user","content":[]}}')
    return encode_line(*draw(st.sampled_from([("world_state", body), ("event_msg", {"type": "x", "item": body})])))


def is_straight(line):
    return b'"thread_rolled_back"' not in line and (b'"type":"compacted"' not in line or b'"replacement_history":[' in line)


@pytest.mark.parametrize("block", [256 * 1024, 700])
@given(data=st.lists(st.one_of(odd_items(), odd_items(), nested(), lines().filter(is_straight))).map(rollout))
@settings(max_examples=150, deadline=None)
def test_the_history_of_a_straight_rollout_is_that_of_a_full_replay(block, data):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(straight, "BLOCK", block)
        path = Path(folder, "rollout.jsonl")
        path.write_bytes(data)
        outline = check(path, Outliner())
        assert outline.straight


@pytest.mark.parametrize(
    ("then", "expected"),
    [
        (b"", True),
        (event("thread_rolled_back", num_turns=1), False),
        (b"garbage\n", False),
        (message("user", "b").replace(b'"type":"resp', b'"type": "resp'), False),
        (encode_line("compacted", {"message": "s"}), False),
        (event("thread_rolled_back", num_turns=0), True),
        (b"garbage\n" + encode_line("compacted", {"message": "s", "replacement_history": []}), True),
        (b"\n", True),
        (b'{"timestamp":"', True),  # the end of a line that is being written
    ],
    ids=[str(number) for number in range(9)],  # the lines have times
)
def test_a_rollout_is_straight_until_lines_since_the_last_compaction_are_taken_back_or_odd(tmp_path, then, expected):
    path = tmp_path / "rollout.jsonl"
    first = event("task_started", turn_id="t1") + message("user", "a")
    path.write_bytes(rollout([first, then]))
    assert check(path, Outliner()).straight is expected
    path.write_bytes(rollout([first]))
    outliner = Outliner()
    check(path, outliner)
    with path.open("ab") as file:
        file.write(then)
    assert check(path, outliner).straight is expected  # the same in two passes


def test_settle_stores_the_current_outline_of_a_long_rollout(tmp_path, monkeypatch):
    monkeypatch.setattr("spindle.storage.rollout.outliner._MANY_TURNS", 2)
    path = tmp_path / "rollout.jsonl"
    turn = event("task_started", turn_id="{}") + event("task_complete", turn_id="{}")
    path.write_bytes(rollout([turn.replace(b"{}", b"one")]))
    kept = MemoryOutlines()
    outliner = Outliner(kept)
    OpenRollout(path, outliner).close()
    assert not outliner.is_long(path)
    with path.open("ab") as file:
        file.write(turn.replace(b"{}", b"two"))
    OpenRollout(path, outliner).close()
    assert outliner.is_long(path)
    with path.open("ab") as file:
        file.write(turn.replace(b"{}", b"three"))
    outliner.settle(path)
    settled = Outline.decode(kept.outline(path) or b"")
    assert settled is not None
    assert settled.ids == ["one", "two", "three"]
    path.unlink()
    outliner.settle(path)
