"""The five tools of agents. Each call is an item. An error is the answer to the model and ends only the call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import trio
from attrs import evolve

from spindle.actors.tools.agents import arguments
from spindle.actors.tools.agents.agents import NOT_FOUND, AgentModel, Agents, SpawnRequest
from spindle.actors.tools.agents.arguments import agent_id, given, preview
from spindle.actors.tools.agents.items import AgentCall
from spindle.actors.tools.agents.offers import CLOSE_OFFER, RESUME_OFFER, SEND_OFFER, WAIT_OFFER, spawn_offer
from spindle.actors.tools.agents.roles import Role
from spindle.actors.tools.images.view_image import Reading, absolute, check_readable
from spindle.actors.tools.interface import Call, Output, Tool, ToolHost, ToolRefused
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.user_input import LocalImageInput, UserInput

WAIT = 30.0
WAIT_AT_LEAST = 10.0
WAIT_AT_MOST = 3600.0
"""Seconds; shorter waits would be polling."""


class _InOrder:
    """A tool with calls in order, as agents must get them; waits may run at the same time."""

    __slots__ = ()

    def exclusive(self, call: Call) -> bool:
        """See Exclusive."""
        return True


class SpawnAgent(_InOrder):
    """spawn_agent"""

    name = "spawn_agent"
    namespace = None

    def __init__(self, agents: Agents, models: Sequence[AgentModel], reading: Reading | None = None) -> None:
        self._agents, self._models = agents, [model for model in models if not model.hidden]
        self._reading = reading

    @property
    def offer(self) -> dict[str, Any]:
        """Lists the available roles and models."""
        return spawn_offer(self._agents.roles.values(), self._models)

    async def run(self, call: Call, host: ToolHost) -> Output:
        """Start an agent."""
        wanted = call.arguments(arguments.Spawn)
        content = await _allowed(given(wanted.message, wanted.items), host, self._reading)
        shown = {"prompt": preview(content), "model": wanted.model or ""}
        effort = wanted.reasoning_effort or "medium"
        with AgentCall(host, call.id, "spawnAgent", (), reasoning_effort=effort, **shown) as item:
            role = self._role(wanted.agent_type)
            if wanted.fork_context and (role or wanted.model or wanted.reasoning_effort):
                raise ToolRefused(
                    "An agent that begins with this conversation has your role, model and effort: leave out agent_type, model "
                    "and reasoning_effort, or fork_context."
                )
            self._check(wanted.model, wanted.reasoning_effort)
            request = SpawnRequest(
                content=content,
                role=role,
                model=wanted.model,
                effort=wanted.reasoning_effort,
                fork=wanted.fork_context,
            )
            agent = await self._agents.spawn(request)
            item.agents[agent.id], item.names[agent.id], item.failed = agent.status, agent.name, False
            item.runs_on(agent.model, agent.effort or "medium")
        return _json({"agent_id": agent.id, "nickname": agent.name.nickname})

    def _role(self, name: str | None) -> Role | None:
        name = (name or "").strip()
        if name and name not in self._agents.roles:
            raise ToolRefused(f"unknown agent_type '{name}'")
        return self._agents.roles[name] if name else None

    def _check(self, model: str | None, effort: str | None) -> None:
        if model is None:
            return
        info = next((info for info in self._models if info.slug == model), None)
        if info is None:
            known = ", ".join(info.slug for info in self._models)
            raise ToolRefused(f"Unknown model `{model}` for spawn_agent. Available models: {known}")
        if effort is not None and effort not in info.efforts:
            raise ToolRefused(
                f"Reasoning effort `{effort}` is not supported for model `{model}`. "
                f"Supported reasoning efforts: {', '.join(info.efforts)}"
            )


@frozen
class SendInput(_InOrder):
    """send_input"""

    agents: Agents
    reading: Reading | None = None
    name = "send_input"
    namespace = None
    offer = SEND_OFFER

    async def run(self, call: Call, host: ToolHost) -> Output:
        """Send input to an agent."""
        wanted = call.arguments(arguments.Send)
        id = agent_id(wanted.target)
        content = await _allowed(given(wanted.message, wanted.items), host, self.reading)
        with AgentCall(host, call.id, "sendInput", [id], prompt=preview(content)) as item:
            item.agents[id], item.names[id] = self.agents.status(id), self.agents.name(id)
            turn = await self.agents.send(id, content, interrupt=wanted.interrupt)
            item.failed = False
        return _json({"submission_id": turn})


@frozen
class WaitAgent:
    """wait_agent"""

    agents: Agents
    name = "wait_agent"
    namespace = None
    offer = WAIT_OFFER

    async def run(self, call: Call, host: ToolHost) -> Output:
        """Wait for the first of several agents."""
        wanted = call.arguments(arguments.Wait)
        if not wanted.targets:
            raise ToolRefused("agent ids must be non-empty")
        ids = list(dict.fromkeys(agent_id(target) for target in wanted.targets))
        seconds = WAIT if wanted.timeout_ms is None else wanted.timeout_ms / 1000
        if seconds <= 0:
            raise ToolRefused("timeout_ms must be greater than zero")
        with AgentCall(host, call.id, "wait", ids) as item:
            item.names = {id: self.agents.name(id) for id in ids}
            ended = await self.agents.wait(ids, min(max(seconds, WAIT_AT_LEAST), WAIT_AT_MOST))
            item.agents, item.failed = dict(ended), False
        return _json({"status": {id: status.stored() for id, status in ended.items()}, "timed_out": not ended})


@frozen
class ResumeAgent(_InOrder):
    """resume_agent"""

    agents: Agents
    name = "resume_agent"
    namespace = None
    offer = RESUME_OFFER

    async def run(self, call: Call, host: ToolHost) -> Output:
        """Load a closed agent."""
        id = agent_id(call.arguments(arguments.Resume).id)
        with AgentCall(host, call.id, "resumeAgent", [id]) as item:
            item.agents[id] = NOT_FOUND
            item.agents[id] = status = await self.agents.resume(id)
            item.names[id], item.failed = self.agents.name(id), False
        return _json({"status": status.stored()})


@frozen
class CloseAgent(_InOrder):
    """close_agent"""

    agents: Agents
    name = "close_agent"
    namespace = None
    offer = CLOSE_OFFER

    async def run(self, call: Call, host: ToolHost) -> Output:
        """Close an agent."""
        id = agent_id(call.arguments(arguments.Close).target)
        with AgentCall(host, call.id, "closeAgent", [id]) as item:
            item.agents[id], item.names[id] = before, _ = self.agents.status(id), self.agents.name(id)
            await self.agents.close(id)
            item.failed = False
        return _json({"previous_status": before.stored()})


async def _allowed(content: Sequence[UserInput], host: ToolHost, reading: Reading | None) -> list[UserInput]:
    """The input with absolute paths of images. Raises ToolRefused for an image that the caller itself may not read."""
    checked: list[UserInput] = []
    for part in content:
        if isinstance(part, LocalImageInput):
            path = absolute(host.cwd, part.path)
            await trio.to_thread.run_sync(check_readable, path, host, reading, abandon_on_cancel=True)
            part = evolve(part, path=str(path))
        checked.append(part)
    return checked


def agent_tools(agents: Agents, models: Sequence[AgentModel], reading: Reading | None = None) -> list[Tool]:
    """All five tools. `reading` decides which images the caller may pass to agents."""
    return [
        SpawnAgent(agents, models, reading),
        SendInput(agents, reading),
        ResumeAgent(agents),
        WaitAgent(agents),
        CloseAgent(agents),
    ]


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
