"""A thread as clients see it: what a stored thread and a loaded one have alike, and what a stored one has."""

from __future__ import annotations

from typing import Any, Protocol

from spindle.rpc.protocol.threads import GitInfo, NotLoadedStatus, Thread, ThreadStatus
from spindle.rpc.protocol.turns import Turn
from spindle.storage.threads.summary import ThreadSummary


class Described(Protocol):
    """A thread's summary, or the state of a loaded thread."""

    @property
    def name(self) -> str | None: ...
    @property
    def preview(self) -> str: ...
    @property
    def forked_from_id(self) -> str | None: ...
    @property
    def created_at(self) -> int: ...
    @property
    def updated_at(self) -> int: ...
    @property
    def cli_version(self) -> str: ...
    @property
    def source(self) -> object: ...
    @property
    def agent_nickname(self) -> str | None: ...
    @property
    def agent_role(self) -> str | None: ...


def described(thread: Described, **rest: Any) -> Thread:
    """The thread, without what is stored outside its rollout. `rest` are the other members of `Thread`."""
    return Thread(
        name=thread.name,
        preview=thread.preview,
        forked_from_id=thread.forked_from_id,
        created_at=thread.created_at,
        updated_at=thread.updated_at,
        recency_at=thread.updated_at,
        cli_version=thread.cli_version,
        source=thread.source,
        agent_nickname=thread.agent_nickname,
        agent_role=thread.agent_role,
        **rest,
    )


def describe_stored(
    summary: ThreadSummary, status: ThreadStatus | None = None, turns: tuple[Turn, ...] = ()
) -> Thread:
    """A stored thread. `status` is that of the loaded thread, if it is loaded."""
    return described(
        summary,
        id=summary.id,
        session_id=summary.session_id,
        parent_thread_id=summary.parent_thread_id,
        history_mode=summary.history_mode,
        model_provider=summary.model_provider,
        status=status or NotLoadedStatus(),
        path=str(summary.path),
        cwd=summary.cwd,
        originator=summary.originator,
        thread_source=summary.thread_source,
        git_info=git_info(summary),
        turns=turns,
    )


def git_info(summary: ThreadSummary) -> GitInfo | None:
    """The repository of a stored thread."""
    return None if summary.git is None else GitInfo(summary.git.sha, summary.git.branch, summary.git.origin_url)
