"""What a thread can be loaded from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spindle.actors.settings.client import ClientName
from spindle.actors.settings.settings import Settings
from spindle.actors.tools.agents.agents import AgentName
from spindle.actors.tools.interface import Tool
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.threads import ThreadForkParams, ThreadResumeParams, ThreadStartParams
from spindle.storage.config import Config


@frozen(kw_only=True)
class NewThread:
    """A thread that begins now."""

    params: ThreadStartParams
    client: ClientName
    functions: Sequence[Tool] = ()
    """Tools of the application that embeds the runtime."""
    trusts: bool = False
    """Whether the user has chosen the directory: if the thread may write there, its project becomes a trusted one."""


@frozen(kw_only=True)
class FromRollout:
    """A stored thread. `path` if it is known already, `parent_id` if that thread resumes it as its agent."""

    params: ThreadResumeParams
    client: ClientName
    path: Path | None = None
    functions: Sequence[Tool] = ()
    parent_id: str | None = None


@frozen(kw_only=True)
class FromHistory:
    """A new thread with a history that the client sends."""

    params: ThreadResumeParams
    client: ClientName


@frozen(kw_only=True)
class FromFork:
    """A new thread with the history of `source`, or of the rollout that `params.path` names."""

    params: ThreadForkParams
    client: ClientName
    source: str | None
    functions: Sequence[Tool] = ()


@frozen(kw_only=True)
class AgentThread:
    """A thread that begins now as an agent. `history` are the response items of a fork, None for no fork."""

    settings: Settings
    config: Config
    client: ClientName
    parent_id: str
    depth: int
    name: AgentName
    ephemeral: bool = False
    functions: Sequence[Tool] = ()
    history: Sequence[Mapping[str, Any]] | None = None


Opening = NewThread | FromRollout | FromHistory | FromFork | AgentThread
