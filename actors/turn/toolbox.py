"""The tools of one turn: what the model is offered, and which of them a call means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from spindle.actors.tools.interface import Call, Exclusive, Tool

Offered: TypeAlias = Tool | Mapping[str, Any]
"""A tool, or the offer of one that the provider runs itself, such as a web search."""


class Toolbox:
    """`offered` are shown to the model, in this order, those with a namespace together; `hidden` only work when called."""

    def __init__(self, offered: Sequence[Offered] = (), hidden: Sequence[Tool] = ()) -> None:
        ours = [tool for tool in offered if not isinstance(tool, Mapping)]
        self._tools = {(tool.namespace, tool.name): tool for tool in (*hidden, *ours)}
        self.offers = _offers(offered)

    def find(self, call: Call) -> Tool | None:
        """The tool that a call means, None for one that does not exist or is called in the wrong way."""
        tool = self._tools.get((call.namespace, call.name))
        return None if tool is None or (tool.offer["type"] == "custom") != call.custom else tool

    def exclusive(self, call: Call) -> bool:
        """Whether a call must not run beside others of its answer."""
        tool: object = self.find(call)
        return isinstance(tool, Exclusive) and tool.exclusive(call)


def _offers(tools: Iterable[Offered]) -> list[dict[str, Any]]:
    offers: list[dict[str, Any]] = []
    spaces: dict[str, dict[str, Any]] = {}
    for tool in tools:
        if isinstance(tool, Mapping):
            offers.append(dict(tool))
            continue
        if tool.namespace is None:
            offers.append(tool.offer)
            continue
        space = spaces.get(tool.namespace)
        if space is None:
            space = spaces[tool.namespace] = _space(tool.namespace)
            offers.append(space)
        space["tools"].append(tool.offer)
    return offers


def _space(name: str) -> dict[str, Any]:
    return {"type": "namespace", "name": name, "description": f"Tools in the namespace {name}.", "tools": []}
