"""What a reviewer is shown of a conversation, and how its assessment is read."""

import json

import orjson
import pytest

from spindle.actors.turn.guardian import Unreadable, read
from spindle.actors.turn.transcript import APPROVED, BUDGET, LONGEST, transcript


def message(role, text):
    return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}


def shown(*items):
    return transcript([orjson.dumps(item) for item in items]).split("\n")


def test_the_transcript_has_what_was_said_and_done_without_our_own_context():
    assert shown(
        message("developer", "<permissions instructions>"),
        message("user", "<environment_context>\n</environment_context>"),
        message("user", "make it"),
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "name": "exec_command", "call_id": "c", "arguments": '{"cmd": "ls"}'},
        {"type": "function_call_output", "call_id": "c", "output": "a b"},
        {"type": "custom_tool_call", "name": "apply_patch", "call_id": "d", "input": "*** Begin"},
        {"type": "custom_tool_call_output", "call_id": "d", "output": [{"type": "input_text", "text": "done"}]},
        message("assistant", "made"),
        message("developer", f"{APPROVED} this"),
    ) == [
        "[1] user: make it",
        '[2] call of exec_command: {"cmd": "ls"}',
        "[3] output: a b",
        "[4] call of apply_patch: *** Begin",
        "[5] output: done",
        "[6] agent: made",
        f"[7] approval: {APPROVED} this",
    ]


def test_a_long_entry_is_cut_in_the_middle_and_what_exceeds_the_budget_is_left_out():
    [line] = shown(message("user", "a" * LONGEST + "b" * LONGEST))
    assert len(line) < LONGEST + 100
    assert "a [… left out …] b" in line
    outputs = [{"type": "function_call_output", "call_id": "c", "output": "x" * LONGEST} for _ in range(20)]
    lines = shown(message("user", "first"), *outputs)
    kept = BUDGET // LONGEST
    assert lines[0] == f"[{20 - kept} entries were left out]"
    assert lines[1] == "[1] user: first"
    assert len(lines) == kept + 2


GIVEN = {"risk_level": "medium", "user_authorization": "low", "outcome": "allow", "rationale": "why"}


@pytest.mark.parametrize("around", ["{}", "```json\n{}\n```", "I think: {} That is all."])
def test_an_assessment_is_found_in_the_words_around_it(around):
    found = read(around.replace("{}", json.dumps(GIVEN)))
    assert (found.allowed, found.risk_level, found.user_authorization, found.rationale) == (True, "medium", "low", "why")


def test_what_an_assessment_leaves_out_is_filled_with_care():
    assert (read('{"outcome":"deny"}').allowed, read('{"outcome":"deny"}').risk_level) == (False, "high")
    assert read('{"outcome":"allow"}').user_authorization == "unknown"


@pytest.mark.parametrize(
    "answer", ["", "no", "}{", "[]", "{}", '{"outcome": true}', '{"outcome": "ALLOW"}', '{"outcome": "allow"', "{" * 1000]
)
def test_anything_else_is_no_assessment(answer):
    with pytest.raises(Unreadable):
        read(answer)


@pytest.mark.parametrize("odd", [{"risk_level": "none"}, {"user_authorization": 1}, {"rationale": []}, {"rationale": {"a": 1}}])
def test_an_odd_member_makes_the_whole_unreadable(odd):
    with pytest.raises(Unreadable):
        read(json.dumps(GIVEN | odd))
