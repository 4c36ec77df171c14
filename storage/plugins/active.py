"""The plugins that are in effect: enabled in config.toml, and installed. Everything here blocks."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from attrs import evolve

from spindle.rpc.lazy_class import frozen
from spindle.rpc.lenient import mapping
from spindle.storage.config.mcp_servers import McpServerConfig, mcp_faults, mcp_servers
from spindle.storage.home import Home
from spindle.storage.plugins.cache import PluginCache
from spindle.storage.plugins.contents import HookSource, contents
from spindle.storage.plugins.manifest import read_manifest
from spindle.storage.plugins.plugin_ids import PluginError, PluginId

MOST: Final = 200
"""The most plugins of a home that are in effect."""
_POLICY: Final = ("enabled", "enabled_tools", "disabled_tools", "default_tools_approval_mode", "tools")
"""Settings of a plugin's server that config.toml may change, in `[plugins."<id>".mcp_servers.<name>]`."""
_FILES: Final = ("", ".codex-plugin/plugin.json", ".claude-plugin/plugin.json", ".mcp.json", "hooks/hooks.json", "skills")
_Signature: TypeAlias = tuple[object, ...]


@frozen(kw_only=True)
class ActivePlugin:
    """A plugin in effect: its folder and data folder, its name for people, and its parts."""

    id: PluginId
    root: Path
    data: Path
    title: str
    description: str | None
    skill_roots: Sequence[Path]
    servers: Mapping[str, McpServerConfig]
    hooks: Sequence[HookSource]
    warnings: Sequence[str]


class ActivePlugins:
    """Reads the plugins in effect; one that has not changed is read once. Worker threads may share it."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._cache = PluginCache(home)
        self._known: dict[str, tuple[_Signature, ActivePlugin]] = {}
        self._lock = threading.Lock()

    def read(self, tables: Mapping[str, Any]) -> tuple[ActivePlugin, ...]:
        """The plugins in effect with these tables of `[plugins]`, ordered by id. Never raises."""
        found = (self._one(key, mapping(tables[key])) for key in sorted(tables)[:MOST])
        return tuple(one for one in found if one is not None)

    def _one(self, key: str, table: Mapping[str, Any]) -> ActivePlugin | None:
        plugin = PluginId.parse(key)
        if plugin is None or table.get("enabled") is not True:
            return None
        root = self._cache.root(plugin)
        if root is None:
            return None
        signature = (root, *(_stamp(root / name) for name in _FILES), repr(table.get("mcp_servers")))
        with self._lock:
            known = self._known.get(key)
        if known is not None and known[0] == signature:
            return known[1]
        try:
            data = self._home.path / "plugins" / "data" / f"{plugin.name}-{plugin.marketplace}"
            made = plugin_of(plugin, root, data, mapping(table.get("mcp_servers")))
        except (PluginError, OSError):
            return None
        with self._lock:
            self._known[key] = signature, made
        return made


def plugin_of(plugin: PluginId, root: Path, data: Path, policies: Mapping[str, Any] = {}) -> ActivePlugin:
    """The plugin in a folder; `policies` are settings of its servers, by name. Raises PluginError, OSError."""
    manifest = read_manifest(root)
    parts = contents(manifest)
    warnings = list(parts.warnings)
    servers: dict[str, McpServerConfig] = {}
    for name, server in parts.servers.items():
        own = {key: value for key, value in mapping(policies.get(name)).items() if key in _POLICY}
        fault = next(mcp_faults({name: {"command": "", **own}}), None)
        if fault is not None:
            # a restriction that cannot be understood must not be missed
            warnings.append(f'plugins."{plugin}".{".".join(fault[0])}: {fault[1]}; the server is disabled')
            server = evolve(server, enabled=False)
        else:
            server = _with_policy(server, own)
        servers[name] = evolve(server, plugin_id=str(plugin), plugin_title=manifest.title)
    return ActivePlugin(
        id=plugin,
        root=root,
        data=data,
        title=manifest.title,
        description=manifest.description,
        skill_roots=parts.skill_roots,
        servers=servers,
        hooks=parts.hooks,
        warnings=warnings,
    )


def _with_policy(server: McpServerConfig, table: Mapping[str, Any]) -> McpServerConfig:
    policy = mcp_servers({"mcp_servers": {server.name: table}})[server.name]
    given = {key: getattr(policy, key) for key in _POLICY if key in table and key != "tools"}
    if "tools" in table:
        given["tool_approval_modes"] = {**server.tool_approval_modes, **policy.tool_approval_modes}
    return evolve(server, **given)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
