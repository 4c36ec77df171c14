"""The one place that names and builds records: what it writes, byte by byte, and that nothing else spells a record's type."""

import ast
from pathlib import Path

import orjson
import pytest

from spindle.storage.rollout import records

ROOT = Path(__file__).resolve().parents[3]
NAMES = {value for name, value in vars(records).items() if name.isupper() and isinstance(value, str)}
AMBIGUOUS = {records.ERROR}
"""Names that mean other things elsewhere: they count only as the `type` of a dict."""


def spelled(source: str) -> list[str]:
    """Where `source` writes the type of a record as a string, as `line: name`."""
    tree = ast.parse(source)
    types = [
        value
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and key.value == "type"
    ]
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            value = node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
            name = value.strip('"') if isinstance(value, str) else ""
            if name in NAMES and (name not in AMBIGUOUS or node in types):
                found.append(f"{node.lineno}: {name}")
    return found


def test_no_other_module_spells_the_type_of_a_record():
    files = [path for folder in ("actors", "storage") for path in sorted((ROOT / folder).rglob("*.py"))]
    assert len(files) > 100
    found = {
        str(path.relative_to(ROOT)): lines
        for path in files
        if path != ROOT / "storage/rollout/records.py" and (lines := spelled(path.read_text(encoding="utf-8")))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("host.record(('event_msg', {'type': 'token_count'}))", ["1: event_msg", "1: token_count"]),
        ("{'type': 'error'}", ["1: error"]),
        ("mark = b'\"turn_context\"'", ["1: turn_context"]),
        ("match kind:\n    case 'response_item': pass", ["2: response_item"]),
        ("{'error': None, 'type': 'function_call'}; 'about an event_msg'", []),
    ],
)
def test_a_spelled_type_is_seen(source, found):
    assert spelled(source) == found


@pytest.mark.parametrize(
    ("entry", "payload"),
    [
        (records.session_meta({"id": "t"}), '{"id":"t"}'),
        (records.turn_context({"cwd": "/"}), '{"cwd":"/"}'),
        (records.response_item({"type": "message"}), '{"type":"message"}'),
        (records.compacted("s", [orjson.Fragment(b"{}")]), '{"message":"s","replacement_history":[{}]}'),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_line_is_its_payload(entry, payload):
    kind, body = entry
    assert kind in ("session_meta", "turn_context", "response_item", "compacted")
    assert orjson.dumps(body).decode() == payload


FAILURE = records.failure("m", "other")
EVENTS = [
    (
        records.task_started("t", 5, None, "default"),
        '"task_started","turn_id":"t","started_at":5,"model_context_window":null,"collaboration_mode_kind":"default"',
    ),
    (
        records.error(FAILURE, "d"),
        '"error","message":"m","codex_error_info":"other","additional_details":"d"',
    ),
    (
        records.task_complete("t", "m", 6, 1000),
        '"task_complete","last_agent_message":"m","turn_id":"t","completed_at":6,"duration_ms":1000',
    ),
    (
        records.task_complete("t", None, 6, 1, FAILURE),
        '"task_complete","last_agent_message":null,"turn_id":"t","completed_at":6,"duration_ms":1'
        ',"error":{"message":"m","codex_error_info":"other"}',
    ),
    (
        records.turn_aborted("t", completed_at=6, duration_ms=1),
        '"turn_aborted","reason":"interrupted","turn_id":"t","completed_at":6,"duration_ms":1',
    ),
    (records.turn_aborted(None), '"turn_aborted","reason":"interrupted"'),
    (records.turn_cut_off("t"), '"turn_aborted","turn_id":"t","reason":"interrupted"'),
    (records.token_count({"a": 1}), '"token_count","info":{"a":1},"rate_limits":null'),
    (records.context_compacted(), '"context_compacted"'),
    (records.thread_name_updated("t", "n"), '"thread_name_updated","thread_id":"t","thread_name":"n"'),
    (
        records.thread_settings_applied("t", {"cwd": "/"}),
        '"thread_settings_applied","thread_id":"t","thread_settings":{"cwd":"/"}',
    ),
    (records.thread_rolled_back(2), '"thread_rolled_back","num_turns":2'),
    (
        records.user_message("m", ["u"], ["/p"], []),
        '"user_message","message":"m","images":["u"],"local_images":["/p"],"text_elements":[]',
    ),
    (records.agent_message("m"), '"agent_message","message":"m","phase":null,"memory_citation":null'),
    (records.agent_reasoning("r"), '"agent_reasoning","text":"r"'),
    (records.agent_reasoning_raw_content("r"), '"agent_reasoning_raw_content","text":"r"'),
    (
        records.item_completed("t", "u", {"id": "i"}),
        '"item_completed","thread_id":"t","turn_id":"u","item":{"id":"i"}',
    ),
    (
        records.item_completed("t", "u", {}, 7),
        '"item_completed","thread_id":"t","turn_id":"u","item":{},"started_at_ms":7,"completed_at_ms":7',
    ),
    (
        records.exec_command_end(
            call_id="c",
            process_id=None,
            turn_id="u",
            command=["ls"],
            cwd="/",
            parsed_cmd=[],
            source="agent",
            output="o",
            exit_code=None,
            nanoseconds=1_500_000_000,
            status="declined",
        ),
        '"exec_command_end","call_id":"c","turn_id":"u","command":["ls"],"cwd":"/","parsed_cmd":[],"source":"agent"'
        ',"stdout":"","stderr":"","aggregated_output":"o","exit_code":-1'
        ',"duration":{"secs":1,"nanos":500000000},"formatted_output":"","status":"declined"',
    ),
    (
        records.patch_apply_end(call_id="c", turn_id="u", stdout="o", stderr="e", changes={}, status="completed"),
        '"patch_apply_end","call_id":"c","turn_id":"u","stdout":"o","stderr":"e","success":true,"changes":{}'
        ',"status":"completed"',
    ),
    (
        records.mcp_tool_call_end(call_id="c", invocation={}, nanoseconds=1, result=None, error="e"),
        '"mcp_tool_call_end","call_id":"c","invocation":{},"duration":{"secs":0,"nanos":1},"result":{"Err":"e"}',
    ),
    (
        records.mcp_tool_call_end(call_id="c", invocation={}, nanoseconds=1, result={"a": 1}, error=None),
        '"mcp_tool_call_end","call_id":"c","invocation":{},"duration":{"secs":0,"nanos":1},"result":{"Ok":{"a":1}}',
    ),
    (
        records.dynamic_tool_call_response(
            call_id="c",
            turn_id="u",
            tool="x",
            namespace="n",
            arguments={},
            content_items=[],
            success=True,
            nanoseconds=0,
        ),
        '"dynamic_tool_call_response","call_id":"c","turn_id":"u","tool":"x","arguments":{},"content_items":[]'
        ',"success":true,"error":null,"duration":{"secs":0,"nanos":0},"namespace":"n"',
    ),
    (
        records.web_search_end("c", "q", {"type": "other"}),
        '"web_search_end","call_id":"c","query":"q","action":{"type":"other"}',
    ),
    (
        records.image_generation_end("c", "s", None, "r"),
        '"image_generation_end","call_id":"c","status":"s","revised_prompt":null,"result":"r"',
    ),
    (records.view_image_tool_call("c", "/p"), '"view_image_tool_call","call_id":"c","path":"/p"'),
    (
        records.entered_review_mode({"type": "custom"}, "h"),
        '"entered_review_mode","target":{"type":"custom"},"user_facing_hint":"h"',
    ),
    (records.exited_review_mode(None), '"exited_review_mode","review_output":null'),
    (
        records.agent_call_end("wait", "c", "u", "s", {"statuses": {}}),
        '"collab_waiting_end","call_id":"c","turn_id":"u","sender_thread_id":"s","statuses":{}',
    ),
]


@pytest.mark.parametrize(("entry", "members"), EVENTS, ids=[entry[1]["type"] for entry, _ in EVENTS])
def test_the_bytes_of_an_event(entry, members):
    kind, event = entry
    assert (kind, orjson.dumps(event).decode()) == ("event_msg", f'{{"type":{members}}}')
