"""skills/*: the SKILL.md files of the home and of the project."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import trio

from spindle.actors.clients.requests import based, based_path
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.services.skills import Listed
from spindle.actors.settings.requests import absolute
from spindle.rpc.protocol.errors import INVALID_PARAMS, RpcError, internal_error, invalid_request
from spindle.rpc.protocol.skills import (
    SkillErrorInfo,
    SkillMetadata,
    SkillsChangedNotification,
    SkillsConfigWriteParams,
    SkillsConfigWriteResponse,
    SkillsExtraRootsSetParams,
    SkillsExtraRootsSetResponse,
    SkillsListEntry,
    SkillsListParams,
    SkillsListResponse,
)
from spindle.storage.config import ConfigError
from spindle.storage.skills import FoundSkills, is_enabled, switch

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller

MOST_ROOTS: Final = 100
"""Folders of `skills/extraRoots/set`."""


def list_(caller: Caller, params: SkillsListParams, reply: Reply[Any]) -> None:
    """skills/list: what was found before, unless asked to look again."""
    services = caller.backend.services
    extra = {entry.cwd: entry.extra_user_roots for entry in params.per_cwd_extra_user_roots or ()}
    for root in (root for roots in extra.values() for root in roots):
        if not root.startswith("/"):
            raise invalid_request(f"skills/list perCwdExtraUserRoots extraUserRoots paths must be absolute: {root}")
    catalog = services.skills

    def work() -> tuple[SkillsListResponse, dict[Listed, FoundSkills]]:
        if params.force_reload:
            catalog.forget()
        shown: dict[Listed, FoundSkills] = {}
        entries: list[SkillsListEntry] = []
        config = caller.backend.config()
        switches = config.raw.get("skills", {}).get("config")
        for cwd in params.cwds or (absolute(caller.cwd, ""),):
            listed = Listed(based_path(caller, cwd), tuple(extra.get(cwd, ())), config.plugins)
            shown[listed] = catalog.find(listed)
            entries.append(_entry(cwd, shown[listed], switches))
        return SkillsListResponse(entries), shown

    async def run() -> SkillsListResponse:
        answer, shown = await trio.to_thread.run_sync(work, abandon_on_cancel=True)
        for listed, found in shown.items():
            services.skill_changes.listed(listed, found)
        return answer

    caller.later(reply, run)


def extra_roots_set(caller: Caller, params: SkillsExtraRootsSetParams, reply: Reply[Any]) -> None:
    """skills/extraRoots/set"""
    if len(params.extra_roots) > MOST_ROOTS:
        raise invalid_request(f"too many extraRoots: limit is {MOST_ROOTS}")
    services = caller.backend.services
    services.skills.set_roots([os.path.normpath(root) for root in params.extra_roots])
    services.skill_changes.forget()
    reply.resolve(SkillsExtraRootsSetResponse())
    services.audience.announce(SkillsChangedNotification())


def config_write(caller: Caller, params: SkillsConfigWriteParams, reply: Reply[Any]) -> None:
    """skills/config/write"""
    params = based(caller, params, "path")
    by, which = ("path", params.path) if params.path is not None else ("name", params.name)
    if which is None or (params.path is not None and params.name is not None):
        raise RpcError(INVALID_PARAMS, "skills/config/write requires exactly one of path or name")
    services = caller.backend.services

    def work() -> SkillsConfigWriteResponse:
        try:
            switch(services.home, by, which, params.enabled)
        except (ConfigError, OSError) as error:
            raise internal_error(f"failed to update skill settings: {error}") from error
        services.skills.forget()
        return SkillsConfigWriteResponse(params.enabled)

    caller.later(reply, lambda: trio.to_thread.run_sync(work))


def _entry(cwd: str, found: FoundSkills, switches: object) -> SkillsListEntry:
    return SkillsListEntry(
        cwd,
        [
            SkillMetadata(
                name=s.name,
                description=s.description,
                short_description=s.short_description,
                path=s.shown,
                scope=s.scope,
                enabled=is_enabled(s, switches),
                plugin_id=s.plugin_id,
            )
            for s in found.skills
        ],
        [SkillErrorInfo(path, message) for path, message in found.errors],
    )
