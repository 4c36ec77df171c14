"""The tools of one turn: what the model is offered, and which of them a call means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from spindle.actors.tools.interface import Call, Tool


class Toolbox:
    """`offered` are shown to the model, in this order, those with a namespace together; `hidden` only work when called.

    `others` are offers of tools that the provider runs itself, such as a web search, shown after the function named there.
    """

    def __init__(
        self, offered: Sequence[Tool] = (), hidden: Sequence[Tool] = (), others: Sequence[dict[str, Any]] = ()
    ) -> None:
        self._tools = {(tool.namespace, tool.name): tool for tool in (*hidden, *offered)}
        self.offers = [*_offers(offered), *others]

    def find(self, call: Call) -> Tool | None:
        """The tool that a call means, None for one that does not exist or is called in the wrong way."""
        tool = self._tools.get((call.namespace, call.name))
        return None if tool is None or (tool.offer["type"] == "custom") != call.custom else tool


def _offers(tools: Iterable[Tool]) -> list[dict[str, Any]]:
    offers: list[dict[str, Any]] = []
    spaces: dict[str, dict[str, Any]] = {}
    for tool in tools:
        if tool.namespace is None:
            offers.append(tool.offer)
            continue
        space = spaces.get(tool.namespace)
        if space is None:
            description = f"Tools in the namespace {tool.namespace}."
            space = {"type": "namespace", "name": tool.namespace, "description": description, "tools": []}
            spaces[tool.namespace] = space
            offers.append(space)
        space["tools"].append(tool.offer)
    return offers
