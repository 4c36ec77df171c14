"""The tools of one turn: what the model is offered, and which of them a call means."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Protocol

from spindle.actors.tools.interface import Call, Tool


class ToolSource(Protocol):
    """Tools that may come and go while a turn runs."""

    def offers(self) -> Sequence[dict[str, Any]]:
        """How they are offered to the model now."""
        ...

    def find(self, call: Call) -> Tool | None:
        """The one that a call means, if there is one."""
        ...


class Toolbox:
    """`offered` are shown to the model, in this order, those with a namespace together; `hidden` only work when called.

    `others` are offers of tools that the provider runs itself, such as a web search, shown after the function named there.
    What `source` has is shown last, and may be different with each request.
    """

    def __init__(
        self,
        offered: Sequence[Tool] = (),
        hidden: Sequence[Tool] = (),
        others: Sequence[dict[str, Any]] = (),
        source: ToolSource | None = None,
    ) -> None:
        self._tools = {(tool.namespace, tool.name): tool for tool in (*hidden, *offered)}
        self._offered = offered
        self._offers = [*_offers(offered), *others]
        self._source = source

    @property
    def offers(self) -> Sequence[dict[str, Any]]:
        """What the next request offers."""
        return self._offers if self._source is None else [*self._offers, *self._source.offers()]

    def only(self, names: Collection[str]) -> Toolbox:
        """A toolbox with those of its functions that are called so, and nothing else."""
        return Toolbox([tool for tool in self._offered if tool.namespace is None and tool.name in names])

    def find(self, call: Call) -> Tool | None:
        """The tool that a call means, None for one that does not exist or is called in the wrong way."""
        tool = self._tools.get((call.namespace, call.name))
        if tool is None and self._source is not None:
            tool = self._source.find(call)
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
            functions: list[dict[str, Any]] = []
            space = {"type": "namespace", "name": tool.namespace, "description": description, "tools": functions}
            spaces[tool.namespace] = space
            offers.append(space)
        space["tools"].append(tool.offer)
    return offers
