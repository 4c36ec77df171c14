"""The thread's actor: it owns the conversation, the settings, the running turn and the subscribers, and lets go by itself.

Its messages are handled one at a time; the turn runs beside it, in its nursery, and changes shared state only between
two awaits. When the last subscriber has left and nothing runs, the thread asks the registry for leave (`_retire`).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any

import trio

from spindle.actors.delivery.events import Event
from spindle.actors.delivery.questions import Question
from spindle.actors.delivery.subscribers import Subscriber
from spindle.actors.kernel.actor import Actor
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.services.bookkeeping import EndedTurn
from spindle.actors.services.services import Services
from spindle.actors.settings.restrictions import reviewer_warnings
from spindle.actors.settings.settings import ThreadSettings
from spindle.actors.tasks.boundary import Contained
from spindle.actors.tasks.faults import said
from spindle.actors.thread import changes, joining, terminals, view
from spindle.actors.thread.agents import child
from spindle.actors.thread.agents.child import Membership
from spindle.actors.thread.agents.parent import ThreadAgents
from spindle.actors.thread.loading.loading import OpenedThread, Opening, open_thread
from spindle.actors.thread.messages import (
    AskServers,
    Attach,
    Compact,
    Detach,
    InterruptTurn,
    LeaveNow,
    ReadThread,
    RevertTurns,
    Review,
    RunScript,
    Settle,
    StartTurn,
    SteerTurn,
    StopThread,
    TakeSnapshot,
    TurnEnded,
)
from spindle.actors.thread.recording import save
from spindle.actors.thread.revert import revert
from spindle.actors.thread.servers import ThreadServers
from spindle.actors.thread.supervisor import Supervisor
from spindle.actors.thread.tools import ThreadTools
from spindle.actors.thread.turns import queue
from spindle.actors.thread.turns.live import LiveTurn
from spindle.actors.turn.review import label
from spindle.rpc.protocol.errors import RpcError, internal_error
from spindle.rpc.protocol.items import TextInput, UserMessageItem
from spindle.rpc.protocol.removal import ThreadRevertedNotification
from spindle.rpc.protocol.threads import (
    ActiveStatus,
    IdleStatus,
    ServerRequestResolvedNotification,
    ThreadActiveFlag,
    ThreadStatus,
    ThreadStatusChangedNotification,
)
from spindle.rpc.protocol.turns import Turn, WarningNotification
from spindle.storage.rollout.records import Entry
from spindle.storage.rollout.source import RolloutChanged

log = logging.getLogger("spindle")

_HANDLERS = {**changes.HANDLERS, **terminals.HANDLERS, **child.HANDLERS}

KEPT = 10.0
"""Seconds that a thread waits at its end for what is kept of its turns beside the rollout."""

LOST_CLIENT_DELAY = 60.0
"""Seconds a thread waits for a client that went away without a word, unless thread_unload_delay_secs says otherwise."""


class ThreadActor(Actor):
    """One incarnation of a thread."""

    state: OpenedThread
    tasks: Contained
    """Tasks that the thread can go on without."""

    def __init__(self, thread_id: str, opening: Opening, services: Services, supervisor: Supervisor) -> None:
        super().__init__()
        self.thread_id = thread_id
        self.generation = 0
        self.services = services
        self.status: ThreadStatus = IdleStatus()
        self.turn: LiveTurn | None = None
        self.subscribers: dict[Subscriber, None] = {}
        self.questions: dict[int, Question] = {}
        """The open ones, oldest first."""
        self.servers = ThreadServers(self)
        self.membership = Membership(self)
        self.agents = ThreadAgents(self)
        self.tools = ThreadTools(services, self.servers, self.agents)
        self.opening: Opening = opening
        self.cold = True
        """Nobody has joined it since it was loaded."""
        self.supervisor = supervisor
        self.waiting: deque[StartTurn | Compact | Review | RunScript] = deque()
        """What starts a turn, until the one that runs has ended."""
        self._unsettled: list[Callable[[], None]] = []
        self.ending = False
        self.reverting: list[RevertTurns] = []
        """Likewise."""
        self._may_leave = True
        """No subscriber is waited for: none has come yet, or the last has left and the delay is over."""
        self._leave_token = 0
        self._keeping: list[trio.Event] = []
        """What is still to be kept of turns that have ended."""
        self._gone = False

    # -- life

    async def started(self) -> None:
        """Load the thread. What goes wrong is the answer to whoever asked for it."""
        self.tasks = Contained(self.nursery)
        try:
            self.state = await open_thread(self.services, self.thread_id, self.opening)
            await self.servers.open()
        except RpcError:
            raise
        except Exception as error:  # clients have heard nothing of this incarnation, and need not hear of its end
            log.exception("thread %s cannot be loaded", self.thread_id)
            raise internal_error(f"failed to load thread {self.thread_id}: {said(error)}") from error
        self.supervisor.loaded(self.thread_id, self.generation)

    def refusal(self, error: BaseException | None) -> Exception:
        """A thread that could not be loaded says why."""
        return error if isinstance(error, RpcError) else super().refusal(error)

    async def stopped(self) -> None:
        """Let go of the subscribers and, should a turn have been torn down, of the rollout.

        What is kept of its turns is said before clients are told that the thread is closed, or not at all.
        """
        if self.turn is not None:
            self.turn.release()
            self.turn = None
        try:
            self.agents.let_go()
            if hasattr(self, "state"):
                await self._settle()
                await self.state.conversation.close()
                if self.state.turns is not None:
                    self.state.turns.close()
        finally:
            await self._kept()
            self._gone = True
            for subscriber in self.subscribers:
                subscriber.threads.discard(self.thread_id)
                if subscriber.one_thread and subscriber not in self.membership.guests:
                    subscriber.outbox.close()
            self.membership.ended()

    async def _kept(self) -> None:
        if all(kept.is_set() for kept in self._keeping):
            return
        with trio.move_on_after(KEPT) as waiting:
            for kept in self._keeping:
                await kept.wait()
        if waiting.cancelled_caught:
            log.warning("thread %s is closed before the end of a turn is kept: clients are not notified", self.thread_id)

    async def handle(self, message: object) -> None:
        """Deal with one message, then see whether there is a reason to stay.

        What goes wrong is the answer to whoever asked, and logged where it is no refusal; the thread and its turn go on.
        Handlers change memory last, so a failed one leaves it as it was.
        """
        try:
            await self._dispatch(message)
        except Exception as error:
            expected = isinstance(error, RpcError | OSError | RolloutChanged)
            reply: Reply[Any] | None = getattr(message, "reply", None)
            if not (expected and reply is not None):
                log.error("thread %s: %s failed", self.thread_id, type(message).__name__, exc_info=error)
            if reply is not None:
                reply.reject(error if isinstance(error, RpcError) else self._trouble(error, expected))
        self._consider_leaving()

    def _trouble(self, error: Exception, expected: bool) -> RpcError:
        return internal_error(f"thread {self.thread_id}: {said(error)}" if expected else f"internal error: {said(error)}")

    async def _dispatch(self, message: object) -> None:
        match message:
            case Attach():
                await joining.attach(self, message)
            case Detach():
                self._detach(message)
            case StartTurn():
                await queue.start_turn(self, message)
            case Compact():
                queue.start_compaction(self, message)
                message.reply.resolve(None)
            case Review():
                shown = UserMessageItem(id=message.turn_id, content=(TextInput(label(message.target)),))
                queue.start_review(self, message)
                message.reply.resolve(Turn(message.turn_id, items=(shown,)))
            case SteerTurn():
                await queue.steer(self, message)
            case InterruptTurn():
                queue.interrupt(self, message)
            case AskServers():
                self.answer_later(message.reply, partial(self.servers.answer, message))
            case ReadThread():
                await view.read(self, message)
            case TakeSnapshot():
                await view.take_snapshot(self, message)
            case RevertTurns():
                await self._revert(message)
            case RunScript():
                queue.run_script(self, message)
                message.reply.resolve(None)
            case Settle():
                await self._settle()
            case TurnEnded():
                await queue.turn_ended(self)
            case LeaveNow(token=token):
                if token == self._leave_token:
                    self._may_leave = True
                    self._interrupt_unwatched()
            case StopThread():
                self._end()
            case _ if (change := _HANDLERS.get(type(message))) is not None:
                await change(self, message)
            case _:
                raise TypeError(f"a thread does not understand {message!r}")

    def answer_later(self, reply: Reply[Any], work: Callable[[], Awaitable[object]]) -> None:
        """Answer with what `work` returns or raises, beside the thread's messages."""
        self.tasks.start_soon(_answer, reply, work)

    def _end(self) -> None:
        self.ending = True
        if self.turn is not None:
            self.turn.interrupt()
        else:
            self.stop()

    def _consider_leaving(self) -> None:
        wanted = self.subscribers or self.turn is not None or self.waiting or self.membership.held or self.agents.working
        if self._may_leave and not wanted and not self.ending:
            self.supervisor.retire(self.thread_id, self.generation, self.mailbox.seen)

    # -- subscribers

    def emit(self, params: Any) -> None:
        """Send a notification to the subscribers."""
        if self.subscribers and not self._gone:
            event = Event(params)
            for subscriber in self.subscribers:
                if not (subscriber.one_thread and subscriber in self.membership.guests):
                    subscriber.deliver(event)

    def adopt(self, settings: ThreadSettings) -> None:
        """Run with these settings from the next turn on; clients are warned of what they cannot change."""
        before, self.state.settings = self.state.settings.approvals_reviewer, settings
        if settings.approvals_reviewer != before:
            for warning in reviewer_warnings(settings.approvals_reviewer):
                self.emit(WarningNotification(self.thread_id, warning))

    def set_status(self, status: ThreadStatus) -> None:
        """Change the status and tell everybody, subscribed or not."""
        self.status = status
        self._announce(ThreadStatusChangedNotification(self.thread_id, status))

    def _announce(self, params: Any) -> None:
        if not self._gone:
            self.services.audience.announce(params)

    def subscribe(self, subscriber: Subscriber) -> None:
        """Let somebody hear of everything from now on, of what the thread's agents do too."""
        self.membership.guests.discard(subscriber)
        self.subscribers[subscriber] = None
        subscriber.threads.add(self.thread_id)
        self._may_leave = False
        self._leave_token += 1
        self.agents.joined(subscriber)

    def _detach(self, message: Detach) -> None:
        subscriber = message.subscriber
        guest = subscriber in self.membership.guests
        if subscriber not in self.subscribers or (message.guest and not guest):
            message.reply.resolve("notSubscribed")
            return
        message.reply.resolve("unsubscribed")
        self.unsubscribe([subscriber], lost=message.lost)

    def unsubscribe(self, leaving: Iterable[Subscriber], *, lost: bool) -> None:
        """Let them go, `lost` if they have gone without a word. Without any left, the thread may leave."""
        for subscriber in leaving:
            del self.subscribers[subscriber]
            self.membership.guests.discard(subscriber)
            subscriber.threads.discard(self.thread_id)
            self.agents.left(subscriber, lost=lost)
        if self.subscribers:
            return
        if not lost and self.turn is not None and self.state.config.on_unsubscribe == "interrupt":
            self.turn.interrupt()
        delay = self.state.config.thread_unload_delay_secs
        seconds = (LOST_CLIENT_DELAY if lost else 0.0) if delay is None else float(delay)
        self._leave_token += 1
        if seconds <= 0:
            self._may_leave = True
            self._interrupt_unwatched()
        else:
            self.tasks.start_soon(self._leave_later, seconds, self._leave_token)

    def _interrupt_unwatched(self) -> None:
        """Nobody is subscribed any more: end the turn too, if that is what is wanted or nobody is left to answer it."""
        if self.turn is not None and (self.questions or self.state.config.on_unsubscribe == "interrupt"):
            self.turn.interrupt()

    async def _leave_later(self, seconds: float, token: int) -> None:
        await trio.sleep(seconds)
        if token == self._leave_token:
            self.mailbox.post(LeaveNow(token))

    def keep_turn(self, turn: LiveTurn, unread: bool) -> trio.Event | None:
        """The turn is ending: it is there to be read, and has cost something. The event tells when that is kept."""
        if self.state.ephemeral:
            return None
        ended = EndedTurn(self.thread_id, turn.id, turn.tokens, turn.duration_ms, unread, self.emit, self._announce)
        kept = self.supervisor.turn_ended(ended)
        self._keeping = [each for each in self._keeping if not each.is_set()] + [kept]
        return kept

    def settle(self, finish: Callable[[], None]) -> None:
        """Call `finish` as soon as the rollout is open for what it records, at the latest when the thread ends."""
        self._unsettled.append(finish)
        self.mailbox.post(Settle())

    async def _settle(self) -> None:
        unsettled, self._unsettled = self._unsettled, []

        def finished() -> Sequence[Entry]:
            for finish in unsettled:
                finish()
            return ()

        if unsettled:
            try:
                await save(self, finished)
            except RpcError as error:
                log.error("thread %s: %s", self.thread_id, error.message)

    # -- questions

    async def ask(self, params: Any, waiting_on: ThreadActiveFlag | None) -> object:
        """Put a question to every subscriber, now or to come; returns the first answer. Raises RpcError if it is an error.

        A thread that nobody is going to subscribe to has its turn interrupted instead.
        """
        questions = self.services.questions
        question = questions.put(self.thread_id, params, waiting_on)
        self.questions[question.id] = question
        self._show_waiting()
        try:
            for subscriber in self.subscribers:
                subscriber.outbox.put(question)
            if self._may_leave and not self.subscribers:
                self._interrupt_unwatched()
            return await question.wait()
        finally:
            questions.close(question)
            del self.questions[question.id]
            self.emit(ServerRequestResolvedNotification(self.thread_id, question.id))
            self._show_waiting()

    def _show_waiting(self) -> None:
        """Bring the status in line with the open questions."""
        flags: list[ThreadActiveFlag] = [q.waiting_on for q in self.questions.values() if q.waiting_on is not None]
        flags = list(dict.fromkeys(flags))
        if isinstance(self.status, ActiveStatus) and list(self.status.active_flags) != flags:
            self.set_status(ActiveStatus(tuple(flags)))

    # -- taking back

    async def _revert(self, message: RevertTurns) -> None:
        if self.turn is not None:
            queue.revert_when_ended(self, message)
            return
        last = await revert(self, message.before_turn_id)
        where, _ = await view.kept(self)
        message.reply.resolve((where.show(view.describe(self)), last))
        self.services.audience.announce(ThreadRevertedNotification(self.thread_id))


async def _answer(reply: Reply[Any], work: Callable[[], Awaitable[object]]) -> None:
    try:
        reply.resolve(await work())
    except Exception as error:  # the connection logs what is no RpcError
        reply.reject(error)
    finally:
        reply.reject(internal_error("the thread has just ended"))  # cancelled, if it is not answered yet
