"""What a thread asks of the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import trio

from spindle.actors.kernel.mailbox import Ask

if TYPE_CHECKING:
    from spindle.actors.services.bookkeeping import EndedTurn
    from spindle.actors.thread.loading.loading import Opening
    from spindle.actors.thread.messages import Attach, Hold
    from spindle.actors.tools.mcp.servers import McpServers


class Supervisor(Protocol):
    """The registry, as threads see it. None of these waits."""

    def loaded(self, thread_id: str, generation: int) -> None:
        """The thread is loaded."""

    def retire(self, thread_id: str, generation: int, seen: int) -> None:
        """May the thread, which has seen `seen` messages, leave? If so it is told to stop."""

    def turn_ended(self, turn: EndedTurn) -> trio.Event:
        """A turn is ending: what is to be kept of it is kept, and told, when the event is set."""
        ...

    def start(self, opening: Opening, message: Attach | Hold) -> str:
        """Start another thread, with `message` first in its mailbox; returns its id."""
        ...

    def hold(self, thread_id: str, message: Hold, opening: Opening) -> None:
        """Bring `message` to another thread, loading it if it is not."""

    def tell(self, thread_id: str, message: Ask[Any]) -> None:
        """Bring `message` to another thread; it is refused if that is not loaded."""

    def end(self, thread_id: str) -> None:
        """End another thread, whatever it is doing."""

    def servers(self, thread_id: str) -> McpServers | None:
        """The MCP servers of another thread; None where it has none, or is not loaded."""
        ...

    def turn_id(self, thread_id: str) -> str | None:
        """The id of the turn that is running in another thread, if one is."""
        ...
