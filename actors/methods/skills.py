"""skills/list: the SKILL.md files of the home and of the project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from spindle.actors.mailbox import Reply
from spindle.rpc.protocol.skills import (
    SkillErrorInfo,
    SkillMetadata,
    SkillScope,
    SkillsListEntry,
    SkillsListParams,
    SkillsListResponse,
)
from spindle.storage.home import Home
from spindle.storage.skills import find_skills

if TYPE_CHECKING:
    from spindle.actors.connection import Connection


def list_(connection: Connection, params: SkillsListParams, reply: Reply[Any]) -> None:
    """skills/list"""
    services = connection.runtime.services
    extra = {entry.cwd: entry.extra_user_roots for entry in params.per_cwd_extra_user_roots or ()}

    def work() -> SkillsListResponse:
        cwds = params.cwds or (services.cwd,)
        return SkillsListResponse([_entry(services.home, cwd, extra.get(cwd, ())) for cwd in cwds])

    connection.later(reply, lambda: trio.to_thread.run_sync(work))


def _entry(home: Home, cwd: str, extra: Any) -> SkillsListEntry:
    found = find_skills(home, Path(cwd), [Path(root) for root in extra])
    scope: dict[str, SkillScope] = {"user": "user", "repo": "repo"}
    return SkillsListEntry(
        cwd,
        [
            SkillMetadata(
                name=s.name,
                description=s.description,
                short_description=s.short_description,
                path=str(s.path),
                scope=scope[s.scope],
            )
            for s in found.skills
        ],
        [SkillErrorInfo(str(path), message) for path, message in found.errors],
    )
