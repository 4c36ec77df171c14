"""The output of programs that a thread starts, MCP servers and hooks, poisoned in every place."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from spindle.actors.tools.hooks.verdicts import ProgramEnd, verdict
from spindle.rpc.model.offline import OfflineModel
from spindle.rpc.protocol.hooks import HookEventName

from .poisons import POISONS, drawn, leaves, marked, put

SERVER = Path(__file__).parent / "poisoning_server.py"

CONTENT: list[dict[str, Any]] = [
    {"type": "text", "text": "a", "annotations": {"audience": ["user"], "priority": 0.5}, "_meta": {"a": 1}},
    {"type": "image", "data": "aGk=", "mimeType": "image/png"},
    {"type": "audio", "data": "aGk=", "mimeType": "audio/wav"},
    {"type": "resource_link", "uri": "file:///a", "name": "a", "size": 1},
    {"type": "resource", "resource": {"uri": "file:///a", "mimeType": "text/plain", "text": "a"}},
]
SAID: list[dict[str, Any]] = [
    {"id": "ID", "result": {"content": CONTENT, "structuredContent": {"a": [1]}, "isError": False, "_meta": {"a": 1}}},
    {"id": "ID", "error": {"code": -32000, "message": "a", "data": {"a": 1}}},
    {"method": "notifications/progress", "params": {"progressToken": "ID", "progress": 1, "total": 2, "message": "a"}},
    {"method": "notifications/message", "params": {"level": "info", "logger": "a", "data": "a"}},
    {"method": "notifications/cancelled", "params": {"requestId": "ID", "reason": "a"}},
    {"method": "notifications/tools/list_changed"},
    {"id": 7, "method": "ping"},
    {"id": 8, "method": "roots/list", "params": {}},
    {
        "id": 9,
        "method": "elicitation/create",
        "params": {"message": "a", "requestedSchema": {"type": "object", "properties": {"a": {"type": "string"}}}},
    },
]
SPECIFIC: dict[str, dict[str, Any]] = {
    "SessionStart": {"additionalContext": "a"},
    "UserPromptSubmit": {"additionalContext": "a"},
    "PreToolUse": {"permissionDecision": "deny", "permissionDecisionReason": "a", "updatedInput": {"a": 1}},
    "PermissionRequest": {"decision": {"behavior": "deny", "message": "a", "interrupt": False}},
    "PostToolUse": {"additionalContext": "a", "updatedMCPToolOutput": {"a": 1}},
}
ANSWERS: list[dict[str, Any]] = [
    {"continue": True, "stopReason": "a", "suppressOutput": False, "systemMessage": "a"},
    {"decision": "block", "reason": "a"},
    *({"hookSpecificOutput": {"hookEventName": event, **specific}} for event, specific in SPECIFIC.items()),
]


async def test_a_poisoned_line_of_an_mcp_server_ends_only_its_call(opened, connect, tracebacks, tmp_path) -> None:
    messages: list[dict[str, Any]] = [{"jsonrpc": "2.0", **said} for said in SAID]
    every = [(said, path, name) for said in messages for path in leaves(said) for name in POISONS]
    cases = drawn(every, 150)
    lines = tmp_path / "lines"
    lines.write_bytes(b"\n".join([*(put(marked(said, path), POISONS[name]) for said, path, name in cases), b"{}"]))
    home = tmp_path / "home"
    home.mkdir()
    started = f'command = {json.dumps(sys.executable)}\nargs = {json.dumps(["-S", "-E", str(SERVER), str(lines)])}'
    (home / "config.toml").write_text(f"[mcp_servers.poison]\n{started}\n")
    async with opened(OfflineModel()) as runtime:
        client = await connect(runtime)
        thread = await client.start_thread()

        async def say(number: int) -> dict[str, Any]:
            call = {"threadId": thread, "server": "poison", "tool": "say", "arguments": {"n": number}}
            answer: dict[str, Any] = await client.ask("mcpServer/tool/call", json.dumps(call).encode())
            return answer

        for number, case in enumerate(cases):
            answer = await say(number)
            assert ("result" in answer) != ("error" in answer), case
            if number % 10 == 0:
                assert (await say(len(cases)))["result"]["content"][0]["text"] == "said", case
        assert (await client.run_turn(thread))["status"] == "completed"
    assert set(client.answers.values()) == {1}
    if faults := tracebacks():
        pytest.fail("\n".join(faults))


@pytest.mark.parametrize("event", get_args(HookEventName))
def test_a_poisoned_answer_of_a_hook_is_taken_or_the_hook_fails(event: HookEventName) -> None:
    for answer in ANSWERS:
        for path in leaves(answer):
            for poison in POISONS.values():
                out = put(marked(answer, path), poison).decode("utf-8", "replace")
                ended = ProgramEnd(code=0, out=out, err="")
                assert verdict(event, ended).status in ("completed", "failed", "stopped", "blocked")
