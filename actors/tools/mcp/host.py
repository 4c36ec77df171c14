"""The thread and the turn as MCP servers and their calls see them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol, TypeAlias

from spindle.actors.tools.interface import Notifier, Permission, Subject
from spindle.rpc.mcp.payload import Json
from spindle.rpc.protocol.mcp import (
    McpFormElicitationParams,
    McpServerElicitationRequestResponse,
    McpUrlElicitationParams,
)
from spindle.rpc.protocol.settings import AskForApproval, SandboxPolicy
from spindle.storage.config import McpServerConfig
from spindle.storage.rollout.records import Entry

if TYPE_CHECKING:
    from spindle.rpc.protocol.guardian import McpToolCallGuardianApprovalReviewAction
    from spindle.rpc.protocol.notifications import ThreadNotification

Elicitation: TypeAlias = McpFormElicitationParams | McpUrlElicitationParams


class McpHost(Protocol):
    """The thread as its MCP servers see it while they live."""

    @property
    def thread_id(self) -> str: ...

    @property
    def turn_id(self) -> str | None:
        """The id of the current turn, if any."""
        ...

    @property
    def approval_policy(self) -> AskForApproval:
        """The current approval policy."""
        ...

    def emit(self, notification: ThreadNotification) -> None:
        """Send a notification to the thread's subscribers."""

    async def ask(self, request: Elicitation) -> McpServerElicitationRequestResponse | None:
        """Ask the clients; None for an error or an invalid answer."""
        ...


class CallHost(Notifier, Protocol):
    """The turn as one call sees it."""

    @property
    def approval_policy(self) -> AskForApproval: ...

    @property
    def sandbox_policy(self) -> SandboxPolicy: ...

    async def keep(self, *entries: Entry) -> None:
        """Append to the history; the lines are in the rollout when this returns. Not cancelled once it has started."""

    async def ask(self, request: Elicitation, about: Subject) -> McpServerElicitationRequestResponse | None:
        """Ask the clients; None for an error or an invalid answer. Raises Refusal, TurnCancelled."""
        ...

    async def permission(self) -> Permission | None:
        """The decision of PermissionRequest hooks; None if they leave it to the user."""
        ...

    async def review(
        self, action: Callable[[], tuple[McpToolCallGuardianApprovalReviewAction, Mapping[str, object]]]
    ) -> Permission | None:
        """The decision of the reviewing model, for which `action` is called; None if the user decides. See `Reviewed`."""
        ...

    def carrier(self) -> Mapping[str, str]:
        """What the request carries, so that the server can continue the trace of the call; empty without a trace."""
        ...

    def report(self, result: Json) -> None:
        """Run PostToolUse hooks with the result."""

    async def allow_always(self, server: McpServerConfig, tool: str) -> None:
        """Allow `tool` of `server` in the user's configuration."""
