"""The directory: what the registry publishes of the threads, for readers that do not ask it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.threads import NotLoadedStatus, ThreadStatus

if TYPE_CHECKING:
    from spindle.actors.thread.actor import ThreadActor
    from spindle.actors.thread.state import OpenedThread
    from spindle.actors.tools.mcp.servers import McpServers


@frozen
class Entry:
    """A thread that has an incarnation, or whose files are being worked on: then there is no `actor`."""

    away: bool
    """Whether it takes no messages: it is ending, or its files are being worked on."""
    actor: ThreadActor | None


class Directory:
    """The threads as the registry has decided by now. Reading never waits.

    A message that is still in the registry's mailbox has had no effect here. A reader that must come after such a
    message sends a message itself.
    """

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def publish(self, thread_id: str, entry: Entry | None) -> None:
        """Replace what readers see of a thread; None removes it. For the registry alone."""
        if entry is None:
            self._entries.pop(thread_id, None)
        else:
            self._entries[thread_id] = entry

    def loaded(self) -> list[str]:
        """Ids of the threads that are loaded or loading, ascending."""
        return sorted(id for id, entry in self._entries.items() if not entry.away)

    def is_known(self, thread_id: str) -> bool:
        """Whether the thread is loaded, loading or ending, or its files are being worked on."""
        return thread_id in self._entries

    def actors(self) -> list[ThreadActor]:
        """Those of all loaded, loading and ending threads."""
        return [entry.actor for entry in self._entries.values() if entry.actor is not None]

    def entries(self) -> list[tuple[str, Entry]]:
        """All threads that are known, with their ids, as they are now."""
        return list(self._entries.items())

    def state(self, thread_id: str) -> OpenedThread | None:
        """The state of a loaded thread; None for one that is loading, or not loaded."""
        actor = self._actor(thread_id)
        return None if actor is None else actor.core.loaded

    def status(self, thread_id: str) -> ThreadStatus:
        """A thread's status, `notLoaded` included."""
        actor = self._actor(thread_id)
        return NotLoadedStatus() if actor is None else actor.core.status

    def servers(self, thread_id: str) -> McpServers | None:
        """The MCP servers of a thread; None if it has none, or is not loaded."""
        actor = self._actor(thread_id)
        return None if actor is None else actor.parts.servers.running

    def turn_id(self, thread_id: str) -> str | None:
        """The id of the turn that is running in a thread, if any."""
        actor = self._actor(thread_id)
        turn = None if actor is None else actor.core.turn
        return None if turn is None else turn.id

    def _actor(self, thread_id: str) -> ThreadActor | None:
        entry = self._entries.get(thread_id)
        return None if entry is None else entry.actor
