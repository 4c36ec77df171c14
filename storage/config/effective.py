"""The effective settings for one working directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

from attrs import evolve, field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.lenient import mapping
from spindle.rpc.model.provider import Provider
from spindle.storage.config.config_error import ConfigError
from spindle.storage.config.credential_variables import key_variables
from spindle.storage.config.layers import Layer, Trust
from spindle.storage.config.mcp_servers import McpServerConfig, mcp_servers
from spindle.storage.config.permissions import chosen, named
from spindle.storage.config.providers import OPENAI, not_found, providers
from spindle.storage.config.requirements import NOTHING, Requirements

if TYPE_CHECKING:
    from spindle.storage.config.notes import Note
    from spindle.storage.config.programs import Pinned
    from spindle.storage.plugins.active import ActivePlugin

Scope: TypeAlias = tuple[str, str] | None
"""The scope of a refusal: a named table, which may be unused, or all settings."""
FORMER_NAMES: Final[Mapping[str, Sequence[str]]] = {
    "multi_agent": ("collab",),
    "unified_exec": ("experimental_use_unified_exec_tool",),
    "apply_patch_freeform": ("experimental_use_freeform_apply_patch",),
}
"""Former names of features. Those that begin with `experimental_` may be at the top of the file, too."""


@frozen
class WorkspaceWrite:
    """`[sandbox_workspace_write]`: the permissions of a workspace-write sandbox beyond its working directory."""

    writable_roots: Sequence[str] = ()
    network_access: bool = False
    exclude_tmpdir_env_var: bool = False
    exclude_slash_tmp: bool = False


@frozen
class Config:
    """Merged settings. `merged` has the layers' values, `raw` the same with the chosen profile applied.

    The typed properties read `raw`; None means not set. `trust` is the user's decision about the project, if any.
    """

    raw: Mapping[str, Any]
    merged: Mapping[str, Any]
    layers: Sequence[Layer]
    cwd: Path | None
    trust: Trust | None
    model_catalog: Sequence[Mapping[str, Any]] | None = None
    """The checked entries of `model_catalog_json`; None if it is not set."""
    texts: Mapping[str, str] = field(factory=dict[str, str])
    """Key -> the text of its file (`texts.FILES`)."""
    requirements: Requirements = NOTHING
    """The administrator's requirements. Here they apply to features, web search, login shells and MCP servers."""
    plugins: Sequence[ActivePlugin] = ()
    """The plugins in effect, ordered by id."""
    notes: Sequence[Note] = ()
    """Settings that have no effect."""
    refusals: Mapping[Scope, ConfigError] = field(factory=dict[Scope, ConfigError])
    """The refusals of unsupported settings: of a provider, of a permission profile, or (None) of all."""
    _providers: Mapping[str, Provider] = field(init=False, repr=False, eq=False)

    permission_profile: Mapping[str, Any] | None = field(init=False, repr=False, eq=False)
    """The permission profile of `default_permissions`; None if `sandbox_mode` decides."""

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_providers", providers(self.raw))
        object.__setattr__(self, "permission_profile", chosen(self.raw, self.layers))

    def check(self) -> None:
        """Raise ConfigError if no thread can run with these settings, because one in force is not supported."""
        self._refuse(None)
        if self.permission_profile is not None:
            self._refuse(("permissions", str(self.raw["default_permissions"])))

    def check_provider(self, name: str) -> None:
        """Raise ConfigError if this provider cannot be used."""
        provider = self._providers.get(name)
        if provider is None:
            raise ConfigError(not_found(name, self._providers))
        self._refuse(("model_providers", name))
        if provider.requires_openai_auth and self.forced_login_method == "chatgpt":
            raise ConfigError('`forced_login_method = "chatgpt"`: only logins with an API key are supported')

    def profile(self, name: str) -> Mapping[str, Any]:
        """The permission profile of this name. Raises ConfigError."""
        self._refuse(("permissions", name))
        return named(self.raw, name)

    def _refuse(self, scope: Scope) -> None:
        if (error := self.refusals.get(scope)) is not None:
            raise ConfigError(error.reason, error.path, error.line, error.column)

    def providers(self) -> Mapping[str, Provider]:
        """All usable providers by id."""
        return self._providers

    @property
    def provider(self) -> Provider:
        """The provider whose id is `model_provider`."""
        return self._providers[self.model_provider]

    def mcp_servers(self) -> Mapping[str, McpServerConfig]:
        """All MCP servers by name, with disabled ones. A server that is not allowed is disabled.

        Of two with one name, that of config.toml counts, then that of the first plugin.
        """
        allows = self.requirements.allows_server
        found = {name: server for plugin in reversed(self.plugins) for name, server in plugin.servers.items()}
        found |= mcp_servers(self.raw)
        return {
            name: evolve(
                server,
                enabled=server.enabled and allows(name, server.command, server.url),
                pinned=None if server.plugin_id is not None else self._pinned("mcp_servers", name),
            )
            for name, server in sorted(found.items())
        }

    def _pinned(self, *keys: str) -> Pinned | None:
        projects = (layer.project for layer in self.layers if layer.project is not None)
        return next((project.pins[keys] for project in projects if keys in project.pins), None)

    def features(self, name: str, default: bool) -> bool:
        """Whether `[features]` enables `name`, also under a former name. A requirement has precedence."""
        at_top = {key: self.raw.get(key) for key in FORMER_NAMES.get(name, ()) if key.startswith("experimental_")}
        return feature(name, default, self.requirements.features, self.table("features"), at_top)

    def offers_tool(self, name: str) -> bool:
        """Whether `[tools]` enables a tool."""
        value = self.table("tools").get(name)
        return (cast("dict[str, object]", value).get("enabled") if isinstance(value, dict) else value) is not False

    @property
    def flags(self) -> Mapping[str, Any]:
        """The overrides of the command line and of the request."""
        flags = [layer.config for layer in self.layers if layer.source["type"] == "sessionFlags"]
        return flags[0] if flags else {}

    def table(self, key: str) -> Mapping[str, Any]:
        """A table of the settings, empty if it is not set."""
        value: object = self.raw.get(key)
        return mapping(value)

    @property
    def key_variables(self) -> frozenset[str]:
        """The environment variables with credentials, as providers and MCP servers name them."""
        brought = [server for plugin in self.plugins for server in plugin.servers.values()]
        named = {name for one in brought for name in (one.bearer_token_env_var, *one.env_http_headers.values()) if name}
        return key_variables(self.raw, self.layers) | named

    @property
    def model(self) -> str | None:
        return self.raw.get("model")

    @property
    def review_model(self) -> str | None:
        """The model that reviews; None for the thread's."""
        return self.raw.get("review_model")

    @property
    def model_provider(self) -> str:
        return self.raw.get("model_provider") or OPENAI

    @property
    def approval_policy(self) -> str | Mapping[str, Any] | None:
        """A string, or the table of a granular policy."""
        return self.raw.get("approval_policy")

    @property
    def approvals_reviewer(self) -> str:
        """Who decides about approvals: `user`, or a model (`auto_review`, `guardian_subagent`)."""
        return self.raw.get("approvals_reviewer") or "user"

    @property
    def review_policy(self) -> str | None:
        """What the reviewing model may allow; None for our own policy."""
        policy: str | None = self.table("auto_review").get("policy")
        return policy

    @property
    def sandbox_mode(self) -> str | None:
        return self.raw.get("sandbox_mode")

    @property
    def default_sandbox_mode(self) -> str:
        """The sandbox mode where nothing asks for one: the user has decided about the project, or has not."""
        return "read-only" if self.trust is None else "workspace-write"

    @property
    def default_approval_policy(self) -> str:
        """The approval policy where nothing asks for one."""
        return "untrusted" if self.trust == "untrusted" else "on-request"

    @property
    def sandbox_workspace_write(self) -> WorkspaceWrite:
        table = self.table("sandbox_workspace_write")
        return WorkspaceWrite(
            writable_roots=tuple(str(root) for root in cast("list[object]", table.get("writable_roots") or [])),
            network_access=bool(table.get("network_access")),
            exclude_tmpdir_env_var=bool(table.get("exclude_tmpdir_env_var")),
            exclude_slash_tmp=bool(table.get("exclude_slash_tmp")),
        )

    @property
    def model_reasoning_effort(self) -> str | None:
        return self.raw.get("model_reasoning_effort")

    @property
    def model_reasoning_summary(self) -> str | None:
        return self.raw.get("model_reasoning_summary")

    @property
    def model_verbosity(self) -> str | None:
        return self.raw.get("model_verbosity")

    @property
    def model_context_window(self) -> int | None:
        """In tokens."""
        return self.raw.get("model_context_window")

    @property
    def tool_output_token_limit(self) -> int | None:
        """The most tokens of a tool's output for the model."""
        return self.raw.get("tool_output_token_limit")

    @property
    def model_auto_compact_token_limit(self) -> int | None:
        """In tokens."""
        return self.raw.get("model_auto_compact_token_limit")

    @property
    def model_supports_reasoning_summaries(self) -> bool:
        return self.raw.get("model_supports_reasoning_summaries") is True

    @property
    def service_tier(self) -> str | None:
        return self.raw.get("service_tier")

    @property
    def personality(self) -> str | None:
        return self.raw.get("personality")

    @property
    def allow_login_shell(self) -> bool:
        """Whether commands may run in a login shell."""
        return self.requirements.allow_login_shell is not False and self.raw.get("allow_login_shell") is not False

    @property
    def web_search(self) -> str:
        """`disabled`, `cached` or `live`: the wanted mode, if it is allowed."""
        wanted: str = self.raw.get("web_search") or self._former_web_search()
        allowed = self.requirements.web_search_modes
        return wanted if allowed is None or wanted in allowed else "disabled"

    def _former_web_search(self) -> str:
        """The mode by settings that came before `web_search`."""
        if self.table("tools").get("web_search") is False:
            return "disabled"
        return "live" if self.features("web_search_request", False) else "cached"

    @property
    def web_search_options(self) -> Mapping[str, Any]:
        """`[tools.web_search]`: `allowed_domains`, `context_size` and `location`, as far as they are set."""
        value = self.table("tools").get("web_search")
        return mapping(value)

    @property
    def instructions(self) -> str | None:
        """The base instructions; a file has precedence."""
        return self.texts.get("model_instructions_file") or self.raw.get("instructions")

    @property
    def developer_instructions(self) -> str | None:
        return self.raw.get("developer_instructions")

    @property
    def compact_prompt(self) -> str | None:
        """The prompt of a compaction; a file has the lowest precedence."""
        return self.raw.get("compact_prompt") or self.texts.get("experimental_compact_prompt_file")

    @property
    def forced_login_method(self) -> Literal["chatgpt", "api"] | None:
        return self.raw.get("forced_login_method")

    @property
    def project_doc_max_bytes(self) -> int:
        """The most bytes of a project's AGENTS.md files; 0 disables them."""
        value = self.raw.get("project_doc_max_bytes")
        return 32 * 1024 if value is None else max(int(value), 0)

    @property
    def project_doc_fallback_filenames(self) -> Sequence[str]:
        return _strings(self.raw.get("project_doc_fallback_filenames"), ())

    @property
    def project_root_markers(self) -> Sequence[str]:
        return _strings(self.raw.get("project_root_markers"), (".git",))

    @property
    def thread_unload_delay_secs(self) -> int | None:
        """Seconds that a thread without subscribers stays loaded; None depends on how the last one left."""
        return self.raw.get("thread_unload_delay_secs")

    @property
    def shared_daemon_idle_secs(self) -> int:
        """Seconds that a shared daemon lives without clients and without running turns."""
        value = self.raw.get("shared_daemon_idle_secs")
        return 60 if value is None else max(int(value), 0)

    @property
    def on_unsubscribe(self) -> Literal["finish", "interrupt"]:
        """What happens to a running turn when the last subscriber leaves."""
        return self.raw.get("on_unsubscribe") or "finish"

    @property
    def mcp_oauth_callback(self) -> tuple[int, str | None]:
        """The port of the callback of logins to MCP servers (0: any), and the URL that leads to it, if it is set."""
        return self.raw.get("mcp_oauth_callback_port") or 0, self.raw.get("mcp_oauth_callback_url")

    @property
    def mcp_oauth_credentials_store(self) -> Literal["auto", "file", "keyring"]:
        """Where the tokens of such logins are stored."""
        return self.raw.get("mcp_oauth_credentials_store") or "auto"

    @property
    def mcp_optional_startup_grace(self) -> float | None:
        """Seconds that a turn waits for MCP servers that are not required; None waits until each has started or failed."""
        value = self.raw.get("mcp_optional_startup_grace_ms")
        return None if value is None else max(int(value), 0) / 1000

    @property
    def durability(self) -> Literal["turn", "item", "os"]:
        """When to fsync: after each turn, after each item, or never."""
        return self.raw.get("durability") or "turn"

    @property
    def offline_script(self) -> str | None:
        """The path of the offline model's script."""
        return self.raw.get("offline_script")


def feature(name: str, default: bool, *switches: Mapping[str, object]) -> bool:
    """Whether the first of `switches` that knows a feature, also under a former name, enables it."""
    for table in switches:
        for called in (name, *FORMER_NAMES.get(name, ())):
            value: object = table.get(called)
            if isinstance(value, dict):
                value = cast("dict[str, object]", value).get("enabled")
            if isinstance(value, bool):
                return value
    return default


def _strings(value: object, default: Sequence[str]) -> Sequence[str]:
    if not isinstance(value, list):
        return default
    return tuple(member for member in cast("list[object]", value) if isinstance(member, str))
