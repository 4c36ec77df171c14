"""The stream of a model, poisoned in every place, and the clients' answers to the questions of its calls."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from spindle.rpc.model.decode import decode
from spindle.rpc.model.interface import ModelEvent, ModelRequest

from .poisons import MARK, POISONS, drawn, leaves, marked, put

CREATED = {"type": "response.created", "response": {"id": "r"}}
COUNTS = {
    "input_tokens": 10,
    "input_tokens_details": {"cached_tokens": 1},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 15,
}
COMPLETED = {"type": "response.completed", "response": {"id": "r", "usage": COUNTS}}
ITEMS: list[dict[str, Any]] = [
    {
        "type": "message",
        "role": "assistant",
        "id": "m",
        "phase": "final_answer",
        "content": [{"type": "output_text", "text": "a"}],
    },
    {
        "type": "reasoning",
        "id": "s",
        "summary": [{"type": "summary_text", "text": "a"}],
        "content": [{"type": "reasoning_text", "text": "a"}],
        "encrypted_content": "a",
    },
    {
        "type": "web_search_call",
        "id": "w",
        "status": "completed",
        "action": {"type": "search", "query": "a", "queries": ["a"]},
    },
    {"type": "image_generation_call", "id": "i", "status": "completed", "result": "a", "revised_prompt": "a"},
    {"type": "function_call", "name": "weather", "arguments": "{}", "call_id": "c"},
    {"type": "custom_tool_call", "name": "apply_patch", "input": "a", "call_id": "c"},
    {
        "type": "local_shell_call",
        "status": "completed",
        "call_id": "c",
        "action": {"type": "exec", "command": ["true"], "env": {}},
    },
    {"type": "tool_search_call", "execution": "client", "call_id": "c", "arguments": {}},
    {"type": "compaction", "encrypted_content": "a"},
]
EVENTS: list[dict[str, Any]] = [
    CREATED,
    COMPLETED,
    *({"type": "response.output_item.added", "item": item} for item in ITEMS),
    *({"type": "response.output_item.done", "item": item} for item in ITEMS),
    {"type": "response.output_text.delta", "delta": "a", "item_id": "m"},
    {"type": "response.reasoning_summary_part.added", "summary_index": 0},
    {"type": "response.reasoning_summary_text.delta", "summary_index": 0, "delta": "a"},
    {"type": "response.reasoning_text.delta", "content_index": 0, "delta": "a"},
    {"type": "response.custom_tool_call_input.delta", "delta": "a", "item_id": "c"},
    {"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded", "message": "try again in 1 s"}}},
    {"type": "response.incomplete", "response": {"incomplete_details": {"reason": "a"}}},
]
TOOL = {"name": "weather", "description": "a", "inputSchema": {"type": "object"}}


class Streaming:
    """A model that streams these payloads, one for each answer, and then nothing."""

    stream_max_retries = 0

    def __init__(self) -> None:
        self.answers: deque[list[bytes]] = deque()
        self.tools: dict[str, Any] = {}

    @asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[Any]:
        tools: Any = request.tools
        self.tools |= {tool["name"]: tool for tool in tools if tool["type"] == "function"}
        yield self._play(self.answers.popleft() if self.answers else [json.dumps(COMPLETED).encode()])

    async def _play(self, payloads: list[bytes]) -> AsyncIterator[Sequence[ModelEvent]]:
        events: list[ModelEvent] = []
        error = decode(payloads, events)
        await trio.lowlevel.checkpoint()
        yield events
        if error is not None:
            raise error

    async def aclose(self) -> None:
        pass


def answer(poisoned: bytes) -> list[bytes]:
    """An answer with this event in the middle."""
    added = {"type": "response.output_item.added", "item": ITEMS[0]}
    return [json.dumps(CREATED).encode(), json.dumps(added).encode(), poisoned, json.dumps(COMPLETED).encode()]


def arguments(tool: dict[str, Any]) -> list[Any]:
    """Arguments of a function tool, poisoned one by one."""
    given: dict[str, Any] = {}
    for name, schema in tool["parameters"].get("properties", {}).items():
        kind = schema.get("type")
        given[name] = {"string": "true", "array": ["true"], "number": 1, "integer": 1, "boolean": False}.get(kind, {})
    return [marked(given, path) for path in leaves(given)]


async def test_a_poisoned_event_ends_only_its_turn(opened, connect, tracebacks) -> None:
    model = Streaming()
    every = [(event, path, name) for event in EVENTS for path in leaves(event) for name in POISONS]
    async with opened(model) as runtime:
        client = await connect(runtime)
        thread = ""
        for number, (event, path, name) in enumerate(drawn(every, 250)):
            if number % 50 == 0:
                thread = (await client.call("thread/start", dynamicTools=[TOOL], experimentalRawEvents=True))["thread"][
                    "id"
                ]
            model.answers.append(answer(put(marked(event, path), POISONS[name])))
            await client.run_turn(thread)
            model.answers.clear()
            ended = await client.run_turn(thread)
            assert ended["status"] == "completed", (event, path, name, ended)
        await client.call("thread/read", threadId=thread, includeTurns=True)
    assert set(client.answers.values()) == {1}
    if faults := tracebacks():
        pytest.fail("\n".join(faults))


async def test_poisoned_arguments_fail_their_call(opened, connect, tracebacks) -> None:
    model = Streaming()
    async with opened(model) as runtime:
        client = await connect(runtime)
        thread = (await client.call("thread/start", dynamicTools=[TOOL], approvalPolicy="never"))["thread"]["id"]
        await client.run_turn(thread)
        offered = [tool for tool in model.tools.values() if tool["name"] not in ("wait_agent", "spawn_agent")]
        assert len(offered) > 4
        every = [(tool["name"], given, poison) for tool in offered for given in arguments(tool) for poison in POISONS]
        for tool, given, poison in drawn(every, 150):
            call = {"type": "function_call", "call_id": "c", "name": tool, "arguments": MARK}
            text = json.dumps(put(given, POISONS[poison]).decode("utf-8", "replace")).encode()
            model.answers.append(answer(put({"type": "response.output_item.done", "item": call}, text)))
            ended = await client.run_turn(thread)
            assert ended["status"] == "completed", (tool, given, poison, ended)
    assert set(client.answers.values()) == {1}
    if faults := tracebacks():
        pytest.fail("\n".join(faults))


async def test_a_poisoned_answer_of_a_client_fails_only_its_call(opened, connect, tracebacks) -> None:
    model = Streaming()
    right = {
        "success": True,
        "contentItems": [{"type": "inputText", "text": "a"}, {"type": "inputImage", "imageUrl": "a"}],
    }
    wrong = {"code": 1, "message": "a", "data": 1}
    every = [
        (kind, sample, path, name)
        for kind, sample in (("result", right), ("error", wrong))
        for path in leaves(sample)
        for name in POISONS
    ]
    done = {"type": "response.output_item.done", "item": ITEMS[4]}
    async with opened(model) as runtime:
        client = await connect(runtime)
        thread = (await client.call("thread/start", dynamicTools=[TOOL]))["thread"]["id"]
        for kind, sample, path, name in drawn(every, 150):
            poisoned = put({kind: marked(sample, path)}, POISONS[name])
            client.answer = lambda question, poisoned=poisoned: poisoned[1:-1]
            model.answers.append(answer(json.dumps(done).encode()))
            ended = await client.run_turn(thread)
            assert ended["status"] == "completed", (kind, path, name, ended)
    assert set(client.answers.values()) == {1}
    if faults := tracebacks():
        pytest.fail("\n".join(faults))
