"""The agents of a turn as the tools see them: their status, and what they can be asked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, Protocol, TypeAlias

from spindle.actors.tools.agents.roles import Role
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.items import CollabAgentState
from spindle.rpc.protocol.user_input import UserInput

Kind: TypeAlias = Literal["pendingInit", "running", "interrupted", "completed", "errored", "shutdown", "notFound"]

_STORED: Mapping[Kind, str] = {"pendingInit": "pending_init", "notFound": "not_found"}


@frozen
class AgentStatus:
    """The status of an agent. `message` is the last message of a completed agent, the error of a failed one."""

    kind: Kind
    message: str | None = None

    @property
    def final(self) -> bool:
        """Whether a wait for it ends. An interrupted agent may still continue."""
        return self.kind not in ("pendingInit", "running", "interrupted")

    def stored(self) -> object:
        """The form for the model and the rollout: a word, or an object with the message."""
        if self.kind in ("completed", "errored"):
            return {self.kind: self.message}
        return _STORED.get(self.kind, self.kind)

    def shown(self) -> CollabAgentState:
        """The form for clients."""
        return CollabAgentState(self.kind, self.message)


PENDING = AgentStatus("pendingInit")
NOT_FOUND = AgentStatus("notFound")


@frozen
class AgentName:
    """An agent's nickname and role."""

    nickname: str | None = None
    role: str | None = None


class AgentModel(Protocol):
    """A model that an agent can run on."""

    @property
    def slug(self) -> str:
        """The id of the model."""
        ...

    @property
    def description(self) -> str:
        """A description for the model."""
        ...

    @property
    def efforts(self) -> Mapping[str, str]:
        """The supported reasoning efforts, each with a description."""
        ...

    @property
    def hidden(self) -> bool:
        """Whether it is not offered."""
        ...


@frozen(kw_only=True)
class SpawnRequest:
    """A request for an agent. `model` and `effort` None: its parent's. `fork`: it starts with a copy of the conversation."""

    content: Sequence[UserInput]
    role: Role | None = None
    model: str | None = None
    effort: str | None = None
    fork: bool = False


@frozen(kw_only=True)
class Spawned:
    """A started agent, with its model and effort."""

    id: str
    name: AgentName
    status: AgentStatus
    model: str
    effort: str | None


class Agents(Protocol):
    """The agents that the caller may use. Ids are thread ids."""

    @property
    def roles(self) -> Mapping[str, Role]:
        """The roles by name, in the order of the offer."""
        ...

    def status(self, id: str) -> AgentStatus:
        """The status of an agent; `NOT_FOUND` if it is not loaded."""
        ...

    def name(self, id: str) -> AgentName:
        """The nickname and role of an agent."""
        ...

    async def spawn(self, request: SpawnRequest) -> Spawned:
        """Start an agent. Raises ToolRefused. If cancelled, no agent stays."""
        ...

    async def send(self, id: str, content: Sequence[UserInput], *, interrupt: bool) -> str:
        """Send input to an agent; returns the id of the turn. `interrupt` ends its current turn first.

        The agent handles it with the caller's permissions. Raises ToolRefused, also if it works under other permissions.
        """
        ...

    async def wait(self, ids: Collection[str], seconds: float) -> Mapping[str, AgentStatus]:
        """Wait until at least one has a final status; returns those, or nothing after `seconds`."""
        ...

    async def resume(self, id: str) -> AgentStatus:
        """Load an agent that was closed. Raises ToolRefused."""
        ...

    async def close(self, id: str) -> None:
        """Close an agent and its descendants, and wait until they have ended. Raises ToolRefused."""
        ...

