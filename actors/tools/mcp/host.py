"""What the servers and their calls see of the thread and the turn."""

from __future__ import annotations

from typing import Any, Protocol

from spindle.actors.tools.interface import Permission
from spindle.rpc.mcp.payload import Json
from spindle.rpc.protocol.mcp import (
    McpFormElicitationParams,
    McpServerElicitationRequestResponse,
    McpUrlElicitationParams,
)
from spindle.rpc.protocol.settings import AskForApproval, SandboxPolicy

Question = McpFormElicitationParams | McpUrlElicitationParams


class ThreadHost(Protocol):
    """The thread, as its servers see it, for as long as they live."""

    @property
    def thread_id(self) -> str: ...

    @property
    def turn_id(self) -> str | None:
        """The turn that runs now."""
        ...

    @property
    def approval_policy(self) -> AskForApproval:
        """The policy in force now."""
        ...

    def emit(self, notification: object) -> None:
        """Send a notification to the thread's subscribers."""

    async def ask(self, question: Question) -> McpServerElicitationRequestResponse | None:
        """Put a question to the clients; None where the answer was none."""
        ...


class CallHost(Protocol):
    """The turn, as one call sees it. The settings are those of the turn."""

    @property
    def thread_id(self) -> str: ...

    @property
    def turn_id(self) -> str: ...

    @property
    def approval_policy(self) -> AskForApproval: ...

    @property
    def sandbox_policy(self) -> SandboxPolicy: ...

    def emit(self, notification: object) -> None:
        """Send a notification to the thread's subscribers."""

    async def keep(self, *entries: tuple[str, dict[str, Any]]) -> None:
        """Append to the history; when this returns the lines are in the rollout. Once begun it is not cancelled."""

    async def ask(self, question: Question) -> McpServerElicitationRequestResponse | None:
        """Put a question to the clients; None where the answer was none."""
        ...

    async def permission(self) -> Permission | None:
        """What hooks say before the user is asked about the call; None if they leave it to the user."""
        ...

    def report(self, result: Json) -> None:
        """Tell hooks what the tool gave."""

    async def allow_always(self, server: str, tool: str) -> None:
        """Write into the user's configuration that `tool` of `server` may always be called."""
