"""Apps: connectors of a ChatGPT account."""

from collections.abc import Mapping, Sequence

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.shapes import U32


@frozen
class AppsListParams:
    """List the apps of the account, a page at a time."""

    cursor: str | None = None
    force_refetch: bool = False
    limit: U32 | None = None
    thread_id: str | None = None


@frozen
class AppReview:
    """The state of an app's review."""

    status: str


@frozen
class AppScreenshot:
    """A picture of an app, and the prompt it shows."""

    user_prompt: str
    file_id: str | None = None
    url: str | None = None


@frozen
class AppMetadata:
    """What the catalogue says of an app."""

    categories: Sequence[str] | None = None
    developer: str | None = None
    first_party_requires_install: bool | None = None
    review: AppReview | None = None
    screenshots: Sequence[AppScreenshot] | None = None
    seo_description: str | None = None
    show_in_composer_when_unlinked: bool | None = None
    sub_categories: Sequence[str] | None = None
    version: str | None = None
    version_id: str | None = None
    version_notes: str | None = None


@frozen
class AppBranding:
    """Who made an app."""

    is_discoverable_app: bool
    category: str | None = None
    developer: str | None = None
    privacy_policy: str | None = None
    terms_of_service: str | None = None
    website: str | None = None


@frozen
class AppInfo:
    """An app (connector) of the account."""

    id: str
    name: str
    app_metadata: AppMetadata | None = None
    branding: AppBranding | None = None
    description: str | None = None
    distribution_channel: str | None = None
    icon_assets: Mapping[str, str] | None = None
    icon_dark_assets: Mapping[str, str] | None = None
    install_url: str | None = None
    is_accessible: bool = False
    is_enabled: bool = True
    labels: Mapping[str, str] | None = None
    logo_url: str | None = None
    logo_url_dark: str | None = None
    plugin_display_names: Sequence[str] = ()


@frozen
class AppsListResponse:
    """A page of apps."""

    data: Sequence[AppInfo]
    next_cursor: str | None = None


@frozen
class AppsReadParams:
    """Read apps by id."""

    app_ids: Sequence[str]
    include_tools: bool = False
    thread_id: str | None = None


@frozen
class AppToolSummary:
    """A tool of an app."""

    description: str
    name: str
    disabled_reason: str | None = None
    is_enabled: bool = True
    is_read_only: bool = False
    title: str | None = None


@frozen
class ConnectorMetadata:
    """An app, and the tools it has."""

    id: str
    name: str
    description: str | None = None
    distribution_channel: str | None = None
    icon_url: str | None = None
    icon_url_dark: str | None = None
    install_url: str | None = None
    plugin_display_names: Sequence[str] = ()
    tool_summaries: Sequence[AppToolSummary] | None = None


@frozen
class AppsReadResponse:
    """The apps found, and the ids of the others."""

    apps: Sequence[ConnectorMetadata]
    missing_app_ids: Sequence[str]


@frozen
class AppsInstalledParams:
    """List the apps that can be used."""

    force_refresh: bool = False
    thread_id: str | None = None


@frozen
class InstalledApp:
    """An app that can be used."""

    callable: bool
    enabled: bool
    id: str
    runtime_name: str | None = None


@frozen
class AppsInstalledResponse:
    """The apps that can be used."""

    apps: Sequence[InstalledApp]
