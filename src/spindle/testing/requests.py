"""What a thread asked a model, decoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, cast

import orjson
from attrs import frozen

from spindle.rpc.lenient import mapping, sequence
from spindle.rpc.model.interface import ModelRequest
from spindle.storage.rollout.history import StoredItem, is_context

_SHOWN = 400


@frozen
class Message:
    """A message of the conversation. `context`: the thread added it, such as the environment or the instructions of files."""

    role: str
    text: str
    context: bool = False


class Request:
    """One request to the model. `raw` is the request as the model got it."""

    def __init__(self, raw: ModelRequest) -> None:
        self.raw = raw
        self.model = raw.model
        self.instructions = raw.instructions
        self.input = tuple(raw.input)
        """The response items of the conversation, encoded. The thread goes on to add to those of `raw`."""
        self.thread_id = raw.thread_id
        self.turn_id = raw.turn_id

    @cached_property
    def items(self) -> Sequence[Mapping[str, Any]]:
        """The response items of the conversation."""
        return [orjson.loads(item) for item in self.input]

    @cached_property
    def messages(self) -> Sequence[Message]:
        """The messages of the conversation, with those that the thread added."""
        return [
            Message(str(item.get("role")), _text(item.get("content")), is_context(StoredItem("message", None, role, raw)))
            for item, raw in zip(self.items, self.input, strict=True)
            if item.get("type") == "message"
            for role in [cast("str | None", item.get("role"))]
        ]

    @property
    def texts(self) -> list[str]:
        """The texts of all messages; one that the thread added may have several."""
        parts = [part for item in self.items if item.get("type") == "message" for part in sequence(item.get("content"))]
        return [str(part["text"]) for part in map(mapping, parts) if "text" in part]

    @property
    def conversation(self) -> list[str]:
        """The texts of the messages that user and model have written."""
        return [message.text for message in self.messages if not message.context]

    @property
    def prompt(self) -> str:
        """The last text of the user; "" if there is none."""
        said = [message.text for message in self.messages if message.role == "user" and not message.context]
        return said[-1] if said else ""

    @cached_property
    def tool_outputs(self) -> Mapping[str, str]:
        """By call id, the output of each call."""
        return {
            str(item.get("call_id")): _text(item.get("output"))
            for item in self.items
            if str(item.get("type")).endswith("_call_output")
        }

    @cached_property
    def tools(self) -> Mapping[str, Mapping[str, Any]]:
        """By name, the tools that the thread offers, as they are offered: `description`, `parameters` (a JSON schema).

        A tool of an MCP server has its namespace and a dot before its name: `mcp__docs__.search`.
        """
        return {name: offer for name, _, offer in self.offers()}

    def offers(self) -> Iterator[tuple[str, str | None, Mapping[str, Any]]]:
        """(name, namespace, offer) of each tool."""
        for tool in map(mapping, self.raw.tools):
            name = str(tool.get("name") or tool.get("type"))
            if tool.get("type") != "namespace":
                yield name, None, tool
                continue
            for inner in map(mapping, sequence(tool.get("tools"))):
                yield f"{name}.{inner.get('name')}", name, inner

    @property
    def effort(self) -> str | None:
        """The effort of reasoning; None if the model is not asked for one."""
        effort = mapping(self.raw.reasoning).get("effort")
        return effort if isinstance(effort, str) else None

    @property
    def output_schema(self) -> Any:
        """The JSON schema that the answer must have; None for free text."""
        return mapping(mapping(self.raw.text).get("format")).get("schema")

    def __str__(self) -> str:
        """The prompt, and the outputs of tools since then."""
        at = max((i for i, item in enumerate(self.items) if item.get("role") == "user"), default=-1)
        outputs = [
            f"the output of {self._called(str(item.get('call_id')))}: {_short(_text(item['output']))}"
            for item in self.items[at + 1 :]
            if "output" in item
        ]
        return "\n".join([f"the prompt {_short(self.prompt)}", *outputs])

    def _called(self, call_id: str) -> str:
        names = (str(item.get("name")) for item in self.items if item.get("call_id") == call_id and "name" in item)
        return f"{next(names, 'the call')} ({call_id})"


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    return "".join(str(mapping(part).get("text", "")) for part in sequence(content))


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
