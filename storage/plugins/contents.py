"""What a plugin brings: folders of skills, MCP servers and hooks. Everything here blocks.

A part with a fault is left out, with a warning. Nothing outside the plugin's folder is read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from spindle.rpc.lazy_class import frozen
from spindle.rpc.lenient import is_mapping, mapping, sequence, text_or_none
from spindle.rpc.protocol.values import loads
from spindle.storage.config.mcp_servers import McpServerConfig, mcp_faults, mcp_servers
from spindle.storage.outside import TEXT, read_file
from spindle.storage.plugins.manifest import Manifest, inside

SERVERS: Final = 64
"""The most MCP servers of a plugin."""
_HOOKS: Final = "hooks/hooks.json"
_SERVERS: Final = ".mcp.json"
_TYPES: Final = (None, "stdio", "http", "streamable_http", "streamable-http", "sse")
_RENAMED: Final = {"headers": "http_headers"}
"""Members of other programs' files, under their names here."""


@frozen(kw_only=True)
class HookSource:
    """Hooks of a plugin: `name` is their place in the plugin, as hooks' keys show it, `path` their file."""

    name: str
    path: Path
    events: Mapping[str, object]


@frozen(kw_only=True)
class Contents:
    """The parts of a plugin. `warnings` are about those with a fault."""

    skill_roots: Sequence[Path]
    servers: Mapping[str, McpServerConfig]
    hooks: Sequence[HookSource]
    warnings: Sequence[str]


def contents(manifest: Manifest) -> Contents:
    """The parts of the plugin with this manifest. Never raises."""
    warnings: list[str] = []
    default = manifest.root / "skills"
    roots = dict.fromkeys([default, *manifest.paths("skills", "skills")])
    return Contents(
        skill_roots=[root for root in roots if root.is_dir() and inside(manifest.root, root)],
        servers=_servers(manifest, warnings),
        hooks=list(_hook_sources(manifest, warnings)),
        warnings=warnings,
    )


def _servers(manifest: Manifest, warnings: list[str]) -> dict[str, McpServerConfig]:
    given: object = manifest.members.get("mcpServers")
    if is_mapping(given):
        tables: Mapping[str, Any] = given
    else:
        tables = {}
        for path in manifest.paths("mcpServers", _SERVERS):
            table = _read(manifest, path, warnings)
            tables = {**tables, **mapping(table.get("mcpServers", table))}
    found: dict[str, McpServerConfig] = {}
    for name, table in list(tables.items())[:SERVERS]:
        translated = _table(table, manifest.root)
        fault = next(mcp_faults({name: translated}), None)
        if fault is not None:
            warnings.append(f"MCP server `{name}` of plugin `{manifest.title}` is left out: {fault[1]}")
        else:
            found |= mcp_servers({"mcp_servers": {name: translated}})
    return found


def _table(given: object, root: Path) -> object:
    """A server in a plugin's file as a table of config.toml. It runs in the plugin's folder, or in a folder of it."""
    if not is_mapping(given):
        return given
    table = {_RENAMED.get(key, key): value for key, value in given.items() if key != "type"}
    if table.get("command") is not None:
        cwd = text_or_none(table.get("cwd")) or "."
        table["cwd"] = os.path.normpath(root / cwd)
    if given.get("type") not in _TYPES:
        return {}  # a transport that is not supported: the table has neither a command nor a URL
    return table


def _hook_sources(manifest: Manifest, warnings: list[str]) -> Iterator[HookSource]:
    given: object = manifest.members.get("hooks")
    inline = [given] if is_mapping(given) else [one for one in sequence(given) if is_mapping(one)]
    for number, one in enumerate(inline):
        yield HookSource(
            name=f"plugin.json#hooks[{number}]", path=manifest.file, events=mapping(one.get("hooks", one))
        )
    if inline:
        return
    for path in manifest.paths("hooks", _HOOKS):
        events = mapping(_read(manifest, path, warnings).get("hooks"))
        if events:
            yield HookSource(name=str(path.relative_to(manifest.root)), path=path, events=events)


def _read(manifest: Manifest, path: Path, warnings: list[str]) -> Mapping[str, Any]:
    try:
        if not inside(manifest.root, path):
            raise ValueError("it leads out of the plugin")
        return mapping(loads(read_file(path, TEXT)))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, orjson.JSONDecodeError, ValueError) as error:
        warnings.append(f"{path} of plugin `{manifest.title}` is left out: {error}")
        return {}

