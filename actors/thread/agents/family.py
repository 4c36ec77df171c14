"""A thread and the agents below it: which agents there are, how each is doing, and how many there may be.

One family is shared by its threads, which run on one trio thread and change it between two awaits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import trio
from attrs import define, field

from spindle.actors.thread.agents.life import ENDING, FIRST, MemberEffect, MemberEvent, MemberState, after
from spindle.actors.tools.agents.agents import NOT_FOUND, PENDING, AgentName, AgentStatus
from spindle.actors.tools.agents.roles import nickname
from spindle.storage.config import Config

MAX_AGENTS = 6
"""Agents of one family that may be open at once, unless `agents.max_threads` is set."""
MAX_DEPTH = 1
"""How far below the root an agent may be, unless `agents.max_depth` is set. 1 means that agents start none."""


class FamilyFull(Exception):
    """No more agents may be open. The argument is the limit."""


@define(eq=False)
class Member:
    """One agent. `parent_id` is the thread that gets the report of its end."""

    parent_id: str
    depth: int
    name: AgentName
    id: str = ""
    """Its thread's; empty until there is one."""
    status: AgentStatus = PENDING
    state: MemberState = FIRST
    removed: trio.Event = field(factory=trio.Event)
    """Set when it is not a member any more."""

    @property
    def ending(self) -> bool:
        """Whether it is being ended, and with it the agents below it."""
        return self.state in ENDING


class Family:
    """The agents below one root thread."""

    def __init__(self) -> None:
        self._admitted: set[Member] = set()
        self._open: dict[str, Member] = {}
        self._changed = trio.Event()

    def admit(self, parent_id: str, depth: int, role: str | None, names: Sequence[str], most: int) -> Member:
        """Make room for one more agent, named after one of `names` if there are any. Raises FamilyFull."""
        if len(self._open) + len(self._admitted) >= most:
            raise FamilyFull(most)
        taken = {member.name.nickname or "" for member in (*self._open.values(), *self._admitted)}
        member = Member(parent_id, depth, AgentName(nickname(taken, names), role))
        self._admitted.add(member)
        return member

    def enter(self, member: Member, id: str) -> None:
        """The agent's thread is being loaded."""
        self._on(member, MemberEvent.ENTER)
        self._admitted.discard(member)
        member.id = id
        self._open[id] = member

    def become(self, member: Member, status: AgentStatus) -> Sequence[MemberEffect]:
        """Set an agent's status. Returns what the agent has to do about it."""
        member.status = status
        return self._on(member, _event(status))

    def close(self, member: Member) -> None:
        """The parent ends the agent."""
        self._on(member, MemberEvent.CLOSE)

    def abandon(self, member: Member) -> None:
        """The agent's start has failed or was cancelled."""
        self._on(member, MemberEvent.ABANDON)

    def leave(self, member: Member) -> None:
        """The agent's thread has ended or was released, or could not be resumed."""
        self._on(member, MemberEvent.LEAVE)

    def get(self, id: str) -> Member | None:
        """The open agent with this id."""
        return self._open.get(id)

    def status(self, id: str) -> AgentStatus:
        """An agent's status; `NOT_FOUND` if it is not open."""
        member = self._open.get(id)
        return NOT_FOUND if member is None else member.status

    def children(self, id: str) -> list[Member]:
        """The open agents that a thread has started or resumed itself."""
        return [member for member in self._open.values() if member.parent_id == id]

    def below(self, id: str) -> Iterator[Member]:
        """The open agents below a thread, those of an agent before the agent."""
        for member in self.children(id):
            yield from self.below(member.id)
            yield member

    async def ended(self, ids: Collection[str]) -> Mapping[str, AgentStatus]:
        """Wait until one of `ids` has a final status. Returns all that have one."""
        while True:
            final = {id: status for id in ids if (status := self.status(id)).final}
            if final:
                return final
            await self._changed.wait()

    def _on(self, member: Member, event: MemberEvent) -> Sequence[MemberEffect]:
        member.state, effects = after(member.state, event)
        if MemberEffect.DEPART in effects:
            self._admitted.discard(member)
            if self._open.get(member.id) is member:
                del self._open[member.id]
            member.removed.set()
        self._changed.set()
        self._changed = trio.Event()
        return effects


def _event(status: AgentStatus) -> MemberEvent:
    if status.final:
        return MemberEvent.FINISH
    return MemberEvent.RUN if status.kind == "running" else MemberEvent.REST


def most_agents(config: Config) -> int:
    """How many agents of a family may be open at once."""
    return _limit(config, "max_threads", _limit(config, "max_concurrent_threads_per_session", MAX_AGENTS))


def deepest(config: Config) -> int:
    """How far below the root an agent may be."""
    return _limit(config, "max_depth", MAX_DEPTH)


def _limit(config: Config, name: str, default: int) -> int:
    value = config.table("agents").get(name)
    return value if isinstance(value, int) else default
