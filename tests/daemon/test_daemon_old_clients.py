"""Clients of Codex 0.124: what they say is still understood, though later versions have removed some of it.

`recorded/terminal_interface_0.124.jsonl` is what the terminal interface of 0.124 said to a server of 0.124: each line is a
request, an answer to a question, or the end of a turn that the client had seen before it went on.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spindle.rpc.protocol.catalog import response_class
from spindle.rpc.protocol.converter import structure

from .model import calls

if TYPE_CHECKING:
    from .client import Client
    from .model import Endpoint
    from .process import Daemon

RECORDED = Path(__file__).parent / "recorded" / "terminal_interface_0.124.jsonl"
ESCALATED = {"cmd": "echo made", "sandbox_permissions": "require_escalated", "justification": "to make it"}


def filled(value: Any, names: dict[str, str]) -> Any:
    """The value with what stands for the names."""
    if isinstance(value, dict):
        return {key: filled(inner, names) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, names) for inner in value]
    return re.sub(r"\$\w+", lambda found: names[found[0]], value) if isinstance(value, str) else value


def test_a_recorded_client_is_served(daemon: Daemon, endpoint: Endpoint, tmp_path: Path) -> None:
    script = iter([lambda: calls(("exec_command", ESCALATED)), lambda: calls(("update_plan", {"plan": []}))])
    endpoint.scripts["make a file"] = lambda: next(script)()
    client = daemon.raw_client()
    names = {"$cwd": str(tmp_path)}
    ended = asked = 0
    methods = set()
    for line in RECORDED.read_text(encoding="utf-8").splitlines():
        step = json.loads(line)
        if "ended" in step:
            ended = at(client, ended, "turn/completed")
        elif "answer" in step:
            asked = at(client, asked, step["to"])
            question = client.messages.entries[asked - 1]
            client.write([json.dumps({"id": question["id"], "result": step["answer"]}).encode()])
            endpoint.scripts.pop("make a file")
        elif "id" in step["send"]:
            request = filled(step["send"], names)
            client.write([json.dumps(request).encode()])
            result = client.answer(request["id"])
            structure(result, response_class(request["method"]))
            methods.add(request["method"])
            if request["method"] in ("thread/start", "thread/fork"):
                names[f"$thread{len(names)}"] = result["thread"]["id"]
    assert len(methods) == 16


def at(client: Client, since: int, method: str) -> int:
    """The place behind the next message of this method."""
    found = client.messages.find(lambda message: message.get("method") == method, since)
    return client.messages.entries.index(found, since) + 1


READABLE = {"type": "fullAccess"}
OLD: list[tuple[str, dict[str, Any]]] = [
    ("thread/start", {"approvalPolicy": "untrusted"}),
    ("thread/start", {"approvalPolicy": "on-failure"}),
    ("thread/start", {"persistExtendedHistory": True}),
    ("thread/start", {"permissionProfile": {"network": {"enabled": False}, "fileSystem": None}}),
    ("thread/start", {"dynamicTools": [{"name": "look", "description": "", "inputSchema": {"type": "object"}}]}),
    ("thread/start", {"config": {"profile": "old", "profiles": {"old": {"model": "other"}}}}),
    ("thread/rollback", {"threadId": "$thread", "numTurns": 1}),
    ("review/start", {"threadId": "$thread", "target": {"type": "custom", "instructions": "x"}, "delivery": "detached"}),
    ("turn/start", {"threadId": "$thread", "input": [], "sandboxPolicy": {"type": "readOnly", "access": READABLE}}),
    ("skills/list", {"perCwdExtraUserRoots": [{"cwd": "/", "extraUserRoots": []}]}),
    ("device/key/public", {"keyId": "dk_osn_" + "A" * 43}),
    ("getConversationSummary", {"conversationId": "$thread"}),
    ("getAuthStatus", {"includeToken": False, "refreshToken": False}),
]
REFUSED_THERE_TOO = {"device/key/public": "device key not found", "turn/start": "input must not be empty"}


@pytest.mark.parametrize(("method", "params"), OLD)
def test_what_later_versions_have_removed_is_still_understood(
    experimental: Client, method: str, params: dict[str, Any]
) -> None:
    thread = experimental.start_thread()["id"]
    experimental.run_turn(thread, "hello")
    given = filled(params, {"$thread": thread})
    if method in REFUSED_THERE_TOO:
        assert experimental.refusal(method, **given).message == REFUSED_THERE_TOO[method]
    else:
        structure(experimental.call(method, **given), response_class(method))
