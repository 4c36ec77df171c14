"""plugin/*: what marketplaces offer, and the installation of plugins. There are no plugins of the vendor's catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spindle.actors.clients.plugin_work import blocking, changed, plugin_work
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.services.plugin_views import detail, entries, search, suggested
from spindle.rpc.protocol.errors import invalid_request
from spindle.rpc.protocol.plugins import (
    MarketplaceLoadErrorInfo,
    PluginInstalledParams,
    PluginInstalledResponse,
    PluginInstallParams,
    PluginInstallResponse,
    PluginListParams,
    PluginListResponse,
    PluginReadParams,
    PluginReadResponse,
    PluginReconcileParams,
    PluginReconcileResponse,
    PluginSearchParams,
    PluginUninstallParams,
    PluginUninstallResponse,
)
from spindle.storage.plugins.marketplaces import read_marketplace
from spindle.storage.plugins.plugin_ids import PluginError, PluginId

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller
    from spindle.storage.plugins.catalogue import Catalogue

_ELSEWHERE = "chatgpt authentication required for remote plugin catalog"
_LOCAL_KINDS = ("local", "vertical")


def list_(caller: Caller, params: PluginListParams, reply: Reply[Any]) -> None:
    """plugin/list"""
    kinds = params.marketplace_kinds
    if kinds is not None and any(kind not in _LOCAL_KINDS for kind in kinds):
        raise invalid_request(f"list remote plugin catalog: {_ELSEWHERE}")
    services = caller.backend.services

    def work() -> object:
        if kinds is not None and "local" not in kinds:
            return PluginListResponse(())
        found = _catalogue(caller, params.cwds)
        return PluginListResponse(entries(services.plugins, found), _errors(found))

    caller.later(reply, plugin_work("list plugins", blocking(work)))


def installed(caller: Caller, params: PluginInstalledParams, reply: Reply[Any]) -> None:
    """plugin/installed: what is installed, and uninstalled plugins with one of the suggested names"""
    services = caller.backend.services
    names = params.install_suggestion_plugin_names or ()

    def work() -> object:
        found = _catalogue(caller, params.cwds)
        return PluginInstalledResponse(suggested(entries(services.plugins, found), names), _errors(found))

    caller.later(reply, plugin_work("list installed plugins", blocking(work)))


def search_(caller: Caller, params: PluginSearchParams, reply: Reply[Any]) -> None:
    """plugin/search"""
    services = caller.backend.services

    def work() -> object:
        if params.scope is not None and params.scope != "personal":
            raise PluginError(f"search remote plugin catalog: {_ELSEWHERE}")
        found = entries(services.plugins, _catalogue(caller, params.cwds))
        return search(found, params.search_term, params.cursor, params.limit)

    caller.later(reply, plugin_work("search plugins", blocking(work)))


def read(caller: Caller, params: PluginReadParams, reply: Reply[Any]) -> None:
    """plugin/read"""
    file = _file(params, "plugin/read", "read remote plugin details")
    services, loader = caller.backend.services, caller.backend.config_loader

    def work() -> object:
        marketplace = read_marketplace(file)
        entry = marketplace.find(params.plugin_name)
        return PluginReadResponse(detail(services.plugins, loader.load(None), marketplace, entry))

    caller.later(reply, plugin_work("read plugin details", blocking(work)))


def install(caller: Caller, params: PluginInstallParams, reply: Reply[Any]) -> None:
    """plugin/install"""
    file = _file(params, "plugin/install", "read remote plugin details before install")

    async def work() -> object:
        policy = await caller.backend.services.plugins.install(file, params.plugin_name)
        changed(caller)
        return PluginInstallResponse(auth_policy=policy)

    caller.later(reply, plugin_work("install plugin", work))


def uninstall(caller: Caller, params: PluginUninstallParams, reply: Reply[Any]) -> None:
    """plugin/uninstall"""
    plugin = PluginId.parse(params.plugin_id)
    if plugin is None:
        if params.plugin_id.isascii() and params.plugin_id.replace("-", "").replace("_", "").isalnum():
            raise invalid_request(f"resolve remote plugin before uninstall: {_ELSEWHERE}")
        raise invalid_request("invalid remote plugin id")

    async def work() -> object:
        await caller.backend.services.plugins.uninstall(plugin)
        changed(caller)
        return PluginUninstallResponse()

    caller.later(reply, plugin_work("uninstall plugin", work))


def reconcile(caller: Caller, params: PluginReconcileParams, reply: Reply[Any]) -> None:
    """plugin/reconcile: it concerns the plugins of the vendor's catalogue, and none of those is ever installed here"""
    reply.resolve(PluginReconcileResponse())


def _file(params: PluginReadParams | PluginInstallParams, method: str, remote: str) -> Path:
    if (params.marketplace_path is None) == (params.remote_marketplace_name is None):
        raise invalid_request(f"{method} requires exactly one of marketplacePath or remoteMarketplaceName")
    if params.marketplace_path is None:
        raise invalid_request(f"{remote}: {_ELSEWHERE}")
    return Path(params.marketplace_path)


def _catalogue(caller: Caller, cwds: Sequence[str] | None) -> Catalogue:
    return caller.backend.services.plugins.catalogue([Path(cwd) for cwd in cwds or ()])


def _errors(found: Catalogue) -> list[MarketplaceLoadErrorInfo]:
    return [MarketplaceLoadErrorInfo(str(file), reason) for file, reason in found.errors]
