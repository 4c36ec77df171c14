"""The agents of one thread: how it starts them, gives them input, waits for them and closes them.

An agent is a thread of its own, and no thread waits for another's end. The parent keeps the agent loaded (`Hold`) until it
closes the agent or ends itself (`Release`), and subscribes its own subscribers to the agent as guests. The agent's side is
in `child.py` and `joining.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import orjson
import trio
from attrs import evolve

from spindle.actors.delivery.subscribers import Subscriber
from spindle.actors.kernel.mailbox import ActorExited, Ask, Reply, answer
from spindle.actors.settings.settings import BOUNDS, OF_ROLE, Settings
from spindle.actors.thread.agents.child import Membership
from spindle.actors.thread.agents.family import Family, FamilyFull, Member, deepest, most_agents
from spindle.actors.thread.core import ThreadCore
from spindle.actors.thread.loading.openings import AgentThread, FromRollout
from spindle.actors.thread.messages import AgentRests, Detach, Hold, InterruptTurn, Release, StartTurn, Welcome
from spindle.actors.thread.recording import save
from spindle.actors.tools.agents.agents import AgentName, AgentStatus, Spawned, SpawnRequest
from spindle.actors.tools.agents.roles import DEFAULT_ROLE, Role, roles
from spindle.actors.tools.interface import ToolRefused
from spindle.actors.turn.context import message as model_message
from spindle.actors.turn.host import TurnInput
from spindle.rpc.protocol.errors import RpcError
from spindle.rpc.protocol.threads import ThreadResumeParams
from spindle.rpc.protocol.turns import Turn, TurnStartParams
from spindle.rpc.protocol.user_input import UserInput
from spindle.storage.config import Config, ConfigError
from spindle.storage.rollout import records
from spindle.storage.threads.summary import parent_of, read_summary
from spindle.storage.threads.thread_errors import StoredThreadError

T = TypeVar("T")

_FORKED = ("system", "developer", "user", "assistant")


class ThreadAgents:
    """The agents of `thread`, as the tools see them (`Agents`)."""

    def __init__(self, thread: ThreadCore, membership: Membership) -> None:
        self._thread = thread
        self._membership = membership

    @property
    def allowed(self) -> bool:
        """Whether the thread may have agents."""
        config = self._thread.state.config
        enabled = config.features("multi_agent", True) and config.table("agents").get("enabled") is not False
        return enabled and self._membership.depth < deepest(config)

    @property
    def working(self) -> bool:
        """Whether an agent runs a turn. The thread stays loaded for its report."""
        return any(child.status.kind == "running" for child in self._children())

    @property
    def roles(self) -> Mapping[str, Role]:
        """See Agents."""
        return roles(self._thread.state.config)

    def status(self, id: str) -> AgentStatus:
        """See Agents."""
        return self._membership.family.status(id)

    def name(self, id: str) -> AgentName:
        """See Agents."""
        member = self._membership.family.get(id)
        return AgentName() if member is None else member.name

    async def spawn(self, request: SpawnRequest) -> Spawned:
        """See Agents."""
        state = self._thread.state
        member = self._admit(request.role)
        try:
            config, own = await self._configured(request.role)
            settings = _settings(self._settings, request, own)
            spoken = tuple(state.conversation.items) if request.fork else None
            history = None if spoken is None else await trio.to_thread.run_sync(_spoken, spoken)
            opening = AgentThread(
                settings=settings,
                config=config,
                client=state.client,
                parent_id=self._thread.thread_id,
                depth=member.depth,
                name=member.name,
                ephemeral=state.ephemeral,
                functions=state.functions,
                history=history,
            )

            def start(reply: Reply[None]) -> None:
                id = self._thread.supervisor.start(opening, self._hold(member, reply))
                self._family.enter(member, id)

            await answer(start)
            status = member.status
            await self._begin_turn(member.id, request.content)
        except (RpcError, ActorExited, ConfigError, OSError) as error:
            self._abandon(member)
            raise ToolRefused(f"collab spawn failed: {_words(error)}") from error
        except BaseException:
            self._abandon(member)
            raise
        return Spawned(id=member.id, name=member.name, status=status, model=settings.model, effort=settings.effort)

    async def send(self, id: str, content: Sequence[UserInput], *, interrupt: bool) -> str:
        """See Agents."""
        self._open(id)
        running = self._thread.supervisor.turn_id(id)
        if interrupt and running is not None:
            with suppress(RpcError, ActorExited):  # it is ending already
                await self._ask(id, lambda reply: InterruptTurn(reply=reply, turn_id=running))
        try:
            return await self._begin_turn(id, content)
        except (RpcError, ActorExited) as error:
            raise ToolRefused(f"collab send failed: {_words(error)}") from error

    async def wait(self, ids: Collection[str], seconds: float) -> Mapping[str, AgentStatus]:
        """See Agents."""
        with trio.move_on_after(seconds):
            return await self._family.ended(ids)
        return {}

    async def resume(self, id: str) -> AgentStatus:
        """See Agents."""
        if (open_ := self._family.get(id)) is not None:
            return open_.status
        if not await trio.to_thread.run_sync(self._is_ours, id):
            raise ToolRefused(f"agent with id {id} not found")
        member = self._admit(None)
        params = ThreadResumeParams(thread_id=id, exclude_turns=True, cwd=self._settings.cwd)
        opening = FromRollout(
            params=params,
            client=self._thread.state.client,
            functions=self._thread.state.functions,
            parent_id=self._thread.thread_id,
        )

        def hold(reply: Reply[None]) -> None:
            self._family.enter(member, id)
            self._thread.supervisor.hold(id, self._hold(member, reply), opening)

        try:
            await answer(hold)
        except (RpcError, ActorExited) as error:
            self._family.leave(member)
            raise ToolRefused(f"agent with id {id} could not be resumed: {_words(error)}") from error
        except BaseException:
            self._family.leave(member)
            self._post(id, lambda reply: Release(reply=reply))  # after the Hold; others may use the thread
            raise
        return member.status

    async def close(self, id: str) -> None:
        """See Agents."""
        closing = [*self._family.below(id), self._open(id)]
        while closing:
            for member in closing:
                self._end(member)
            for member in closing:
                await member.removed.wait()
            closing = list(self._family.below(id))  # started meanwhile

    # -- subscribers and the end

    def joined(self, subscriber: Subscriber) -> None:
        """Subscribe a subscriber of the thread to its agents."""
        for child in self._children():
            self._post(child.id, lambda reply: Welcome(reply=reply, guest=subscriber))

    def left(self, subscriber: Subscriber, *, lost: bool) -> None:
        """Unsubscribe it from them. `lost`: its connection was lost."""
        for child in self._children():
            self._post(child.id, lambda reply: Detach(reply=reply, subscriber=subscriber, lost=lost, guest=True))

    def let_go(self) -> None:
        """The thread ends: release its agents, or end them if the thread is ended as an agent."""
        for child in self._children():
            if self._membership.ending:
                self._end(child)
            else:
                self._post(child.id, lambda reply: Release(reply=reply))

    async def rests(self, message: AgentRests) -> None:
        """Give the model the text, if there is one: in the running turn, which then asks again, or in the next one."""
        if message.text is not None:
            item, turn = model_message("user", message.text), self._thread.turn
            if turn is not None and turn.joinable:
                turn.pending.append(TurnInput((), item))
            else:
                await save(self._thread, lambda: [records.response_item(item)])
        message.reply.resolve(None)

    # -- inner workings

    @property
    def _family(self) -> Family:
        return self._membership.family

    @property
    def _settings(self) -> Settings:
        """Those of the running turn; the thread's may have changed since it began."""
        turn = self._thread.turn
        return self._thread.state.settings if turn is None else turn.settings

    def _children(self) -> list[Member]:
        return self._family.children(self._thread.thread_id)

    def _open(self, id: str) -> Member:
        member = self._family.get(id)
        if member is None:
            raise ToolRefused(f"agent with id {id} not found")
        return member

    def _admit(self, role: Role | None) -> Member:
        config, depth = self._thread.state.config, self._membership.depth + 1
        if depth > deepest(config):
            raise ToolRefused("Agent depth limit reached. Solve the task yourself.")
        own = role if role is not None and role.name != DEFAULT_ROLE else None
        names = own.nicknames if own is not None else ()
        name = None if own is None else own.name
        try:
            return self._family.admit(self._thread.thread_id, depth, name, names, most_agents(config))
        except FamilyFull as error:
            raise ToolRefused(f"collab spawn failed: agent thread limit reached (max {error})") from error

    def _abandon(self, member: Member) -> None:
        """The start failed or was cancelled: end the agent's thread, if there is one."""
        self._family.abandon(member)
        if member.id:
            self._thread.supervisor.end(member.id)

    def _end(self, member: Member) -> None:
        self._family.close(member)
        self._thread.supervisor.end(member.id)

    def _hold(self, member: Member, reply: Reply[None]) -> Hold:
        guests = tuple(self._thread.subscribers)
        return Hold(reply=reply, family=self._family, member=member, guests=guests, bounds=self._bounds())

    def _bounds(self) -> Mapping[str, Any]:
        return {name: getattr(self._settings, name) for name in BOUNDS}

    async def _configured(self, role: Role | None) -> tuple[Config, Mapping[str, Any]]:
        """(the agent's configuration, the part of it that the role sets)"""
        config = self._thread.state.config
        if role is None or role.config_file is None:
            return config, {}
        return await trio.to_thread.run_sync(
            self._thread.services.config.overlay, config, role.config_file, abandon_on_cancel=True
        )

    def _is_ours(self, id: str) -> bool:
        """Whether a stored thread was an agent of this one. Blocks on the disk."""
        path = self._thread.services.indexing.locate(id)
        try:
            return path is not None and parent_of(read_summary(path).source) == self._thread.thread_id
        except (StoredThreadError, OSError):
            return False

    async def _begin_turn(self, id: str, content: Sequence[UserInput]) -> str:
        params = TurnStartParams(thread_id=id, input=content)
        bounds = self._bounds()
        turn: Turn = await self._ask(id, lambda reply: StartTurn(reply=reply, params=params, bounds=bounds))
        return turn.id

    async def _ask(self, id: str, message: Callable[[Reply[T]], Ask[T]]) -> T:
        return await answer(lambda reply: self._thread.supervisor.tell(id, message(reply)))

    def _post(self, id: str, message: Callable[[Reply[Any]], Ask[Any]]) -> None:
        """Post a message without waiting for the answer: the agent may be ending."""
        self._thread.supervisor.tell(id, message(Reply(lambda _: None, lambda _: None)))


def _settings(parent: Settings, request: SpawnRequest, own: Mapping[str, Any]) -> Settings:
    settings = evolve(parent, collaboration_mode=None)
    if request.model is not None:
        settings = evolve(settings, model=request.model, effort=request.effort)
    elif request.effort is not None:
        settings = evolve(settings, effort=request.effort)
    return evolve(settings, **{name: own[key] for name, key in OF_ROLE.items() if key in own})


def _spoken(items: Sequence[bytes]) -> list[dict[str, Any]]:
    """The messages of a conversation, without its calls and reasoning. Blocks if it is long."""
    decoded = map(orjson.loads, items)
    return [item for item in decoded if item.get("type") == "message" and item.get("role") in _FORKED]


def _words(error: Exception) -> str:
    return error.message if isinstance(error, RpcError) else str(error)
