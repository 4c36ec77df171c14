"""The offer of servers to the model: a namespace of functions for each, with names that every model accepts.

A name has letters, digits and underscores only; a namespace and a function together have at most 64 characters. If two names
would be the same, or one would be too long, it ends with a hash of the real name.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from attrs import frozen

from spindle.actors.tools.mcp.server import Server
from spindle.rpc.mcp.payload import Json

_LONGEST: Final = 64
_HASH: Final = 12
_LONGEST_NAMESPACE: Final = _LONGEST - _HASH - 1
_UNFIT: Final = re.compile(r"[^a-zA-Z0-9_]")


@frozen(eq=False)
class ServerTool:
    """A tool of a ready server; `listed` is its entry in tools/list."""

    server: Server
    listed: Json

    @property
    def name(self) -> str:
        """Its name on the server."""
        return str(self.listed.get("name"))


@frozen
class Offer:
    """The namespaces for a request, and the tools by (namespace, name) in calls."""

    namespaces: Sequence[Json]
    tools: dict[tuple[str, str], ServerTool]


def offer(servers: Sequence[Server]) -> Offer:
    """The tools of `servers`, sorted by their names for the model. A server without tools has no namespace."""
    found: list[Json] = []
    tools: dict[tuple[str, str], ServerTool] = {}
    for namespace, server in sorted(_namespaces(servers).items()):
        functions: list[dict[str, Any]] = []
        for name, tool in sorted(_functions(namespace, server).items()):
            tools[namespace, name] = tool
            functions.append(
                {
                    "type": "function",
                    "name": name,
                    "description": _text(tool.listed.get("description")),
                    "strict": False,
                    "parameters": server.schemas[tool.name],
                }
            )
        description = server.instructions or f"Tools in the {namespace} namespace."
        found.append({"type": "namespace", "name": namespace, "description": description, "tools": functions})
    return Offer(found, tools)


def _namespaces(servers: Sequence[Server]) -> dict[str, Server]:
    offering = [server for server in servers if server.tools]
    plain = {server.config.name: "mcp__" + _fit(server.config.name) for server in offering}
    taken = Counter(plain.values())
    named: dict[str, Server] = {}
    for server in offering:
        real = server.config.name
        name = plain[real]
        if taken[name] > 1 or len(name) + 2 > _LONGEST_NAMESPACE:
            name = f"{name[: _LONGEST_NAMESPACE - 2 - _HASH - 1]}_{_hash(real)}"
        named[name + "__"] = server
    return named


def _functions(namespace: str, server: Server) -> dict[str, ServerTool]:
    taken = Counter(_fit(str(tool.get("name"))) for tool in server.tools)
    named: dict[str, ServerTool] = {}
    for listed in server.tools:
        tool = ServerTool(server, listed)
        name = _fit(tool.name)
        if taken[name] > 1 or len(namespace) + len(name) > _LONGEST:
            name = f"{name[: _LONGEST - len(namespace) - _HASH - 1]}_{_hash(f'{server.config.name}/{tool.name}')}"
        named[name] = tool
    return named


def _fit(name: str) -> str:
    return _UNFIT.sub("_", name) or "_"


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _hash(name: str) -> str:
    return hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()[:_HASH]
