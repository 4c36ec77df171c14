"""skills/*: the SKILL.md files of the home and of the project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import trio

from spindle.actors.clients.requests import based, based_path
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.settings.requests import absolute
from spindle.rpc.protocol.errors import INVALID_PARAMS, RpcError, internal_error, invalid_request
from spindle.rpc.protocol.skills import (
    SkillErrorInfo,
    SkillMetadata,
    SkillsConfigWriteParams,
    SkillsConfigWriteResponse,
    SkillsListEntry,
    SkillsListParams,
    SkillsListResponse,
)
from spindle.storage.config import ConfigError
from spindle.storage.skills import is_enabled, switch

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller


def list_(caller: Caller, params: SkillsListParams, reply: Reply[Any]) -> None:
    """skills/list: what was found before, unless asked to look again."""
    services = caller.backend.services
    extra = {entry.cwd: entry.extra_user_roots for entry in params.per_cwd_extra_user_roots or ()}
    for root in (root for roots in extra.values() for root in roots):
        if not root.startswith("/"):
            raise invalid_request(f"skills/list perCwdExtraUserRoots extraUserRoots paths must be absolute: {root}")
    catalog = services.skills

    def work() -> SkillsListResponse:
        if params.force_reload:
            catalog.forget()
        cwds = params.cwds or (absolute(caller.cwd, ""),)
        return SkillsListResponse([_entry(caller, cwd, extra.get(cwd, ())) for cwd in cwds])

    caller.later(reply, lambda: trio.to_thread.run_sync(work, abandon_on_cancel=True))


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


def _entry(caller: Caller, cwd: str, extra: Sequence[str]) -> SkillsListEntry:
    backend = caller.backend
    config = backend.config()
    found = backend.services.skills.find(based_path(caller, cwd), extra, config.plugins)
    switches = config.raw.get("skills", {}).get("config")
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
