"""What threads need of the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import trio

from spindle.actors.kernel.mailbox import Ask

if TYPE_CHECKING:
    from spindle.actors.services.bookkeeping import EndedTurn
    from spindle.actors.thread.loading.openings import Opening
    from spindle.actors.thread.messages import Attach, Hold
    from spindle.actors.tools.mcp.servers import McpServers


class Supervisor(Protocol):
    """The registry, as threads see it. No method waits."""

    def loaded(self, thread_id: str, generation: int) -> None:
        """The thread is loaded."""

    def retire(self, thread_id: str, generation: int, seen: int) -> None:
        """Ask for leave. If the thread's mailbox has accepted no more than `seen` messages, it gets `Stop`."""

    def turn_ended(self, turn: EndedTurn) -> trio.Event:
        """Store a turn's state outside the rollout. The event is set when it is stored and clients are notified."""
        ...

    def start(self, opening: Opening, message: Attach | Hold) -> str:
        """Start another thread, with `message` first in its mailbox. Returns its id."""
        ...

    def hold(self, thread_id: str, message: Hold, opening: Opening) -> None:
        """Post `message` to another thread, which is loaded if it is not."""

    def tell(self, thread_id: str, message: Ask[Any]) -> None:
        """Post `message` to another thread. It is refused if that thread is not loaded."""

    def end(self, thread_id: str) -> None:
        """End another thread. A running turn of it is interrupted."""

    def servers(self, thread_id: str) -> McpServers | None:
        """The MCP servers of another thread; None if it has none or is not loaded."""
        ...

    def turn_id(self, thread_id: str) -> str | None:
        """The id of the running turn of another thread; None without one."""
        ...
