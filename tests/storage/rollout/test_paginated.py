"""Records for a paginated history: they give the same items as the events that they replace."""

from __future__ import annotations

from typing import Any

import pytest

from spindle.storage.rollout.items import error_info, stored_error_info
from spindle.storage.rollout.paginated import paginated
from spindle.storage.rollout.turns import ShownTurns

Entry = tuple[str, dict[str, Any]]

USER = {
    "type": "user_message",
    "message": "look at [it]",
    "images": ["https://example.org/a.png"],
    "local_images": ["/tmp/b.png"],
    "text_elements": [{"byte_range": {"start": 8, "end": 12}, "placeholder": "[it]"}],
}
AGENT = {"type": "agent_message", "message": "seen", "phase": "final_answer", "memory_citation": None}
SEARCH = {
    "type": "web_search_end",
    "call_id": "ws-1",
    "query": "weather",
    "action": {"type": "search", "query": "weather", "queries": ["weather"]},
}
REASONING: list[dict[str, Any]] = [
    {"type": "agent_reasoning", "text": "one"},
    {"type": "agent_reasoning", "text": "two"},
    {"type": "agent_reasoning_raw_content", "text": "raw"},
]


def shown(entries: list[Entry]) -> list[dict[str, Any]]:
    turns = ShownTurns()
    turns.feed({"type": "task_started", "turn_id": "t"}, 0, 0, 0, None)
    for index, (kind, payload) in enumerate(entries, 1):
        if kind == "event_msg":
            turns.feed(payload, index, 0, 0, None)
    return turns.turns[0].items


@pytest.mark.parametrize("events", [[USER], [USER | {"message": ""}], [AGENT], [SEARCH], REASONING], ids=str)
def test_the_shown_items_are_the_same(events: list[dict[str, Any]]) -> None:
    entries: list[Entry] = [*(("event_msg", event) for event in events), ("response_item", {"type": "message"})]
    lines = paginated(entries, "thread", "t")
    assert [kind for kind, _ in lines] == ["event_msg", "response_item"]
    event = lines[0][1]
    assert (event["type"], event["thread_id"], event["turn_id"]) == ("item_completed", "thread", "t")
    assert event["item"]["id"]
    assert shown(lines) == shown(entries)


def test_other_records_are_unchanged() -> None:
    entries: list[Entry] = [
        ("turn_context", {"turn_id": "t"}),
        ("event_msg", {"type": "task_complete", "turn_id": "t"}),
    ]
    assert paginated(entries, "thread", "t") == entries


def test_a_failure_in_the_end_event() -> None:
    turns = ShownTurns()
    error = {"message": "no", "codex_error_info": "internal_server_error"}
    turns.feed({"type": "task_started", "turn_id": "t"}, 0, 0, 0, None)
    turns.feed({"type": "task_complete", "turn_id": "t", "error": error}, 1, 0, 0, None)
    assert turns.turns[0].end == "failed"
    assert turns.turns[0].error == {"message": "no", "codexErrorInfo": "internalServerError", "additionalDetails": None}


@pytest.mark.parametrize(
    ("info", "stored"),
    [
        ("other", "other"),
        ("internalServerError", "internal_server_error"),
        (
            {"responseStreamDisconnected": {"httpStatusCode": 502}},
            {"response_stream_disconnected": {"http_status_code": 502}},
        ),
        (None, None),
    ],
)
def test_error_info_is_stored_in_the_spelling_of_rollouts(info: object, stored: object) -> None:
    assert stored_error_info(info) == stored
    assert error_info(stored) == info
