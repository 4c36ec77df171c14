"""The tools of one turn: how they are offered to the model, and which tool a call means."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from spindle.actors.tools.interface import Call, Exclusive, Tool
from spindle.actors.tools.truncation import MODEL_LIMIT, Limit

Offered: TypeAlias = Tool | Mapping[str, Any]
"""A tool, or the offer of a tool that the provider runs itself, such as web search."""


class ToolSource(Protocol):
    """Tools that may change while a turn runs."""

    def offers(self) -> Sequence[dict[str, Any]]:
        """The offers for the next request."""
        ...

    def find(self, call: Call) -> Tool | None:
        """The tool that a call means; None if there is none."""
        ...


class Toolbox:
    """`offered` are offered to the model in this order, those of one namespace together; `hidden` can only be called.

    The tools of `source` come last and may differ from one request to the next. Outputs are cut to `limit`.
    """

    def __init__(
        self,
        offered: Sequence[Offered] = (),
        hidden: Sequence[Tool] = (),
        source: ToolSource | None = None,
        limit: Limit = MODEL_LIMIT,
    ) -> None:
        self.limit = limit
        self._ours = [tool for tool in offered if not isinstance(tool, Mapping)]
        self._tools = {(tool.namespace, tool.name, _custom(tool)): tool for tool in (*hidden, *self._ours)}
        self._offers = _offers(offered)
        self._source = source

    @property
    def offers(self) -> Sequence[dict[str, Any]]:
        """The offers for the next request, all of them."""
        return self._offers if self._source is None else [*self._offers, *self._source.offers()]

    def only(self, names: Collection[str]) -> Toolbox:
        """A toolbox with only the functions of these names."""
        kept = [tool for tool in self._ours if tool.namespace is None and tool.name in names]
        return Toolbox(kept, limit=self.limit)

    def find(self, call: Call) -> Tool | None:
        """The tool that a call means; None if it does not exist, or takes the other kind of payload."""
        tool = self._tools.get((call.namespace, call.name, call.custom))
        if tool is None and self._source is not None:
            tool = self._source.find(call)
        return None if tool is None or _custom(tool) != call.custom else tool

    def exclusive(self, call: Call) -> bool:
        """Whether a call must not run in parallel with other calls of its answer."""
        tool: object = self.find(call)
        return isinstance(tool, Exclusive) and tool.exclusive(call)


def _custom(tool: Tool) -> bool:
    return bool(tool.offer["type"] == "custom")


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
        space: dict[str, Any] | None = spaces.get(tool.namespace)
        if space is None:
            space = spaces[tool.namespace] = _space(tool.namespace, getattr(tool, "namespace_description", ""))
            offers.append(space)
        space["tools"].append(tool.offer)
    return offers


def _space(name: str, description: str) -> dict[str, Any]:
    description = description.strip() or f"Tools in the namespace {name}."
    return {"type": "namespace", "name": name, "description": description, "tools": []}
