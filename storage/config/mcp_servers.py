"""`[mcp_servers.<name>]`: the MCP servers of a thread, and the faults of their tables.

The keys are those of Codex's config.toml; `shared` is Spindle's own. A table with `command` is a stdio server, one with
`url` a streamable HTTP server; each refuses the other's keys. Unknown keys are accepted.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast

from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.lenient import mapping
from spindle.storage.config.config_error import ConfigError, describe
from spindle.storage.config.editing import edit
from spindle.storage.config.programs import Pinned

ApprovalMode: TypeAlias = Literal["auto", "prompt", "approve"]
Fault: TypeAlias = tuple[tuple[str, ...], str]

STARTUP_SECONDS: Final = 30.0
TOOL_SECONDS: Final = 120.0
_MODES: Final = ("auto", "prompt", "approve")
_STDIO: Final = ("args", "env", "env_vars", "cwd")
_HTTP: Final = ("url", "bearer_token_env_var", "http_headers", "env_http_headers", "oauth_resource", "oauth")
_WORDS: Final[Mapping[type, str]] = {
    str: "a string",
    bool: "a boolean",
    dict: "a map",
    list: "a sequence",
    float: "f64",
    int: "u16",
}

KEYS: Final[Mapping[str, type]] = {
    "command": str,
    "args": list,
    "env": dict,
    "env_vars": list,
    "cwd": str,
    "url": str,
    "bearer_token_env_var": str,
    "http_headers": dict,
    "env_http_headers": dict,
    "oauth_resource": str,
    "enabled": bool,
    "required": bool,
    "startup_timeout_sec": float,
    "startup_timeout_ms": float,
    "tool_timeout_sec": float,
    "enabled_tools": list,
    "disabled_tools": list,
    "default_tools_approval_mode": str,
    "tools": dict,
    "scopes": list,
    "oauth": dict,
    "supports_parallel_tool_calls": bool,
    "shared": bool,
}
OAUTH_KEYS: Final[Mapping[str, type]] = {
    "client_id": str,
    "callback_port": int,
    "callback_url": str,
    "authorization_server_issuer": str,
}
_OF_STRINGS: Final = ("args", "enabled_tools", "disabled_tools", "scopes", "env", "http_headers", "env_http_headers")


@frozen(kw_only=True)
class McpServerConfig:
    """One server. Exactly one of `command` and `url` is set; the timeouts are in seconds."""

    name: str
    command: str | None = None
    args: Sequence[str] = ()
    env: Mapping[str, str] = field(factory=dict[str, str])
    env_vars: Sequence[str] = ()
    """More variables that the server gets from our environment, besides the few that each server gets."""
    cwd: str | None = None
    url: str | None = None
    bearer_token_env_var: str | None = None
    http_headers: Mapping[str, str] = field(factory=dict[str, str])
    env_http_headers: Mapping[str, str] = field(factory=dict[str, str])
    """Header name -> the environment variable with its value."""
    enabled: bool = True
    required: bool = False
    """Whether a thread fails to start if this server does."""
    startup_timeout: float = STARTUP_SECONDS
    tool_timeout: float = TOOL_SECONDS
    enabled_tools: Sequence[str] | None = None
    disabled_tools: Sequence[str] = ()
    default_tools_approval_mode: ApprovalMode = "auto"
    tool_approval_modes: Mapping[str, ApprovalMode] = field(factory=dict[str, ApprovalMode])
    parallel: bool = False
    """Whether its tools may be called concurrently."""
    scopes: Sequence[str] | None = None
    """What a login asks for; None for what the server suggests."""
    oauth_resource: str | None = None
    """The name of the server in requests for tokens."""
    oauth: Mapping[str, Any] = field(factory=dict[str, Any])
    """More for a login: the client that is used in place of a registered one, the callback, the only issuer (`OAUTH_KEYS`)."""
    shared: bool = False
    """Whether one process serves all threads of a runtime with the same configuration of it."""
    plugin_id: str | None = None
    """The plugin that brings it; None for a server of config.toml."""
    plugin_title: str | None = None
    """The plugin's name for people and the model."""
    pinned: Pinned | None = None
    """For a project's server: the approved program and files, compared when the server starts."""

    @property
    def environment_id(self) -> str | None:
        """The environment that the server belongs to, as clients see it: that of plugins, or none."""
        return None if self.plugin_id is None else "local"

    def is_in(self, environment_id: str | None) -> bool:
        """Whether a client that names this environment means this server; None leaves it open."""
        return environment_id is None or environment_id == self.environment_id

    def offers(self, tool: str) -> bool:
        """Whether the allow and deny lists allow `tool`."""
        return (self.enabled_tools is None or tool in self.enabled_tools) and tool not in self.disabled_tools

    def approval_mode(self, tool: str) -> ApprovalMode:
        """How calls of `tool` are approved."""
        return self.tool_approval_modes.get(tool, self.default_tools_approval_mode)


def mcp_servers(config: Mapping[str, Any]) -> dict[str, McpServerConfig]:
    """All configured servers by name, with disabled ones, ordered by name; `config` is checked."""
    tables = cast("dict[str, dict[str, Any]]", config.get("mcp_servers") or {})
    return {name: _server(name, tables[name]) for name in sorted(tables)}


def approve_tool(file: Path, server: str, tool: str, plugin_id: str | None = None) -> None:
    """Record in the config.toml of the server, or of its plugin, that `tool` is called without approval from now on.

    Blocking. Raises ConfigError if `file` does not configure the server, as an incomplete table would invalidate the file;
    OSError.
    """

    def change(document: Any) -> None:
        table: Any
        if plugin_id is None:
            servers: Any = document.get("mcp_servers") or {}
            table = servers.get(server)
            if table is None:
                raise ConfigError(f"MCP server `{server}` is not configured here", file)
        else:
            plugins: Any = document.get("plugins") or {}
            if plugin_id not in plugins:
                raise ConfigError(f"plugin `{plugin_id}` is not configured here", file)
            table = plugins[plugin_id].setdefault("mcp_servers", {}).setdefault(server, {})
        table.setdefault("tools", {}).setdefault(tool, {})["approval_mode"] = "approve"

    edit(file, change)


def mcp_faults(tables: object) -> Iterator[Fault]:
    """The faults of the `mcp_servers` table: keys from the top, and the reason."""
    if not isinstance(tables, dict):
        return
    for name, table in cast("dict[str, object]", tables).items():
        at = ("mcp_servers", name)
        if isinstance(table, dict):
            yield from _table_faults(cast("dict[str, object]", table), at)
        else:
            yield at, f"invalid type: {describe(table)}, expected a map"


def _table_faults(table: Mapping[str, object], at: tuple[str, ...]) -> Iterator[Fault]:
    for key, kind in KEYS.items():
        value = table.get(key)
        if value is not None:
            yield from _value_faults(value, kind, (*at, key))
    for key in _OF_STRINGS:
        for member, value in _members(table.get(key)):
            if not isinstance(value, str):
                yield (*at, key, member) if isinstance(table[key], dict) else (*at, key), _wrong(value, str)
    for key, value in mapping(table.get("oauth")).items():
        if key in OAUTH_KEYS and (not isinstance(value, OAUTH_KEYS[key]) or isinstance(value, bool)):
            yield (*at, "oauth", key), _wrong(value, OAUTH_KEYS[key])
    for _, value in _members(table.get("env_vars")):
        if not isinstance(value, str) and not isinstance(mapping(value).get("name"), str):
            yield (*at, "env_vars"), "expected names of variables, or tables with a `name`"
    if (mode := table.get("default_tools_approval_mode")) is not None and isinstance(mode, str):
        yield from _mode_faults(mode, (*at, "default_tools_approval_mode"))
    for tool, settings in _members(table.get("tools")):
        if not isinstance(settings, dict):
            yield (*at, "tools", tool), _wrong(settings, dict)
        elif (mode := cast("dict[str, object]", settings).get("approval_mode")) is not None:
            yield from _mode_faults(mode, (*at, "tools", tool, "approval_mode"))
    yield from _transport_faults(table, at)


def _transport_faults(table: Mapping[str, object], at: tuple[str, ...]) -> Iterator[Fault]:
    foreign: Sequence[str]
    if table.get("command") is not None:
        transport, foreign = "stdio", _HTTP
    elif table.get("url") is not None:
        transport, foreign = "streamable_http", _STDIO
    else:
        yield at, "invalid transport: a server has either a `command` or a `url`"
        return
    for key in (*foreign, "bearer_token"):
        if table.get(key) is not None:
            yield (*at, key), f"{key} is not supported for {transport}"


def _value_faults(value: object, kind: type, at: tuple[str, ...]) -> Iterator[Fault]:
    if kind is float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield at, _wrong(value, kind)
        elif not 0 <= value < float("inf"):
            yield at, f"invalid value: `{value}`, expected a time that is not negative"
    elif not isinstance(value, kind):
        yield at, _wrong(value, kind)


def _mode_faults(mode: object, at: tuple[str, ...]) -> Iterator[Fault]:
    if not isinstance(mode, str):
        yield at, _wrong(mode, str)
    elif mode not in _MODES:
        yield at, f"unknown variant `{mode}`, expected one of `auto`, `prompt`, `approve`"


def _server(name: str, table: Mapping[str, Any]) -> McpServerConfig:
    startup = table.get("startup_timeout_sec")
    if startup is None and (milliseconds := table.get("startup_timeout_ms")) is not None:
        startup = milliseconds / 1000
    enabled = table.get("enabled_tools")
    return McpServerConfig(
        name=name,
        command=table.get("command"),
        args=tuple(table.get("args") or ()),
        env=dict(table.get("env") or {}),
        env_vars=tuple(_env_vars(table.get("env_vars") or ())),
        cwd=table.get("cwd"),
        url=table.get("url"),
        bearer_token_env_var=table.get("bearer_token_env_var"),
        http_headers=dict(table.get("http_headers") or {}),
        env_http_headers=dict(table.get("env_http_headers") or {}),
        enabled=table.get("enabled") is not False,
        required=bool(table.get("required")),
        startup_timeout=STARTUP_SECONDS if startup is None else float(startup),
        tool_timeout=TOOL_SECONDS if table.get("tool_timeout_sec") is None else float(table["tool_timeout_sec"]),
        enabled_tools=None if enabled is None else tuple(enabled),
        disabled_tools=tuple(table.get("disabled_tools") or ()),
        default_tools_approval_mode=table.get("default_tools_approval_mode") or "auto",
        tool_approval_modes={
            tool: settings["approval_mode"]
            for tool, settings in cast("dict[str, dict[str, Any]]", table.get("tools") or {}).items()
            if settings.get("approval_mode") is not None
        },
        parallel=bool(table.get("supports_parallel_tool_calls")),
        scopes=None if table.get("scopes") is None else tuple(table["scopes"]),
        oauth_resource=table.get("oauth_resource"),
        oauth=mapping(table.get("oauth")),
        shared=bool(table.get("shared")),
    )


def _env_vars(listed: Sequence[Any]) -> Iterator[str]:
    for entry in listed:
        if isinstance(entry, str):
            yield entry
        elif mapping(entry).get("source", "local") == "local":  # "remote" variables belong to another machine
            yield cast(str, mapping(entry)["name"])


def _members(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        yield from cast("dict[str, object]", value).items()
    elif isinstance(value, list):
        yield from (("", member) for member in cast("list[object]", value))


def _wrong(value: object, kind: type) -> str:
    return f"invalid type: {describe(value)}, expected {_WORDS[kind]}"
