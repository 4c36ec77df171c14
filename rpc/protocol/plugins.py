"""Plugins: lists of what marketplaces offer, one plugin in detail, and installation."""

from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.hooks import HookEventName
from spindle.rpc.protocol.shapes import U32, AbsolutePath, JsonObject, Tagged
from spindle.rpc.protocol.skills import SkillInterface

PluginInstallPolicy: TypeAlias = Literal["NOT_AVAILABLE", "AVAILABLE", "INSTALLED_BY_DEFAULT"]
PluginAuthPolicy: TypeAlias = Literal["ON_INSTALL", "ON_USE"]
PluginAvailability: TypeAlias = Literal["DISABLED_BY_ADMIN", "AVAILABLE"]
PluginListMarketplaceKind: TypeAlias = Literal[
    "local", "vertical", "workspace-directory", "shared-with-me", "created-by-me-remote"
]
PluginSearchScope: TypeAlias = Literal["global", "workspace", "personal"]


@frozen
class LocalPluginSource:
    """A plugin in its marketplace's folder."""

    type: Literal["local"] = field(default="local", init=False)
    path: str


@frozen(kw_only=True)
class GitPluginSource:
    """A plugin in a git repository."""

    type: Literal["git"] = field(default="git", init=False)
    url: str
    path: str | None = None
    ref_name: str | None = None
    sha: str | None = None


@frozen(kw_only=True)
class NpmPluginSource:
    """A plugin in an npm registry."""

    type: Literal["npm"] = field(default="npm", init=False)
    package: str
    version: str | None = None
    registry: str | None = None


@frozen
class RemotePluginSource:
    """A plugin of the vendor's catalogue."""

    type: Literal["remote"] = field(default="remote", init=False)


PluginSource: TypeAlias = Annotated[
    LocalPluginSource | GitPluginSource | NpmPluginSource | RemotePluginSource, Tagged("PluginSource")
]


@frozen(kw_only=True)
class PluginInterface:
    """How clients display a plugin. Paths are absolute."""

    display_name: str | None = None
    short_description: str | None = None
    long_description: str | None = None
    developer_name: str | None = None
    category: str | None = None
    capabilities: Sequence[str] = ()
    website_url: str | None = None
    privacy_policy_url: str | None = None
    terms_of_service_url: str | None = None
    default_prompt: Sequence[str] | None = None
    brand_color: str | None = None
    composer_icon: str | None = None
    composer_icon_url: str | None = None
    logo: str | None = None
    logo_dark: str | None = None
    logo_url: str | None = None
    logo_url_dark: str | None = None
    screenshots: Sequence[str] = ()
    screenshot_urls: Sequence[str] = ()


@frozen(kw_only=True)
class PluginSummary:
    """One plugin. The members about the vendor's catalogue are null for local plugins."""

    id: str
    remote_plugin_id: str | None = None
    version: str | None = None
    local_version: str | None = None
    name: str
    share_context: JsonObject | None = None
    source: PluginSource
    installed: bool
    installed_at: int | None = None
    enabled: bool
    install_policy: PluginInstallPolicy
    install_policy_source: str | None = None
    must_show_installation_interstitial: bool | None = None
    auth_policy: PluginAuthPolicy
    availability: PluginAvailability = "AVAILABLE"
    disabled_reason: str | None = None
    eligible_plan_types: Sequence[str] | None = None
    interface: PluginInterface | None = None
    keywords: Sequence[str] = ()


@frozen
class MarketplaceInterface:
    """How clients display a marketplace."""

    display_name: str | None = None


@frozen(kw_only=True)
class PluginMarketplaceEntry:
    """A marketplace and its plugins; `path` is its file."""

    name: str
    path: str | None = None
    interface: MarketplaceInterface | None = None
    plugins: Sequence[PluginSummary] = ()


@frozen
class MarketplaceLoadErrorInfo:
    """A marketplace that could not be read."""

    marketplace_path: str
    message: str


@frozen(kw_only=True)
class PluginListParams:
    """List the plugins of the user's marketplaces, and of those in the repositories around `cwds`."""

    cwds: Sequence[AbsolutePath] | None = None
    marketplace_kinds: Sequence[PluginListMarketplaceKind] | None = None
    force_refetch: bool = False
    """Concerns the vendor's catalogue."""


@frozen
class PluginListResponse:
    """The marketplaces with their plugins."""

    marketplaces: Sequence[PluginMarketplaceEntry]
    marketplace_load_errors: Sequence[MarketplaceLoadErrorInfo] = ()
    featured_plugin_ids: Sequence[str] = ()


@frozen(kw_only=True)
class PluginInstalledParams:
    """List the installed plugins, and those that are named."""

    cwds: Sequence[AbsolutePath] | None = None
    install_suggestion_plugin_names: Sequence[str] | None = None


@frozen
class PluginInstalledResponse:
    """The marketplaces that have such plugins."""

    marketplaces: Sequence[PluginMarketplaceEntry]
    marketplace_load_errors: Sequence[MarketplaceLoadErrorInfo] = ()


@frozen(kw_only=True)
class PluginSearchParams:
    """Search the plugins of the marketplaces by a text."""

    search_term: str
    cwds: Sequence[AbsolutePath] | None = None
    scope: PluginSearchScope | None = None
    cursor: str | None = None
    limit: U32 | None = None


@frozen(kw_only=True)
class PluginSearchResult:
    """A plugin that was found."""

    plugin: PluginSummary
    marketplace_name: str
    marketplace_path: str | None = None


@frozen
class PluginSearchResponse:
    """One page of results."""

    data: Sequence[PluginSearchResult]
    next_cursor: str | None = None


@frozen(kw_only=True)
class PluginReadParams:
    """Read one plugin of a marketplace file."""

    plugin_name: str
    marketplace_path: AbsolutePath | None = None
    remote_marketplace_name: str | None = None


@frozen(kw_only=True)
class SkillSummary:
    """A skill of a plugin."""

    name: str
    description: str
    short_description: str | None = None
    interface: SkillInterface | None = None
    path: str | None = None
    enabled: bool = True


@frozen
class PluginHookSummary:
    """A hook of a plugin."""

    key: str
    event_name: HookEventName


@frozen(kw_only=True)
class PluginDetail:
    """One plugin with its parts. Apps belong to the vendor's services, so there are none."""

    marketplace_name: str
    marketplace_path: str | None = None
    summary: PluginSummary
    share_url: str | None = None
    description: str | None = None
    skills: Sequence[SkillSummary] = ()
    onboarding_skill: SkillSummary | None = None
    hooks: Sequence[PluginHookSummary] = ()
    apps: Sequence[JsonObject] = ()
    app_templates: Sequence[JsonObject] = ()
    mcp_servers: Sequence[str] = ()
    scheduled_tasks: Sequence[JsonObject] | None = None


@frozen
class PluginReadResponse:
    """The plugin."""

    plugin: PluginDetail


@frozen(kw_only=True)
class PluginInstallParams:
    """Install a plugin of a marketplace file, and enable it."""

    plugin_name: str
    marketplace_path: AbsolutePath | None = None
    remote_marketplace_name: str | None = None


@frozen(kw_only=True)
class PluginInstallResponse:
    """When the plugin's apps need a login."""

    auth_policy: PluginAuthPolicy
    apps_needing_auth: Sequence[JsonObject] = ()


@frozen
class PluginUninstallParams:
    """Remove a plugin: `name@marketplace`."""

    plugin_id: str


@frozen
class PluginUninstallResponse:
    """The plugin is not installed any more."""


@frozen
class PluginReconcileParams:
    """Bring the installed plugins of the vendor's catalogue up to date."""


@frozen(kw_only=True)
class PluginReconcileChangedPlugin:
    """A plugin that has changed, and what it has."""

    id: str
    has_apps: bool
    has_hooks: bool
    has_mcps: bool
    has_skills: bool


@frozen
class PluginReconcileResponse:
    """What has changed and what failed."""

    changed_plugins: Sequence[PluginReconcileChangedPlugin] = ()
    failed_remote_plugin_ids: Sequence[str] = ()
    failed_materialization_remote_plugin_ids: Sequence[str] = ()
