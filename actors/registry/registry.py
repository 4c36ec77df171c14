"""The registry: the one authority on which threads are loaded. It alone starts and resumes them, and has their files moved.

`Slots` decides; this module carries the decisions out. It never awaits: a message from anywhere is dealt with before the
call returns (messages that arise on the way wait in a local queue), so there is no moment at which a thread is neither
loaded nor free. What takes time, the loading and the moving of files, happens in tasks of the supervising nursery.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import trio
from attrs import frozen
from uuid_utils import uuid7

from spindle.actors.delivery.outbox import Subscriber
from spindle.actors.kernel.actor import Exited
from spindle.actors.kernel.incarnations import Announce, Effect, Post, Replay, Slots, Stop
from spindle.actors.kernel.mailbox import ActorExited, Address, Ask, MailboxFull, Reply, Urgent, answer
from spindle.actors.registry.relocation import Relocation
from spindle.actors.services import bookkeeping
from spindle.actors.services.bookkeeping import EndedTurn
from spindle.actors.services.services import Services
from spindle.actors.tasks.boundary import start_apart
from spindle.actors.thread.actor import ThreadActor
from spindle.actors.thread.loading.loading import OpenedThread, Opening
from spindle.actors.thread.messages import Attach, Detach, Hold, StopThread
from spindle.rpc.protocol.errors import RpcError, ThreadNotFound, internal_error, invalid_request, overloaded
from spindle.rpc.protocol.threads import (
    NotLoadedStatus,
    SystemErrorStatus,
    ThreadClosedNotification,
    ThreadStatus,
    ThreadStatusChangedNotification,
    ThreadUnsubscribeStatus,
)

if TYPE_CHECKING:
    from spindle.actors.tools.mcp.servers import McpServers

log = logging.getLogger("spindle")

PATIENCE = 15.0
"""Seconds that threads, and work on the files of others, have to end by themselves when the runtime ends."""


M = TypeVar("M", bound=Ask[Any], covariant=True)


class Routed(Protocol):
    """What is sent to one thread. It may be held, and then says itself, as if it came now, what is to become of it."""

    @property
    def thread_id(self) -> str:
        """Whose it is."""
        ...

    @property
    def reply(self) -> Reply[Any]:
        """Where the answer goes."""
        ...

    @property
    def urgent(self) -> bool:
        """Whether it ends or releases something, and so is not refused for want of room."""
        ...

    def present(self, registry: Registry, address: Address) -> None:
        """The thread is loaded, or loading, behind `address`."""
        ...

    def absent(self, registry: Registry) -> None:
        """The thread is not loaded."""
        ...


@frozen
class _Posted(Generic[M]):
    """What a loaded thread gets as a message."""

    thread_id: str
    message: M

    @property
    def reply(self) -> Reply[Any]:
        """See Routed."""
        return self.message.reply

    @property
    def urgent(self) -> bool:
        """See Routed."""
        return isinstance(self.message, Urgent)

    def present(self, registry: Registry, address: Address) -> None:
        """See Routed."""
        registry.post(address, self.message)


@frozen
class ToThread(_Posted[Ask[Any]]):
    """For a thread that has to be loaded."""

    def absent(self, registry: Registry) -> None:
        """Refuse."""
        self.reply.reject(ThreadNotFound(f"thread not found: {self.thread_id}"))


@frozen
class Resume(_Posted["Attach | Hold"]):
    """Subscribe to a thread or hold it, loading it first if it is not loaded."""

    opening: Opening

    def absent(self, registry: Registry) -> None:
        """Load it."""
        registry.open(self.thread_id, self.opening, self.message)


@frozen
class Leave(_Posted[Detach]):
    """Unsubscribe."""

    def absent(self, registry: Registry) -> None:
        """There is nothing to leave."""
        self.reply.resolve("notLoaded")


@frozen
class LoadedOrStored(_Posted[Ask[Any]]):
    """For a loaded thread; for one that is not, `stored` is called, which sees to the answer without waiting for it."""

    stored: Callable[[], object]

    def absent(self, registry: Registry) -> None:
        """Have it answered from what is stored."""
        self.stored()


@frozen
class OnStored(_Posted[Ask[Any]]):
    """For a loaded thread; for one that is not, `work` on its rollout, during which everything else for it waits.

    `work` answers the message itself, and may raise RpcError.
    """

    work: Callable[[], Awaitable[None]]

    def absent(self, registry: Registry) -> None:
        """Work on the file."""
        registry.occupy(self.thread_id, self.reply, self.work)


@frozen
class _Look:
    """Answers with what a loaded thread knows of itself; None for one that is loading, or not loaded."""

    thread_id: str
    reply: Reply[OpenedThread | None]

    @property
    def urgent(self) -> bool:
        """There has to be room for it."""
        return False

    def present(self, registry: Registry, address: Address) -> None:
        """Look at it, beside whatever it does."""
        self.reply.resolve(registry.loaded_state(self.thread_id))

    def absent(self, registry: Registry) -> None:
        """There is nothing to look at."""
        self.reply.resolve(None)


class Registry:
    """Routes by thread id. `nursery` supervises the threads; none of the methods waits.

    What goes wrong in one step is that step's alone: whoever sent the message is answered with it.
    """

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
        return None if actor is None else actor.core.loaded

    async def look(self, thread_id: str) -> OpenedThread | None:
        """As `loaded_state`, but of the next incarnation where a thread is on its way out, or its file is worked on."""

        def send(reply: Reply[OpenedThread | None]) -> None:
            self.route(_Look(thread_id, reply))

        return await answer(send)

    def reload_servers(self) -> None:
        """Have every loaded thread bring its MCP servers in line with the configuration before its next turn."""
        for actor in self._actors.values():
            actor.parts.servers.reload()

    def status(self, thread_id: str) -> ThreadStatus:
        """A thread's status, notLoaded included."""
        actor = self._actors.get(thread_id)
        return actor.core.status if actor is not None else NotLoadedStatus()

    def servers(self, thread_id: str) -> McpServers | None:
        """The MCP servers of a thread; None where it has none, or is not loaded."""
        actor = self._actors.get(thread_id)
        return None if actor is None else actor.parts.servers.running

    def turn_id(self, thread_id: str) -> str | None:
        """The id of the turn that is running in a thread, if one is."""
        actor = self._actors.get(thread_id)
        turn = None if actor is None else actor.core.turn
        return None if turn is None else turn.id

    async def shut_down(self) -> None:
        """Stop every thread, interrupting turns, and wait until all are gone. Nothing is loaded afterwards.

        What has not ended within `PATIENCE` is cancelled.
        """
        self._closing = True
        for thread_id in self._slots.loaded():
            self.end(thread_id)
        with trio.move_on_after(PATIENCE):
            await self.all_gone()
        if len(self._slots) or self._keeping:
            log.warning("threads that did not end by themselves are cancelled: %s", ", ".join(self._slots))
            self._nursery.cancel_scope.cancel()
            await self.all_gone()

    async def all_gone(self) -> None:
        """Return once no thread is loaded, which may be at once."""
        while len(self._slots) or self._keeping:
            await self._empty.park()

    async def emptied(self) -> None:
        """Wait for the next time that the last loaded thread goes."""
        await self._empty.park()

    async def idle(self) -> None:
        """Wait until no turn is running."""
        while running := [
            actor.core.turn.done for actor in self._actors.values() if actor.core.turn is not None
        ]:
            for done in running:
                await done.wait()

    # -- what threads ask (see supervisor.Supervisor)

    def started(self, thread_id: str, generation: int) -> None:
        """The thread is loaded."""
        self._do(lambda: self._apply(self._slots.started(thread_id, generation)))

    def retire(self, thread_id: str, generation: int, seen: int) -> None:
        """The thread wants to leave."""
        self._do(lambda: self._apply(self._slots.retire(thread_id, generation, seen)))

    def ending(self, thread_id: str, generation: int) -> None:
        """The thread handles no more messages."""
        self._do(lambda: self._slots.ending(thread_id, generation))

    def turn_ended(self, turn: EndedTurn) -> trio.Event:
        """A turn is ending: keep what is to be kept of it, in a task that outlives the thread."""
        self._keeping += 1
        kept = trio.Event()
        start_apart(self._nursery, f"keeping the end of a turn of thread {turn.thread_id}", self._keep, turn, kept)
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
        self.post(actor.address, message)
        self._nursery.start_soon(actor.run, self._exited)

    def occupy(self, thread_id: str, reply: Reply[Any], work: Callable[[], Awaitable[None]]) -> None:
        """Do something to a thread that is not loaded; messages for it are held until it is done."""
        if self._closing:
            reply.reject(invalid_request("the server is shutting down"))
            return
        generation = self._slots.occupy(thread_id)
        start_apart(self._nursery, f"work on thread {thread_id}", self._occupied, thread_id, generation, reply, work)

    def carry_out(self, request: Relocation) -> None:
        """Move or remove the files of an absent thread."""
        self.occupy(request.thread_id, request.reply, lambda: request.carry_out(self._services, self.route))

    # -- what messages do when their thread is there

    @staticmethod
    def post(address: Address, message: Ask[Any]) -> None:
        """Put `message` into the thread's mailbox, or refuse it."""
        try:
            address.cast(message)
        except MailboxFull:
            message.reply.reject(overloaded())
        except ActorExited:
            message.reply.reject(internal_error("the thread has just ended"))

    def close_for(self, request: Relocation) -> None:
        """End a thread whose files are to be moved or removed, once it is loaded and nothing is known that forbids it."""
        thread_id = request.thread_id
        thread = self.loaded_state(thread_id)
        refusal = None if thread is None else request.refusal(thread, self._services.home)
        if refusal is not None:
            request.reply.reject(refusal)
            return
        generation = self._slots.park(thread_id, request)
        if generation is not None:
            start_apart(self._nursery, f"looking at thread {thread_id}", self._check, request, generation)

    # -- carrying out

    def _do(self, step: Callable[[], None]) -> None:
        self._queue.append(step)
        if self._draining:
            return
        self._draining = True
        try:
            while self._queue:
                try:
                    self._queue.popleft()()
                except Exception:
                    log.exception("a step of the registry failed")
        finally:
            self._draining = False

    def _route(self, routed: Routed) -> None:
        try:
            effects = self._slots.route(routed.thread_id, routed, urgent=routed.urgent)
        except MailboxFull:
            routed.reply.reject(overloaded())
            return
        try:
            if effects is None:
                routed.absent(self)
            else:
                self._apply(effects)
        except Exception as error:
            routed.reply.reject(error)
            raise

    def _apply(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Post(address, routed):
                    routed.present(self, address)
                case Stop(address):
                    address.cast(StopThread())
                case Announce(thread_id, loaded):
                    if loaded:
                        audience = self._services.audience
                        audience.announce(ThreadStatusChangedNotification(thread_id, NotLoadedStatus()))
                        audience.announce(ThreadClosedNotification(thread_id))
                case Replay(messages):
                    self._queue.extendleft(partial(self._route, routed) for routed in reversed(messages))

    def _exited(self, exited: Exited) -> None:
        actor = exited.actor
        assert isinstance(actor, ThreadActor)
        thread_id, error = actor.thread_id, exited.error
        if error is not None and not isinstance(error, RpcError):
            log.error("thread %s crashed", thread_id, exc_info=error)
            if self._slots.is_announced(thread_id):
                self._services.audience.announce(ThreadStatusChangedNotification(thread_id, SystemErrorStatus()))
        if self._actors.get(thread_id) is actor:
            del self._actors[thread_id]
        self._do(lambda: self._apply(self._slots.gone(thread_id, actor.generation)))
        if not len(self._slots):
            self._empty.unpark_all()

    async def _keep(self, turn: EndedTurn, kept: trio.Event) -> None:
        try:
            await bookkeeping.keep(self._services.state, turn)
        finally:
            kept.set()
            self._keeping -= 1
            if not self._keeping and self._closing:
                self._empty.unpark_all()

    async def _check(self, request: Relocation, generation: int) -> None:
        refusal: Exception | None = ActorExited()  # cancelled before it is known
        try:
            await request.check(self._services)
            refusal = None
        except Exception as error:
            refusal = error
        finally:
            self._do(lambda: self._decide(request, generation, refusal))

    def _decide(self, request: Relocation, generation: int, refusal: Exception | None) -> None:
        effects = self._slots.unpark(request.thread_id, generation, end=refusal is None)
        if effects is None:
            return
        if refusal is not None:
            request.reply.reject(refusal)
        self._apply(effects)

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
