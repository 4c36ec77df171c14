"""marketplace/*: add, remove and upgrade the marketplaces of the home."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spindle.actors.clients.plugin_work import changed, plugin_work
from spindle.actors.kernel.mailbox import Reply
from spindle.rpc.protocol.marketplaces import (
    MarketplaceAddParams,
    MarketplaceAddResponse,
    MarketplaceRemoveParams,
    MarketplaceRemoveResponse,
    MarketplaceUpgradeErrorInfo,
    MarketplaceUpgradeParams,
    MarketplaceUpgradeResponse,
)

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller


def add(caller: Caller, params: MarketplaceAddParams, reply: Reply[Any]) -> None:
    """marketplace/add"""
    plugins = caller.backend.services.plugins

    async def work() -> object:
        added = await plugins.add_marketplace(params.source, caller.cwd, params.ref_name, params.sparse_paths or ())
        return MarketplaceAddResponse(added.name, str(added.root), added.already)

    caller.later(reply, plugin_work("add marketplace", work))


def remove(caller: Caller, params: MarketplaceRemoveParams, reply: Reply[Any]) -> None:
    """marketplace/remove"""
    plugins = caller.backend.services.plugins

    async def work() -> object:
        root = await plugins.remove_marketplace(params.marketplace_name)
        return MarketplaceRemoveResponse(params.marketplace_name, None if root is None else str(root))

    caller.later(reply, plugin_work("remove marketplace", work))


def upgrade(caller: Caller, params: MarketplaceUpgradeParams, reply: Reply[Any]) -> None:
    """marketplace/upgrade"""
    plugins = caller.backend.services.plugins

    async def work() -> object:
        done = await plugins.upgrade(params.marketplace_name)
        if done.roots:
            changed(caller)
        failed = [MarketplaceUpgradeErrorInfo(name, reason) for name, reason in done.errors]
        return MarketplaceUpgradeResponse(done.selected, [str(root) for root in done.roots], failed)

    caller.later(reply, plugin_work("upgrade marketplaces", work))
