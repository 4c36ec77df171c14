"""A thread's core and the parts that belong to it, put together once for each incarnation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle.actors.thread.agents.child import Membership
from spindle.actors.thread.agents.parent import ThreadAgents
from spindle.actors.thread.core import ThreadCore
from spindle.actors.thread.joining import Joining
from spindle.actors.thread.recording import Recording
from spindle.actors.thread.reloading import Reloading
from spindle.actors.thread.servers import ThreadServers
from spindle.actors.thread.tools import ThreadTools
from spindle.actors.thread.turns.queue import TurnQueue

if TYPE_CHECKING:
    from spindle.actors.thread.turns.submissions import Submissions


class Parts:
    """The core and the parts. None of them refers back to this or to the actor."""

    def __init__(self, core: ThreadCore) -> None:
        self.core = core
        self.recording = Recording(core)
        self.membership = Membership(core)
        self.agents = ThreadAgents(core, self.membership)
        self.servers = ThreadServers(core, self.membership)
        self.tools = ThreadTools(core, self.servers, self.agents)
        self.reloading = Reloading(core, self.servers)
        self.turns = TurnQueue(core, self.recording, self.tools, self.servers, self.membership, self.reloading)
        self.joining = Joining(core, self.membership, self.agents, self.servers, self.turns)
        self.queue: Submissions | None = None
        """The stored queue; None as long as nothing was asked of it, and nothing is in it."""

    @property
    def submissions(self) -> Submissions:
        """The queue, for what needs it."""
        if self.queue is None:
            from spindle.actors.thread.turns.submissions import Submissions

            self.queue = Submissions(self.core, self.turns)
        return self.queue
