"""A thread and the agents it has started, and theirs: who there is, how each is doing, and how many there may be.

Shared by the threads of one family, which run on one trio thread and change it between two awaits. A member is open from
the moment it is asked for until its thread has ended.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import trio
from attrs import define, field

from spindle.actors.tools.agents.agents import NOT_FOUND, PENDING, AgentName, AgentStatus
from spindle.actors.tools.agents.roles import nickname
from spindle.storage.config import Config

MAX_AGENTS = 6
"""Agents of one family that may be open at once, unless `agents.max_threads` says otherwise."""
MAX_DEPTH = 1
"""How far from its root a member may be, unless `agents.max_depth` says otherwise: 1 means that agents start none."""


class FamilyFull(Exception):
    """No more agents may be open; the argument is how many are."""


@define(eq=False)
class Member:
    """An open agent. `parent_id` is the thread that hears of its end."""

    parent_id: str
    depth: int
    name: AgentName
    id: str = ""
    status: AgentStatus = PENDING
    reported: bool = False
    """Whether its parent has been told that it came to an end; once for each time it was opened."""
    closing: bool = False
    """Whether it is being ended, and what it has started with it."""
    gone: trio.Event = field(factory=trio.Event)


class Family:
    """The open agents of one root thread."""

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}
        self._coming: set[Member] = set()
        self._changed = trio.Event()

    def admit(self, parent_id: str, depth: int, role: str | None, names: Sequence[str], most: int) -> Member:
        """A place for an agent to come. Raises FamilyFull."""
        if len(self._members) + len(self._coming) >= most:
            raise FamilyFull(most)
        taken = {member.name.nickname or "" for member in (*self._members.values(), *self._coming)}
        member = Member(parent_id, depth, AgentName(nickname(taken, names), role))
        self._coming.add(member)
        return member

    def enter(self, member: Member, id: str) -> None:
        """The agent's thread is there, or about to be."""
        self._coming.discard(member)
        member.id = id
        self._members[id] = member

    def leave(self, member: Member) -> None:
        """The agent is not coming, or has gone."""
        self._coming.discard(member)
        if self._members.get(member.id) is member:
            del self._members[member.id]
        member.gone.set()
        self._notify()

    def become(self, member: Member, status: AgentStatus) -> None:
        """Note how an agent is doing now."""
        member.status = status
        self._notify()

    def get(self, id: str) -> Member | None:
        """The open agent with this id."""
        return self._members.get(id)

    def status(self, id: str) -> AgentStatus:
        """How it is doing; `NOT_FOUND` if it is not open."""
        member = self._members.get(id)
        return NOT_FOUND if member is None else member.status

    def children(self, id: str) -> list[Member]:
        """The open agents that a thread has started itself."""
        return [member for member in self._members.values() if member.parent_id == id]

    def below(self, id: str) -> Iterator[Member]:
        """The open agents below a thread, those of an agent before the agent."""
        for member in self.children(id):
            yield from self.below(member.id)
            yield member

    async def ended(self, ids: Collection[str]) -> Mapping[str, AgentStatus]:
        """Wait until one of `ids` has a final status; returns all that have."""
        while True:
            final = {id: status for id in ids if (status := self.status(id)).final}
            if final:
                return final
            await self._changed.wait()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


def most_agents(config: Config) -> int:
    """How many agents of a family may be open at once."""
    return _limit(config, "max_threads", MAX_AGENTS)


def deepest(config: Config) -> int:
    """How deep an agent may be; its root is at 0."""
    return _limit(config, "max_depth", MAX_DEPTH)


def _limit(config: Config, name: str, default: int) -> int:
    value = config.table("agents").get(name)
    return value if isinstance(value, int) else default
