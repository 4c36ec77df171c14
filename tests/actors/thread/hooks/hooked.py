"""What the tests of hooks share: calls of the model, programs of hooks, and what a turn shows."""

import json
from pathlib import Path

import orjson

from spindle import Question

FREE = [("sandbox_mode", "danger-full-access"), ("approval_policy", "never")]
ASKING = [("sandbox_mode", "danger-full-access"), ("approval_policy", "untrusted")]
TINY = Path(__file__).parents[2] / "tools" / "mcp" / "tiny_server.py"


def call(name, arguments, id="c1", **more):
    return {"type": "function_call", "call_id": id, "name": name, "arguments": json.dumps(arguments), **more}


def execute(script, id="c1"):
    return call("exec_command", {"cmd": script, "login": False}, id)


def patch(path="new.txt", id="c1"):
    text = f"*** Begin Patch\n*** Add File: {path}\n+new\n*** End Patch\n"
    return {"type": "custom_tool_call", "call_id": id, "name": "apply_patch", "input": text}


def answer(**members):
    """A script that answers so, having read what it is given."""
    return f"cat >/dev/null; echo '{json.dumps(members)}'"


def refuse(reason):
    return f"cat >/dev/null; echo '{reason}' >&2; exit 2"


def outputs(model, index=-1):
    items = [orjson.loads(item) for item in model.requests[index].input]
    return {item["call_id"]: item["output"] for item in items if item["type"].endswith("_output")}


def conversation(model, index=-1):
    """(role, text) of what was said and told, without the surroundings."""
    items = [orjson.loads(item) for item in model.requests[index].input]  # and what came after the request
    said = [(item["role"], part["text"]) for item in items if item["type"] == "message" for part in item["content"]]
    said = said[: len(model.texts[index])]
    return [(role, text) for role, text in said if not text.startswith(("<permissions", "<environment"))]


async def played(turn, *answers):
    """All messages about a turn. Each question is answered by the next of `answers`; a question too many fails the test."""
    left, told = list(answers), []
    async for event in turn:
        if isinstance(event, Question):
            left.pop(0)(event)
        told.append(event)
    assert not left
    return told


def runs(told):
    return [
        (event.run.event_name, event.run.status, [(entry.kind, entry.text) for entry in event.run.entries])
        for event in told
        if getattr(event, "METHOD", "") == "hook/completed"
    ]


def methods(told):
    return ["question" if isinstance(event, Question) else event.METHOD for event in told]


async def go(thread, text, *answers):
    async with thread.turn(text) as turn:
        return await played(turn, *answers)
