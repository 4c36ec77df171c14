"""Tools that the client itself runs: which of them can be offered to a model."""

from __future__ import annotations

import re
from collections.abc import Sequence

from spindle.rpc.protocol.errors import invalid_request
from spindle.rpc.protocol.settings import DynamicToolSpec

_NAME = re.compile(r"[a-zA-Z0-9_-]+")


def check_dynamic_tools(tools: Sequence[DynamicToolSpec]) -> None:
    """Raises RpcError for a name that is blank, reserved, twice there, or not one the Responses API takes."""
    seen: set[tuple[str | None, str]] = set()
    for tool in tools:
        name = tool.name.strip()
        if not name:
            raise invalid_request("dynamic tool name must not be empty")
        if not _NAME.fullmatch(tool.name):
            raise invalid_request(f"dynamic tool name must match ^[a-zA-Z0-9_-]+$ to match Responses API: {tool.name}")
        if name == "mcp" or name.startswith("mcp__"):
            raise invalid_request(f"dynamic tool name is reserved: {name}")
        if (tool.namespace, name) in seen:
            raise invalid_request(f"duplicate dynamic tool name: {name}")
        seen.add((tool.namespace, name))
