"""A thread's core and the parts that belong to it, put together once for each incarnation."""

from __future__ import annotations

from spindle.actors.thread.agents.child import Membership
from spindle.actors.thread.agents.parent import ThreadAgents
from spindle.actors.thread.core import ThreadCore
from spindle.actors.thread.joining import Joining
from spindle.actors.thread.recording import Recording
from spindle.actors.thread.servers import ThreadServers
from spindle.actors.thread.tools import ThreadTools
from spindle.actors.thread.turns.queue import TurnQueue


class Parts:
    """The core and the parts. None of them refers back to this or to the actor."""

    def __init__(self, core: ThreadCore) -> None:
        self.core = core
        self.recording = Recording(core)
        self.membership = Membership(core)
        self.agents = ThreadAgents(core, self.membership)
        self.servers = ThreadServers(core, self.membership)
        self.tools = ThreadTools(core, self.servers, self.agents)
        self.turns = TurnQueue(core, self.recording, self.tools, self.servers, self.membership)
        self.joining = Joining(core, self.membership, self.agents, self.servers, self.turns)
