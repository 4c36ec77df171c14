"""The registry: the one authority on which threads are loaded. It alone starts and resumes them, and has their files moved.

`Slots` decides; this module carries the decisions out. It never awaits: a message from anywhere is dealt with before the
call returns (messages that arise on the way wait in a local queue), so there is no moment at which a thread is neither
loaded nor free. What takes time, the loading and the moving of files, happens in tasks of the supervising nursery.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import trio
from attrs import frozen
from uuid_utils import uuid7

from spindle.actors.actor import Exited
from spindle.actors.mailbox import ActorExited, Ask, MailboxFull, Reply
from spindle.actors.relocation import Relocation
from spindle.actors.slots import Announce, Effect, Post, Replay, Slots, Stop
from spindle.actors.subscribers import Subscriber
from spindle.actors.thread.bookkeeping import EndedTurn, keep
from spindle.actors.thread.messages import Attach, Detach, Hold, StopThread
from spindle.actors.thread.opening import OpenedThread, Opening
from spindle.actors.thread.services import Services
from spindle.actors.thread.thread import ThreadActor
from spindle.rpc.protocol.errors import RpcError, internal_error, invalid_request, overloaded
from spindle.rpc.protocol.threads import (
    NotLoadedStatus,
    SystemErrorStatus,
    ThreadClosedNotification,
    ThreadStatus,
    ThreadStatusChangedNotification,
    ThreadUnsubscribeStatus,
)

log = logging.getLogger("spindle")


class Routed(Protocol):
    """A message for one thread: what to post if it is loaded, and what to do if it is not."""

    @property
    def thread_id(self) -> str:
        """Whose it is."""
        ...

    @property
    def message(self) -> Ask[Any]:
        """What the thread gets."""
        ...

    def absent(self, registry: Registry) -> None:
        """The thread is not loaded."""
        ...


@frozen
class ToThread:
    """For a thread that has to be loaded."""

    thread_id: str
    message: Ask[Any]

    def absent(self, registry: Registry) -> None:
        """Refuse."""
        self.message.reply.reject(invalid_request(f"thread not found: {self.thread_id}"))


@frozen
class Resume:
    """Subscribe to a thread or hold it, loading it first if it is not loaded."""

    thread_id: str
    message: Attach | Hold
    opening: Opening

    def absent(self, registry: Registry) -> None:
        """Load it."""
        registry.open(self.thread_id, self.opening, self.message)


@frozen
class Leave:
    """Unsubscribe."""

    thread_id: str
    message: Detach

    def absent(self, registry: Registry) -> None:
        """There is nothing to leave."""
        self.message.reply.resolve("notLoaded")


@frozen
class OnStored:
    """For a loaded thread; for one that is not, `work` on its rollout, during which everything else for it waits.

    `work` answers the message itself, and may raise RpcError.
    """

    thread_id: str
    message: Ask[Any]
    work: Callable[[], Awaitable[None]]

    def absent(self, registry: Registry) -> None:
        """Work on the file."""
        registry.occupy(self.thread_id, self.message.reply, self.work)


class Registry:
    """Routes by thread id. `nursery` supervises the threads; none of the methods waits."""

    def __init__(self, services: Services, nursery: trio.Nursery) -> None:
        self._services = services
        self._nursery = nursery
        self._slots = Slots()
        self._actors: dict[str, ThreadActor] = {}
        self._queue: deque[Callable[[], None]] = deque()
        self._draining = False
        self._empty = trio.lowlevel.ParkingLot()
        self._closing = False
        self._keeping = 0

    # -- what others ask

    def start(self, opening: Opening, message: Attach | Hold) -> str:
        """Start a new thread; returns its id. `message` is answered when it is loaded."""
        thread_id = str(uuid7())
        self._do(lambda: self.open(thread_id, opening, message))
        return thread_id

    def route(self, routed: Routed) -> None:
        """Bring a message to its thread, whatever the thread is doing."""
        self._do(lambda: self._route(routed))

    def relocate(self, request: Relocation) -> None:
        """Archive, bring back or delete a thread; whatever else is sent to it waits meanwhile."""
        self._do(lambda: self._relocate(request))

    def leave_all(self, subscriber: Subscriber) -> None:
        """The client is gone: unsubscribe it from everything."""
        for thread_id in list(subscriber.threads):
            reply: Reply[ThreadUnsubscribeStatus] = Reply(lambda _: None, lambda _: None)
            self.route(Leave(thread_id, Detach(reply=reply, subscriber=subscriber, lost=True)))

    def loaded(self) -> list[str]:
        """Ids of the loaded threads, ascending."""
        return self._slots.loaded()

    def is_loaded(self, thread_id: str) -> bool:
        """Whether the thread is loaded, or on its way in or out."""
        return thread_id in self._slots

    def loaded_state(self, thread_id: str) -> OpenedThread | None:
        """What a loaded thread knows of itself; None for one that is loading, or not loaded."""
        actor = self._actors.get(thread_id)
        return getattr(actor, "state", None)

    def reload_servers(self) -> None:
        """Have every loaded thread bring its MCP servers in line with the configuration before its next turn."""
        for actor in self._actors.values():
            actor.servers.reload()

    def status(self, thread_id: str) -> ThreadStatus:
        """A thread's status, notLoaded included."""
        actor = self._actors.get(thread_id)
        return actor.status if actor is not None else NotLoadedStatus()

    def turn_id(self, thread_id: str) -> str | None:
        """The id of the turn that is running in a thread, if one is."""
        actor = self._actors.get(thread_id)
        return actor.turn.id if actor is not None and actor.turn is not None else None

    async def shut_down(self) -> None:
        """Stop every thread, interrupting turns, and wait until all are gone. Nothing is loaded afterwards."""
        self._closing = True
        for thread_id in self._slots.loaded():
            self._do(lambda thread_id=thread_id: self._apply(self._slots.close(thread_id)))  # type: ignore[misc]
        while len(self._slots) or self._keeping:
            await self._empty.park()

    async def emptied(self) -> None:
        """Wait until the last loaded thread has gone."""
        await self._empty.park()

    async def idle(self) -> None:
        """Wait until no turn is running."""
        while running := [actor.turn.done for actor in self._actors.values() if actor.turn is not None]:
            for done in running:
                await done.wait()

    # -- what threads ask (see supervisor.Supervisor)

    def started(self, thread_id: str, generation: int) -> None:
        """The thread is loaded."""
        self._do(lambda: self._apply(self._slots.started(thread_id, generation)))

    def retire(self, thread_id: str, generation: int, seen: int) -> None:
        """The thread wants to leave."""
        self._do(lambda: self._apply(self._slots.retire(thread_id, generation, seen)))

    def turn_ended(self, turn: EndedTurn) -> trio.Event:
        """A turn is ending: keep what is to be kept of it, in a task that outlives the thread."""
        self._keeping += 1
        kept = trio.Event()
        self._nursery.start_soon(self._keep, turn, kept)
        return kept

    def hold(self, thread_id: str, message: Hold, opening: Opening) -> None:
        """A thread wants another to be loaded, as its agent."""
        self.route(Resume(thread_id, message, opening))

    def tell(self, thread_id: str, message: Ask[Any]) -> None:
        """A message from one thread to another."""
        self.route(ToThread(thread_id, message))

    def end(self, thread_id: str) -> None:
        """A thread ends another."""
        self._do(lambda: self._apply(self._slots.close(thread_id)))

    # -- what messages do when their thread is absent

    def open(self, thread_id: str, opening: Opening, message: Attach | Hold) -> None:
        """Start an incarnation of a thread that is not loaded, with `message` first in its mailbox."""
        if self._closing:
            message.reply.reject(invalid_request("the server is shutting down"))
            return
        actor = ThreadActor(thread_id, opening, self._services, self)
        actor.generation = self._slots.open(thread_id, actor.address)
        self._actors[thread_id] = actor
        self._post(actor.address.cast, message)
        self._nursery.start_soon(actor.run, self._exited)

    def occupy(self, thread_id: str, reply: Reply[Any], work: Callable[[], Awaitable[None]]) -> None:
        """Do something to a thread that is not loaded; messages for it are held until it is done."""
        if self._closing:
            reply.reject(invalid_request("the server is shutting down"))
            return
        generation = self._slots.occupy(thread_id)
        self._nursery.start_soon(self._occupied, thread_id, generation, reply, work)

    # -- carrying out

    def _do(self, step: Callable[[], None]) -> None:
        self._queue.append(step)
        if self._draining:
            return
        self._draining = True
        try:
            while self._queue:
                self._queue.popleft()()
        finally:
            self._draining = False

    def _route(self, routed: Routed) -> None:
        try:
            effects = self._slots.route(routed.thread_id, routed)
        except MailboxFull:
            routed.message.reply.reject(overloaded())
            return
        if effects is None:
            routed.absent(self)
        else:
            self._apply(effects)

    def _relocate(self, request: Relocation) -> None:
        actor = self._actors.get(request.thread_id)
        if actor is not None and self._slots.is_open(request.thread_id):
            refusal = request.refusal(actor)
            if refusal is not None:
                request.reply.reject(refusal)
                return
        self._apply(self._slots.close(request.thread_id))
        try:
            effects = self._slots.route(request.thread_id, request)
        except MailboxFull:
            request.reply.reject(overloaded())
            return
        if effects is None:
            self.occupy(request.thread_id, request.reply, lambda: request.carry_out(self._services, self.relocate))

    def _apply(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Post(address, routed):
                    self._post(address.cast, routed.message)  # type: ignore[attr-defined]
                case Stop(address):
                    address.cast(StopThread(), urgent=True)
                case Announce(thread_id, loaded):
                    if loaded:
                        audience = self._services.audience
                        audience.announce(ThreadStatusChangedNotification(thread_id, NotLoadedStatus()))
                        audience.announce(ThreadClosedNotification(thread_id))
                case Replay(messages):
                    for message in messages:
                        step = (
                            self._route if isinstance(message, ToThread | Resume | Leave | OnStored) else self._relocate
                        )
                        self._queue.append(lambda step=step, message=message: step(message))  # type: ignore[misc]

    @staticmethod
    def _post(cast: Callable[[object], None], message: Ask[Any]) -> None:
        try:
            cast(message)
        except MailboxFull:
            message.reply.reject(overloaded())
        except ActorExited:
            message.reply.reject(internal_error("the thread has just ended"))

    def _exited(self, exited: Exited) -> None:
        actor = exited.actor
        assert isinstance(actor, ThreadActor)
        thread_id, error = actor.thread_id, exited.error
        if error is not None and not isinstance(error, RpcError):
            log.error("thread %s crashed", thread_id, exc_info=error)
            self._services.audience.announce(ThreadStatusChangedNotification(thread_id, SystemErrorStatus()))
        if self._actors.get(thread_id) is actor:
            del self._actors[thread_id]
        self._do(lambda: self._apply(self._slots.gone(thread_id, actor.generation)))
        if not len(self._slots):
            self._empty.unpark_all()

    async def _keep(self, turn: EndedTurn, kept: trio.Event) -> None:
        try:
            await keep(self._services, turn)
        finally:
            kept.set()
            self._keeping -= 1
            if not self._keeping and self._closing:
                self._empty.unpark_all()

    async def _occupied(
        self, thread_id: str, generation: int, reply: Reply[Any], work: Callable[[], Awaitable[None]]
    ) -> None:
        try:
            await work()
        except Exception as error:
            reply.reject(error)
        finally:
            reply.reject(ActorExited())  # cancelled before it began
            self._do(lambda: self._apply(self._slots.gone(thread_id, generation)))
            if not len(self._slots):
                self._empty.unpark_all()
