"""The git repository around a thread: found, set by a client, and written to the rollout and to Codex's database."""

from __future__ import annotations

from attrs import evolve

from spindle.actors.thread.state import OpenedThread
from spindle.actors.tools.git import read_git
from spindle.rpc.protocol.shapes import ABSENT
from spindle.rpc.protocol.thread_changes import ThreadMetadataGitInfoUpdateParams
from spindle.rpc.protocol.threads import GitInfo

_META_KEYS = {"sha": "commit_hash", "branch": "branch", "origin_url": "repository_url"}


def git_meta(git: GitInfo) -> dict[str, str]:
    """The `git` member of a session_meta line."""
    return {key: value for name, key in _META_KEYS.items() if (value := getattr(git, name)) is not None}


def git_columns(git: GitInfo) -> dict[str, str | None]:
    """The columns of Codex's database."""
    return {"git_sha": git.sha, "git_branch": git.branch, "git_origin_url": git.origin_url}


def patched(git: GitInfo | None, patch: ThreadMetadataGitInfoUpdateParams) -> tuple[GitInfo, dict[str, str | None]]:
    """(the repository's state with the patch applied, the members that the patch sets or clears)"""
    given = {name: getattr(patch, name) for name in ("sha", "branch", "origin_url")}
    given = {name: value for name, value in given.items() if value is not ABSENT}
    return evolve(git or GitInfo(), **given), given


def set_git(state: OpenedThread, git: GitInfo) -> None:
    """Set the repository in the thread and in its session_meta."""
    meta = git_meta(git)
    state.git = git if meta else None
    state.conversation.meta.pop("git", None)
    if meta:
        state.conversation.meta["git"] = meta


async def look_at_repository(state: OpenedThread) -> None:
    """Before the rollout is created: read the repository. What a client has set already goes over it."""
    if state.conversation.stored:
        return
    found = await read_git(state.settings.cwd) or GitInfo()
    set_git(state, evolve(found, **state.git_set))
