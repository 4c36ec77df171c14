"""Plugins and marketplaces as clients see them. Everything here blocks on the disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve

from spindle.rpc.lenient import mapping, sequence, text_or_none
from spindle.rpc.protocol.errors import invalid_request
from spindle.rpc.protocol.plugins import (
    GitPluginSource,
    LocalPluginSource,
    MarketplaceInterface,
    NpmPluginSource,
    PluginDetail,
    PluginHookSummary,
    PluginInterface,
    PluginMarketplaceEntry,
    PluginSearchResponse,
    PluginSearchResult,
    PluginSource,
    PluginSummary,
    SkillSummary,
)
from spindle.storage.config import Config
from spindle.storage.config.hooks import plugin_hooks
from spindle.storage.plugins.active import plugin_of
from spindle.storage.plugins.catalogue import Catalogue
from spindle.storage.plugins.manifest import Manifest, read_manifest
from spindle.storage.plugins.marketplaces import Entry, FolderSource, GitSource, Marketplace, NpmSource, Source
from spindle.storage.plugins.plugin_ids import PluginError, PluginId
from spindle.storage.skills import is_enabled, plugin_skills

if TYPE_CHECKING:
    from spindle.actors.services.plugins import Plugins

SEARCHED = 50
"""The results of a page, if the client names no limit."""


def entries(plugins: Plugins, found: Catalogue) -> list[PluginMarketplaceEntry]:
    """The marketplaces with all that they offer."""
    enabled = plugins.tables("plugins")
    return [
        PluginMarketplaceEntry(
            name=marketplace.name,
            path=str(marketplace.file),
            interface=MarketplaceInterface(marketplace.display_name) if marketplace.has_interface else None,
            plugins=[_summary(plugins, enabled, marketplace, entry) for entry in marketplace.listed],
        )
        for marketplace in found.marketplaces
    ]


def suggested(listed: Sequence[PluginMarketplaceEntry], names: Sequence[str]) -> list[PluginMarketplaceEntry]:
    """Only the plugins that are installed or have one of these names; marketplaces without any are left out."""
    kept = [
        evolve(entry, plugins=[one for one in entry.plugins if one.installed or one.name in names]) for entry in listed
    ]
    return [entry for entry in kept if entry.plugins]


def search(
    listed: Sequence[PluginMarketplaceEntry], term: str, cursor: str | None, limit: int | None
) -> PluginSearchResponse:
    """The plugins whose name, title, description or keywords contain the term, a page of them. Raises RpcError."""
    wanted = term.strip().casefold()
    found = [
        PluginSearchResult(plugin=plugin, marketplace_name=entry.name, marketplace_path=entry.path)
        for entry in listed
        for plugin in entry.plugins
        if wanted and wanted in _searched(plugin)
    ]
    start = 0
    if cursor is not None:
        if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
            raise invalid_request(f"invalid cursor: {cursor}")
        start = int(cursor)
    end = start + max(SEARCHED if limit is None else limit, 1)
    return PluginSearchResponse(found[start:end], str(end) if end < len(found) else None)


def detail(plugins: Plugins, config: Config, marketplace: Marketplace, entry: Entry) -> PluginDetail:
    """One plugin: what its folder in the marketplace has, or else its installed copy. Raises PluginError, OSError."""
    plugin = PluginId(entry.name, marketplace.name)
    summary = _summary(plugins, plugins.tables("plugins"), marketplace, entry)
    root = entry.source.path if isinstance(entry.source, FolderSource) else plugins.cache.root(plugin)
    base = PluginDetail(marketplace_name=marketplace.name, marketplace_path=str(marketplace.file), summary=summary)
    if root is None:
        return evolve(base, description=_not_here(entry.source))
    if not root.is_dir():
        raise PluginError("path does not exist or is not a directory")
    try:
        read = plugin_of(plugin, root, root)
    except PluginError as error:
        raise PluginError("missing or invalid plugin.json") from error
    switches = mapping(config.raw.get("skills")).get("config")
    return evolve(
        base,
        description=read.description,
        skills=[
            SkillSummary(
                name=skill.name,
                description=skill.description,
                short_description=skill.short_description,
                path=skill.shown,
                enabled=is_enabled(skill, switches),
            )
            for skill in plugin_skills(read)
        ],
        hooks=[PluginHookSummary(key, event) for key, event in plugin_hooks(read)],
        mcp_servers=sorted(read.servers),
    )


def _summary(plugins: Plugins, enabled: object, marketplace: Marketplace, entry: Entry) -> PluginSummary:
    plugin = PluginId(entry.name, marketplace.name)
    installed = plugins.cache.root(plugin)
    root = entry.source.path if isinstance(entry.source, FolderSource) else installed
    manifest = _manifest(root)
    return PluginSummary(
        id=str(plugin),
        local_version=None if manifest is None else manifest.version,
        name=entry.name,
        source=_source(entry.source),
        installed=installed is not None,
        enabled=installed is not None and mapping(mapping(enabled).get(str(plugin))).get("enabled") is True,
        install_policy=entry.install_policy,
        auth_policy=entry.auth_policy,
        interface=_interface(manifest, entry.category),
        keywords=() if manifest is None else manifest.keywords,
    )


def _manifest(root: Path | None) -> Manifest | None:
    if root is None:
        return None
    try:
        return read_manifest(root)
    except (PluginError, OSError):
        return None


def _interface(manifest: Manifest | None, category: str | None) -> PluginInterface | None:
    given = None if manifest is None else manifest.interface
    if manifest is None or given is None:
        return None if category is None else PluginInterface(category=category)

    def text(*keys: str) -> str | None:
        return next((value for key in keys if (value := text_or_none(given.get(key))) is not None), None)

    return PluginInterface(
        display_name=text("displayName"),
        short_description=text("shortDescription"),
        long_description=text("longDescription"),
        developer_name=text("developerName"),
        category=category or text("category"),
        capabilities=[one for one in sequence(given.get("capabilities")) if isinstance(one, str)],
        website_url=text("websiteURL", "websiteUrl"),
        privacy_policy_url=text("privacyPolicyURL", "privacyPolicyUrl"),
        terms_of_service_url=text("termsOfServiceURL", "termsOfServiceUrl"),
        default_prompt=manifest.prompts,
        brand_color=text("brandColor"),
        composer_icon=manifest.asset("composerIcon"),
        logo=manifest.asset("logo"),
        logo_dark=manifest.asset("logoDark"),
        screenshots=manifest.assets("screenshots"),
    )


def _source(source: Source) -> PluginSource:
    match source:
        case FolderSource(path):
            return LocalPluginSource(str(path))
        case GitSource():
            return GitPluginSource(url=source.url, path=source.path, ref_name=source.ref, sha=source.sha)
        case NpmSource():
            return NpmPluginSource(package=source.package, version=source.version, registry=source.registry)


def _not_here(source: Source) -> str:
    where = source.url if isinstance(source, GitSource) else source.package if isinstance(source, NpmSource) else ""
    return f"The details of this plugin are shown when it is installed. It comes from {where}."


def _searched(plugin: PluginSummary) -> str:
    shown = plugin.interface or PluginInterface()
    texts = (plugin.name, shown.display_name, shown.short_description, shown.long_description, *plugin.keywords)
    return "\n".join(one for one in texts if one).casefold()
