"""What the tools need to know of agents, and what they ask of the thread that has them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, Protocol, TypeAlias

from attrs import frozen

from spindle.actors.tools.agents.roles import Role
from spindle.rpc.protocol.items import CollabAgentState, UserInput

Kind: TypeAlias = Literal["pendingInit", "running", "interrupted", "completed", "errored", "shutdown", "notFound"]

_STORED: Mapping[Kind, str] = {"pendingInit": "pending_init", "notFound": "not_found"}


@frozen
class AgentStatus:
    """How an agent is doing. `message` is the last one of a completed agent, and the error of one that failed."""

    kind: Kind
    message: str | None = None

    @property
    def final(self) -> bool:
        """Whether waiting for it is over. An interrupted agent may be told to go on."""
        return self.kind not in ("pendingInit", "running", "interrupted")

    def stored(self) -> object:
        """As the model is told and rollouts have it: a word, or an object with what was said last."""
        if self.kind in ("completed", "errored"):
            return {self.kind: self.message}
        return _STORED.get(self.kind, self.kind)

    def shown(self) -> CollabAgentState:
        """As clients are shown it."""
        return CollabAgentState(self.kind, self.message)


PENDING = AgentStatus("pendingInit")
NOT_FOUND = AgentStatus("notFound")


@frozen
class AgentName:
    """What an agent is called beside its id."""

    nickname: str | None = None
    role: str | None = None


class Model(Protocol):
    """A model that an agent can run on."""

    @property
    def slug(self) -> str:
        """Its id."""
        ...

    @property
    def description(self) -> str:
        """What it is good for."""
        ...

    @property
    def efforts(self) -> Mapping[str, str]:
        """The reasoning efforts that it takes, each with its description."""
        ...

    @property
    def hidden(self) -> bool:
        """Whether it is left out of what the model is offered."""
        ...


@frozen(kw_only=True)
class SpawnRequest:
    """An agent to be. `model` and `effort` are None where it takes its parent's; `fork` gives it the conversation so far."""

    content: Sequence[UserInput]
    role: Role | None = None
    model: str | None = None
    effort: str | None = None
    fork: bool = False


@frozen(kw_only=True)
class Spawned:
    """An agent that has been started, and what it runs on."""

    id: str
    name: AgentName
    status: AgentStatus
    model: str
    effort: str | None


class Agents(Protocol):
    """The agents that a thread can see. Ids are thread ids; nothing here is about a particular call."""

    @property
    def roles(self) -> Mapping[str, Role]:
        """The roles an agent can be given, by name, in the order they are offered."""
        ...

    def status(self, id: str) -> AgentStatus:
        """How an agent is doing; `NOT_FOUND` for one that is not open."""
        ...

    def name(self, id: str) -> AgentName:
        """What an agent is called."""
        ...

    async def spawn(self, request: SpawnRequest) -> Spawned:
        """Start one. Raises ToolRefused; cancelled, it leaves none behind."""
        ...

    async def send(self, id: str, content: Sequence[UserInput], *, interrupt: bool) -> str:
        """Give an agent input, ending what it does if `interrupt`; returns the turn's id.

        What it does about it, it does with the caller's permissions. Raises ToolRefused, also where it is at work with others.
        """
        ...

    async def wait(self, ids: Collection[str], seconds: float) -> Mapping[str, AgentStatus]:
        """Wait until one of them has ended or is not there; returns those that are so, none if the time is up."""
        ...

    async def resume(self, id: str) -> AgentStatus:
        """Have an agent that was closed open again. Raises ToolRefused."""
        ...

    async def close(self, id: str) -> None:
        """End an agent and those it has started, and wait until they are gone. Raises ToolRefused."""
        ...

