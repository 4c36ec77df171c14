"""The registry: the actor that decides which threads are loaded. Only it starts and resumes them, and moves their files.

`Incarnations` decides, this module carries the decisions out. Handling a message never awaits, so deciding and recording are
one step. What takes time, loading threads and moving files, happens in tasks of the registry's nursery, which post the
result. What one client sends for one thread comes through this mailbox, so it arrives in the order in which it was sent.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, assert_never, cast

import trio
from attrs import evolve
from uuid_utils import uuid7

from spindle.actors.delivery.subscribers import Subscriber
from spindle.actors.kernel.actor import Actor, Exited
from spindle.actors.kernel.incarnations import AWAY, Announce, Effect, Incarnations, Post, Replay, Stop
from spindle.actors.kernel.mailbox import ActorExited, Ask, Mailbox, MailboxFull, Reply, answer
from spindle.actors.registry.directory import Directory, Entry
from spindle.actors.registry.messages import (
    Decided,
    End,
    Fork,
    Freed,
    Gone,
    Kept,
    Leave,
    LeaveAll,
    ListLoaded,
    LoadedOrStored,
    Look,
    Message,
    Occupying,
    ReloadConfig,
    ReloadServers,
    Resume,
    Retire,
    Routed,
    ShutDown,
    Start,
    Started,
    ToThread,
)
from spindle.actors.registry.relocation import Archive, Delete, Relocation, Unarchive
from spindle.actors.services import bookkeeping
from spindle.actors.services.bookkeeping import EndedTurn
from spindle.actors.services.services import Services
from spindle.actors.tasks.boundary import start_apart
from spindle.actors.thread.actor import ThreadActor
from spindle.actors.thread.loading.fork import check_fork
from spindle.actors.thread.loading.openings import FromFork, Opening
from spindle.actors.thread.messages import Attach, Detach, Hold, StopThread
from spindle.actors.thread.state import OpenedThread
from spindle.rpc.protocol.errors import RpcError, ThreadNotFound, internal_error, invalid_request, overloaded
from spindle.rpc.protocol.threads import (
    NotLoadedStatus,
    SystemErrorStatus,
    ThreadClosedNotification,
    ThreadStatusChangedNotification,
)

if TYPE_CHECKING:
    from spindle.actors.tools.mcp.servers import McpServers

log = logging.getLogger("spindle")

PATIENCE = 15.0
"""Seconds that threads, and work on the files of others, have to end by themselves when the runtime ends."""

ENDING = "the server is shutting down"


class Registry(Actor):
    """Supervises the threads and routes by thread id. Other code posts with `route` and its like, and reads `directory`."""

    def __init__(self, services: Services) -> None:
        super().__init__(Mailbox())
        self.directory = Directory()
        self._services = services
        self._table: Incarnations[str] = Incarnations()
        self._actors: dict[str, ThreadActor] = {}
        self._parked: set[str] = set()
        """Threads for which a relocation waits until they are loaded."""
        self._empty = trio.lowlevel.ParkingLot()
        self._shield = trio.CancelScope(shield=True)
        self._closing = False
        self._ended = trio.Event()
        self._keeping = 0

    # -- what others send

    def route(self, message: Message) -> None:
        """Post a message. Where it cannot be taken, its reply is rejected."""
        try:
            self.mailbox.post(message)
        except MailboxFull:
            _reject(message, overloaded())
        except ActorExited:
            _reject(message, invalid_request(ENDING))

    def start(self, opening: Opening, message: Attach | Hold) -> str:
        """Start a new thread, with `message` first in its mailbox; returns its id. A fork is refused as `check_fork` says."""
        thread_id = str(uuid7())
        if isinstance(opening, FromFork) and isinstance(message, Attach):
            self.route(Fork(thread_id, message, opening))
        else:
            self.route(Start(thread_id, message, opening))
        return thread_id

    def leave_all(self, subscriber: Subscriber) -> None:
        """The client has disconnected: unsubscribe it from all threads."""
        self.route(LeaveAll(subscriber))

    async def look(self, thread_id: str) -> OpenedThread | None:
        """The state of a thread as it is now; None while it loads, and if it is not loaded.

        Of a thread that is ending, or whose files are being worked on, the state that comes after that.
        """

        def send(reply: Reply[OpenedThread | None]) -> None:
            self.route(LoadedOrStored(thread_id, Look(reply=reply), lambda: reply.resolve(None)))

        return await answer(send)

    async def settled(self) -> None:
        """Return when all that was sent before has been handled."""

        def send(reply: Reply[list[str]]) -> None:
            self.route(ListLoaded(reply=reply))

        await answer(send)

    async def shut_down(self) -> None:
        """End every thread, interrupting turns, and wait until all are gone. What takes over `PATIENCE` is cancelled."""
        with suppress(ActorExited):
            self.mailbox.post(ShutDown())
        with trio.move_on_after(PATIENCE):
            await self._ended.wait()
            return
        log.warning("threads that did not end by themselves are cancelled: %s", ", ".join(self._table))
        self.nursery.cancel_scope.cancel()
        await self._ended.wait()

    def abandon(self) -> None:
        """End now, without waiting for threads that are still ending."""
        self._shield.cancel()

    async def all_gone(self) -> None:
        """Return when no thread is loaded and no message is unread, which may be at once."""
        while self._busy() or self.mailbox.accepted != self.mailbox.seen:
            await self._empty.park()

    async def emptied(self) -> None:
        """Wait for the next time that the last loaded thread is gone."""
        await self._empty.park()

    async def idle(self) -> None:
        """Wait until no turn is running."""
        while running := self._running():
            for done in running:
                await done.wait()

    @property
    def closing(self) -> bool:
        """Whether all threads are being ended, and none is loaded any more."""
        return self._closing

    @property
    def busy(self) -> bool:
        """Whether a turn is running."""
        return bool(self._running())

    def _running(self) -> list[trio.Event]:
        return [turn.done for actor in self.directory.actors() if (turn := actor.core.turn) is not None]

    # -- what threads send (see supervisor.Supervisor)

    def loaded(self, thread_id: str, generation: int) -> None:
        """The thread is loaded. Its mailbox shows that; a message is needed only if one waits for it."""
        if thread_id in self._parked:
            self.mailbox.post(Started(thread_id, generation))

    def retire(self, thread_id: str, generation: int, seen: int) -> None:
        """The thread asks to leave."""
        self.mailbox.post(Retire(thread_id, generation, seen))

    def turn_ended(self, turn: EndedTurn) -> trio.Event:
        """A turn is ending: keep what is to be kept of it, in a task that outlives the thread."""
        self._keeping += 1
        kept = trio.Event()
        start_apart(self.nursery, f"keeping the end of a turn of thread {turn.thread_id}", self._keep, turn, kept)
        return kept

    def hold(self, thread_id: str, message: Hold, opening: Opening) -> None:
        """A thread makes another one its agent, loading it if it is not loaded."""
        self.route(Resume(thread_id, message, opening))

    def tell(self, thread_id: str, message: Ask[Any]) -> None:
        """Send a message from one thread to another."""
        self.route(ToThread(thread_id, message))

    def end(self, thread_id: str) -> None:
        """A thread ends another."""
        self.mailbox.post(End(thread_id))

    def servers(self, thread_id: str) -> McpServers | None:
        """See Directory."""
        return self.directory.servers(thread_id)

    def turn_id(self, thread_id: str) -> str | None:
        """See Directory."""
        return self.directory.turn_id(thread_id)

    # -- the actor

    async def attend(self) -> None:
        """Outlive the threads: when the runtime is cancelled they are, and this handles their ends before it ends itself."""
        with self._shield:
            await super().attend()

    async def handle(self, message: object) -> None:
        """Handle one message and all that it causes to be routed again. What goes wrong is the answer to that message."""
        todo = [cast("Message", message)]
        while todo:
            todo += reversed(self._attempt(todo.pop()))
        if not self._busy():
            self._empty.unpark_all()
            if self._closing:
                self.stop()

    def refusal(self, error: BaseException | None) -> Exception:
        """What was still held or unread."""
        return invalid_request(ENDING)

    async def stopped(self) -> None:
        """Nothing is held any more."""
        self._ended.set()

    def _attempt(self, message: Message) -> list[Message]:
        try:
            return self._handle(message)
        except MailboxFull:
            _reject(message, overloaded())
        except Exception as error:
            if not isinstance(error, RpcError):
                log.exception("the registry failed to handle %s", type(message).__name__)
            _reject(message, error)
        return []

    def _busy(self) -> bool:
        return bool(self._actors or self._keeping or any(True for _ in self._table))

    def _handle(self, message: Message) -> list[Message]:
        """Decide and record; returns what is to be handled next."""
        match message:
            case Start(thread_id, first, opening):
                return self._open(thread_id, opening, first)
            case Fork(thread_id, first, opening):
                check_fork(self.directory, opening.source, opening.params)
                return self._open(thread_id, opening, first)
            case Resume() | ToThread() | Leave() | LoadedOrStored() | Archive() | Unarchive() | Delete():
                return self._route(message)
            case ListLoaded(reply=reply):
                reply.resolve(self.directory.loaded())
            case LeaveAll(subscriber):
                return [_leave(thread_id, subscriber) for thread_id in subscriber.threads]
            case ReloadServers():
                for actor in self._actors.values():
                    actor.parts.servers.reload()
            case ReloadConfig():
                for actor in self._actors.values():
                    actor.parts.reloading.mark()
            case Started(thread_id, generation):
                self._parked.discard(thread_id)
                return self._apply(thread_id, self._table.started(thread_id, generation))
            case Retire(thread_id, generation, seen):
                return self._apply(thread_id, self._table.retire(thread_id, generation, seen))
            case End(thread_id):
                return self._apply(thread_id, self._table.close(thread_id))
            case Gone(exited):
                return self._gone(exited)
            case Freed(thread_id, generation):
                return self._apply(thread_id, self._table.gone(thread_id, generation))
            case Decided(request, generation, refusal):
                return self._decide(request, generation, refusal)
            case Kept():
                pass
            case ShutDown():
                self._closing = True
                for thread_id in list(self._table):
                    self._apply(thread_id, self._table.close(thread_id))
            case _:
                assert_never(message)
        return []

    def _route(self, message: Routed) -> list[Message]:
        effects = self._table.route(message.thread_id, message, urgent=bool(getattr(message, "urgent", False)))
        return self._absent(message) if effects is None else self._apply(message.thread_id, effects)

    def _absent(self, message: Routed) -> list[Message]:
        """The thread is not loaded, and its files are not being worked on."""
        match message:
            case Resume(thread_id, first, opening):
                return self._open(thread_id, opening, first)
            case ToThread(thread_id, inner):
                inner.reply.reject(ThreadNotFound(f"thread not found: {thread_id}"))
            case Leave(message=inner):
                inner.reply.resolve("notLoaded")
            case LoadedOrStored(thread_id, inner, Occupying(work)):
                self._occupy(thread_id, inner.reply, work)
            case LoadedOrStored(stored=stored):
                assert callable(stored)
                stored()
            case Archive() | Unarchive() | Delete():
                self._occupy(
                    message.thread_id, message.reply, partial(message.carry_out, self._services, self.route)
                )
        return []

    def _present(self, message: Routed, mailbox: Mailbox) -> None:
        """The thread takes messages: it is loaded or loading."""
        match message:
            case LoadedOrStored(thread_id, Look(reply=reply)):
                reply.resolve(self.directory.state(thread_id))
            case Archive() | Unarchive() | Delete():
                self._close_for(message)
            case _:
                _post(mailbox, message.message)

    def _apply(self, thread_id: str, effects: list[Effect]) -> list[Message]:
        """Carry the effects out; returns what is to be routed again."""
        again: list[Message] = []
        for effect in effects:
            match effect:
                case Post(mailbox, message):
                    self._present(message, mailbox)
                case Stop(mailbox):
                    self._publish(thread_id)
                    with suppress(ActorExited):  # it has ended by itself, and its `Gone` is on its way
                        mailbox.post(StopThread(leaves=self._closing))
                case Announce(begun=begun):
                    self._publish(thread_id)
                    if begun:
                        audience = self._services.audience
                        audience.announce(ThreadStatusChangedNotification(thread_id, NotLoadedStatus()))
                        audience.announce(ThreadClosedNotification(thread_id))
                case Replay(messages):
                    again += messages
        return again

    def _open(self, thread_id: str, opening: Opening, first: Attach | Hold) -> list[Message]:
        """Start an incarnation of a thread that is not loaded, with `first` first in its mailbox."""
        self._refuse_if_closing()
        actor = ThreadActor(thread_id, opening, self._services, self)
        actor.generation = self._table.open(thread_id, actor.mailbox)
        self._actors[thread_id] = actor
        self._publish(thread_id)
        _post(actor.mailbox, first)
        self.nursery.start_soon(actor.run, self._exited)
        return []

    def _occupy(self, thread_id: str, reply: Reply[Any], work: Callable[[], Awaitable[None]]) -> None:
        """Work on the files of a thread that is not loaded; messages for it are held until it is done."""
        self._refuse_if_closing()
        generation = self._table.occupy(thread_id)
        self._publish(thread_id)
        start_apart(self.nursery, f"work on thread {thread_id}", self._occupied, thread_id, generation, reply, work)

    def _close_for(self, request: Archive | Unarchive | Delete) -> None:
        """End a thread whose files are to be moved or removed, once it is loaded and nothing forbids it."""
        thread_id = request.thread_id
        state = self.directory.state(thread_id)
        refusal = None if state is None else request.refusal(state, self._services.home)
        if refusal is not None:
            request.reply.reject(refusal)
            return
        request = evolve(request, was_loaded=True)
        generation = self._table.park(thread_id, request)
        if generation is None:
            self._parked.add(thread_id)
        else:
            start_apart(self.nursery, f"looking at thread {thread_id}", self._check, request, generation)

    def _decide(self, request: Relocation, generation: int, refusal: Exception | None) -> list[Message]:
        effects = self._table.unpark(request.thread_id, generation, end=refusal is None)
        if effects is None:
            return []
        if refusal is not None:
            request.reply.reject(refusal)
        return self._apply(request.thread_id, effects)

    def _gone(self, exited: Exited) -> list[Message]:
        actor = exited.actor
        assert isinstance(actor, ThreadActor)
        thread_id, error = actor.thread_id, exited.error
        if self._actors.get(thread_id) is actor:
            del self._actors[thread_id]
        self._parked.discard(thread_id)
        effects = self._table.gone(thread_id, actor.generation)
        if error is not None and not isinstance(error, RpcError):
            log.error("thread %s crashed", thread_id, exc_info=error)
            if any(isinstance(effect, Announce) and effect.begun for effect in effects):
                self._services.audience.announce(ThreadStatusChangedNotification(thread_id, SystemErrorStatus()))
        return self._apply(thread_id, effects)

    def _refuse_if_closing(self) -> None:
        if self._closing:
            raise invalid_request(ENDING)

    def _publish(self, thread_id: str) -> None:
        phase = self._table.phase(thread_id)
        self.directory.publish(thread_id, None if phase is None else Entry(phase in AWAY, self._actors.get(thread_id)))

    # -- tasks, which post their result

    def _exited(self, exited: Exited) -> None:
        self.mailbox.post(Gone(exited))

    async def _keep(self, turn: EndedTurn, kept: trio.Event) -> None:
        try:
            await bookkeeping.keep(self._services.state, turn)
        finally:
            kept.set()
            self._keeping -= 1
            if not self._busy():  # otherwise no task waits for it
                self.mailbox.post(Kept())

    async def _check(self, request: Relocation, generation: int) -> None:
        refusal: Exception | None = ActorExited()  # cancelled before it is known
        try:
            await request.check(self._services)
            refusal = None
        except Exception as error:
            refusal = error
        finally:
            self.mailbox.post(Decided(request, generation, refusal))

    async def _occupied(
        self, thread_id: str, generation: int, reply: Reply[Any], work: Callable[[], Awaitable[None]]
    ) -> None:
        try:
            await work()
        except Exception as error:
            reply.reject(error)
        finally:
            reply.reject(ActorExited())  # cancelled before it has answered
            self.mailbox.post(Freed(thread_id, generation))


def _post(mailbox: Mailbox, message: Ask[Any]) -> None:
    """Put `message` into a thread's mailbox, or refuse it."""
    try:
        mailbox.post(message)
    except MailboxFull:
        message.reply.reject(overloaded())
    except ActorExited:
        message.reply.reject(internal_error("the thread has just ended"))


def _reject(message: Message, error: Exception) -> None:
    reply = getattr(message, "reply", None)
    if reply is not None:
        reply.reject(error)


def _leave(thread_id: str, subscriber: Subscriber) -> Leave:
    reply: Reply[Any] = Reply(lambda _: None, lambda _: None)
    return Leave(thread_id, Detach(reply=reply, subscriber=subscriber, lost=True))
