"""The tools a thread has, and what of them outlives a call or a turn."""

from __future__ import annotations

from spindle.actors.thread.opening import OpenedThread
from spindle.actors.thread.servers import ThreadServers
from spindle.actors.tools.dynamic import DynamicTool
from spindle.actors.tools.images import ViewImage
from spindle.actors.tools.interface import Tool
from spindle.actors.tools.plan import UpdatePlan
from spindle.actors.tools.user_questions import RequestUserInput
from spindle.actors.turn.catalogue import ModelInfo
from spindle.actors.turn.toolbox import Toolbox


class ThreadTools:
    """What one thread can do in the world."""

    def __init__(self, servers: ThreadServers) -> None:
        self._servers = servers

    def toolbox(self, state: OpenedThread, info: ModelInfo) -> Toolbox:
        """The tools of a turn that begins now."""
        tools: list[Tool] = [*self._servers.functions(), UpdatePlan(), RequestUserInput(), ViewImage()]
        tools += [DynamicTool(spec) for spec in state.dynamic_tools]
        return Toolbox(tools, source=self._servers)
