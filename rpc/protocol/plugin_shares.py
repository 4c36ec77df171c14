"""Plugins that are shared in a remote catalogue."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.plugins import PluginSummary
from spindle.rpc.protocol.shapes import AbsolutePath


@frozen
class PluginSkillReadParams:
    """Read a skill of a plugin of the remote catalogue."""

    remote_marketplace_name: str
    remote_plugin_id: str
    skill_name: str


@frozen
class PluginSkillReadResponse:
    """The text of the skill."""

    contents: str | None = None


PluginShareDiscoverability: TypeAlias = Literal["LISTED", "UNLISTED", "PRIVATE"]


PluginSharePrincipalType: TypeAlias = Literal["user", "group", "workspace"]


PluginShareTargetRole: TypeAlias = Literal["reader", "editor"]


@frozen
class PluginShareTarget:
    """Who a plugin is shared with."""

    principal_id: str
    principal_type: PluginSharePrincipalType
    role: PluginShareTargetRole


@frozen
class PluginShareSaveParams:
    """Share a plugin."""

    plugin_path: AbsolutePath
    discoverability: PluginShareDiscoverability | None = None
    remote_plugin_id: str | None = None
    share_targets: Sequence[PluginShareTarget] | None = None


@frozen
class PluginShareSaveResponse:
    """The shared plugin."""

    remote_plugin_id: str
    share_url: str
    can_publish_to_workspace: bool | None = None


PluginShareUpdateDiscoverability: TypeAlias = Literal["UNLISTED", "PRIVATE", "LISTED"]


@frozen
class PluginShareUpdateTargetsParams:
    """Change who a plugin is shared with."""

    discoverability: PluginShareUpdateDiscoverability
    remote_plugin_id: str
    share_targets: Sequence[PluginShareTarget]


PluginSharePrincipalRole: TypeAlias = Literal["reader", "editor", "owner"]


@frozen
class PluginSharePrincipal:
    """One that a plugin is shared with."""

    name: str
    principal_id: str
    principal_type: PluginSharePrincipalType
    role: PluginSharePrincipalRole


@frozen
class PluginShareUpdateTargetsResponse:
    """Who the plugin is shared with."""

    discoverability: PluginShareDiscoverability
    principals: Sequence[PluginSharePrincipal]


@frozen
class PluginShareListParams:
    """List the shared plugins."""


@frozen
class PluginShareListItem:
    """A shared plugin, and where its files are."""

    plugin: PluginSummary
    local_plugin_path: AbsolutePath | None = None


@frozen
class PluginShareListResponse:
    """The shared plugins."""

    data: Sequence[PluginShareListItem]


@frozen
class PluginShareCheckoutParams:
    """Copy a shared plugin to this machine."""

    remote_plugin_id: str


@frozen
class PluginShareCheckoutResponse:
    """Where the copy is."""

    marketplace_name: str
    marketplace_path: AbsolutePath
    plugin_id: str
    plugin_name: str
    plugin_path: AbsolutePath
    remote_plugin_id: str
    remote_version: str | None = None


@frozen
class PluginShareDeleteParams:
    """Share a plugin no longer."""

    remote_plugin_id: str


@frozen
class PluginShareDeleteResponse:
    """The plugin is not shared any more."""
