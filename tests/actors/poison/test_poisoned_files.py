"""Files on disk, poisoned in every place: the thread is read as far as possible, or refused; everything else goes on."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio

from spindle.rpc.model.offline import OfflineModel

from .poisons import POISONS, drawn, leaves, marked, put

LINES: list[tuple[str, dict[str, Any]]] = [
    (
        "event_msg",
        {
            "type": "token_count",
            "info": {
                "total_token_usage": {"total_tokens": 1},
                "last_token_usage": {"total_tokens": 1, "input_tokens": 1},
                "model_context_window": 1,
            },
        },
    ),
    ("event_msg", {"type": "thread_rolled_back", "num_turns": 0}),
    (
        "event_msg",
        {
            "type": "dynamic_tool_call_response",
            "call_id": "c",
            "turn_id": "t",
            "tool": "w",
            "arguments": {"a": 1},
            "content_items": [{"type": "inputText", "text": "a"}],
            "success": True,
            "error": None,
            "duration": {"secs": 1, "nanos": 1},
        },
    ),
    (
        "event_msg",
        {
            "type": "exec_command_end",
            "call_id": "c",
            "process_id": "1",
            "turn_id": "t",
            "command": ["true"],
            "cwd": "/",
            "parsed_cmd": [{"type": "unknown", "cmd": "true"}],
            "source": "agent",
            "stdout": "a",
            "stderr": "",
            "aggregated_output": "a",
            "exit_code": 0,
            "duration": {"secs": 1, "nanos": 1},
            "formatted_output": "a",
            "status": "completed",
        },
    ),
    (
        "event_msg",
        {
            "type": "mcp_tool_call_end",
            "call_id": "c",
            "invocation": {"server": "s", "tool": "t", "arguments": {"a": 1}},
            "duration": {"secs": 1, "nanos": 1},
            "result": {"Ok": {"content": [{"type": "text", "text": "a"}], "isError": False}},
        },
    ),
    (
        "event_msg",
        {
            "type": "patch_apply_end",
            "call_id": "c",
            "turn_id": "t",
            "stdout": "",
            "stderr": "",
            "success": True,
            "changes": {"/a": {"type": "add", "content": "a"}},
            "status": "completed",
        },
    ),
    ("event_msg", {"type": "web_search_end", "call_id": "c", "query": "a", "action": {"type": "search", "query": "a"}}),
    ("event_msg", {"type": "agent_reasoning", "text": "a"}),
    ("event_msg", {"type": "error", "message": "a", "codex_error_info": "other"}),
    ("response_item", {"type": "function_call", "name": "w", "arguments": "{}", "call_id": "c"}),
    ("response_item", {"type": "function_call_output", "call_id": "c", "output": "a"}),
    (
        "response_item",
        {
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "a"}],
            "content": None,
            "encrypted_content": "a",
        },
    ),
    (
        "compacted",
        {
            "message": "a",
            "replacement_history": [
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}]}
            ],
        },
    ),
]
"""Lines that may follow in any rollout, except those that a turn writes."""


async def test_a_poisoned_line_affects_only_its_thread(opened, connect, tracebacks) -> None:
    async with opened(OfflineModel()) as runtime:
        client = await connect(runtime)
        first = (await client.call("thread/start"))["thread"]
        await client.run_turn(first["id"])
        await client.call("thread/name/set", threadId=first["id"], name="a")
        await client.call("thread/unsubscribe", threadId=first["id"])
    path = trio.Path(first["path"])
    written = [json.loads(line) for line in (await path.read_bytes()).splitlines()]
    stamp = written[0]["timestamp"]
    added = [{"timestamp": stamp, "type": kind, "payload": payload} for kind, payload in LINES]
    lines = [*written, *added]
    every = [(number, way, name) for number, line in enumerate(lines) for way in leaves(line) for name in POISONS]
    ours: list[str] = []
    async with opened(OfflineModel()) as runtime:
        client, other = await connect(runtime), await connect(runtime)
        bystander = await other.start_thread()
        for count, (number, way, name) in enumerate(drawn(every, 150)):
            poisoned = [json.dumps(line).encode() for line in (written if number < len(written) else lines)]
            poisoned[number] = put(marked(lines[number], way), POISONS[name])
            await path.write_bytes(b"\n".join(poisoned) + b"\n")
            asked = {
                "thread/read": {"threadId": first["id"], "includeTurns": True},
                "thread/list": {},
                "thread/resume": {"threadId": first["id"]},
                "turn/start": {"threadId": first["id"], "input": [{"type": "text", "text": "on"}]},
                "thread/unsubscribe": {"threadId": first["id"]},
            }
            for method, params in asked.items():
                try:
                    answered = await client.ask(method, json.dumps(params).encode())
                except trio.TooSlowError:
                    pytest.fail("\n".join([f"{method} line {number} {way}, {name}: never answered", *tracebacks()]))
                said = answered.get("error", {}).get("message", "")
                if "internal error" in said or "Error(" in said:
                    ours.append(f"{method} line {number} {way}, {name}: {said[:200]}")
                if method == "turn/start" and "result" in answered:
                    await client.until(lambda message: message.get("method") == "turn/completed")
            while runtime._backend.registry.directory.is_known(first["id"]):
                await client.until(lambda message: message.get("method") == "thread/closed")
            if count % 50 == 0:
                assert (await other.run_turn(bystander))["status"] == "completed"
    assert set(client.answers.values()) == {1}
    if faults := [*ours, *tracebacks()]:
        pytest.fail("\n".join(faults))
