"""What all parts of a thread use: its state, its status, its subscribers, and the questions to them. It knows no part."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from spindle.actors.delivery.events import Event
from spindle.actors.delivery.questions import Question
from spindle.actors.delivery.subscribers import Subscriber
from spindle.actors.kernel.mailbox import Mailbox, Reply
from spindle.actors.services.instruments import NONE, Instruments, ThreadInfo
from spindle.actors.services.services import Services
from spindle.actors.settings.settings import Settings
from spindle.actors.tasks.boundary import Tasks
from spindle.actors.thread.life import LEAVES, Life, ThreadState
from spindle.actors.thread.loading.openings import Opening
from spindle.actors.thread.state import OpenedThread
from spindle.actors.thread.supervisor import Supervisor
from spindle.actors.thread.turns.live import LiveTurn
from spindle.rpc.protocol.errors import internal_error
from spindle.rpc.protocol.threads import (
    ActiveStatus,
    IdleStatus,
    ServerRequestResolvedNotification,
    ThreadActiveFlag,
    ThreadStatus,
    ThreadStatusChangedNotification,
)

if TYPE_CHECKING:
    from spindle.rpc.protocol.notifications import ThreadNotification


class ThreadCore:
    """The core of one incarnation of a thread. `mailbox` is its actor's."""

    state: OpenedThread
    """Set when the thread is loaded."""
    tasks: Tasks
    """Tasks that run concurrently with the thread's messages and end with it. Set when the actor starts."""

    def __init__(
        self, thread_id: str, opening: Opening, services: Services, supervisor: Supervisor, mailbox: Mailbox
    ) -> None:
        self.thread_id = thread_id
        self.opening = opening
        """How it came into memory."""
        self.services = services
        self.supervisor = supervisor
        self.mailbox = mailbox
        self.life = Life()
        self.status: ThreadStatus = IdleStatus()
        self.turn: LiveTurn | None = None
        """The running turn."""
        self.subscribers: dict[Subscriber, None] = {}
        self.guests: set[Subscriber] = set()
        """Subscribers that came with the parent's subscriptions and leave with them."""
        self.lost = False
        """Whether the last subscriber that left did not say so: its connection was lost."""
        self.questions: dict[int, Question] = {}
        """The open ones, oldest first."""
        self.info: ThreadInfo | None = None
        """The thread as instruments see it; None if it is not loaded, or there are none."""
        self.instruments: Instruments = NONE
        """Those of the runtime when the thread was loaded."""

    @property
    def loaded(self) -> OpenedThread | None:
        """The state; None before the thread is loaded."""
        return getattr(self, "state", None)

    # -- notifications

    def emit(self, params: ThreadNotification) -> None:
        """Send a notification to the subscribers."""
        if self.subscribers and self.life.state is not ThreadState.ENDED:
            event = Event(params)
            for subscriber in self.subscribers:
                if not (subscriber.one_thread and subscriber in self.guests):
                    subscriber.deliver(event)

    def announce(self, params: Any) -> None:
        """Send a notification to all clients, subscribed or not."""
        if self.life.state is not ThreadState.ENDED:
            self.services.audience.announce(params)

    def set_status(self, status: ThreadStatus) -> None:
        """Change the status and notify all clients."""
        self.status = status
        self.announce(ThreadStatusChangedNotification(self.thread_id, status))

    def adopt(self, settings: Settings) -> None:
        """Use these settings from the next turn on."""
        self.state.settings = settings

    # -- answers and questions

    def answer_later(self, reply: Reply[Any], work: Callable[[], Awaitable[object]]) -> None:
        """Answer with what `work` returns or raises. It runs concurrently with the thread's messages."""
        self.tasks.start_soon(_answer, reply, work)

    async def ask(
        self,
        params: Any,
        waiting_on: ThreadActiveFlag | None,
        about: object = None,
        *,
        repeats: str | None = None,
    ) -> object:
        """Put a question to all subscribers, also to those that come later; returns the first answer. See `Question`.

        Where no subscriber is left or waited for, the turn ends. Raises RpcError for an answer that is an error. `repeats` is
        that of `ToolHost.ask`.
        """
        waiting = None if self.turn is None else self.turn.waiting
        if waiting is None:
            return await self._ask(params, waiting_on, about)
        async with waiting.question(repeats):
            return await self._ask(params, waiting_on, about)

    async def _ask(self, params: Any, waiting_on: ThreadActiveFlag | None, about: object) -> object:
        questions = self.services.questions
        question = questions.put(self.thread_id, params, waiting_on, about)
        self.questions[question.id] = question
        self._show_waiting()
        try:
            for subscriber in self.subscribers:
                subscriber.outbox.put(question)
            if self.life.state in LEAVES:
                self.interrupt_unwatched()
            if not self.instruments:
                return await question.wait()
            from spindle.actors.thread.watched import watched_question

            with watched_question(self.instruments, question):
                return await question.wait()
        finally:
            questions.close(question)
            del self.questions[question.id]
            if self.turn is None or not self.turn.suspended:  # else it is not resolved: it will be asked again
                self.emit(ServerRequestResolvedNotification(self.thread_id, question.id))
                self._show_waiting()

    def interrupt_unwatched(self) -> None:
        """Interrupt a turn that `on_unsubscribe` has end with its subscribers; end one that waits for an answer.

        If the connection of the last client was lost, what waits for an answer goes on when the thread is next loaded.
        """
        if self.turn is None:
            return
        if self.state.config.on_unsubscribe == "interrupt":
            self.turn.interrupt()
        elif self.questions and self.lost:
            self.turn.leave()
        elif self.questions:
            self.turn.interrupt()

    def _show_waiting(self) -> None:
        """Bring the status in line with the open questions."""
        flags: list[ThreadActiveFlag] = [q.waiting_on for q in self.questions.values() if q.waiting_on is not None]
        flags = list(dict.fromkeys(flags))
        if isinstance(self.status, ActiveStatus) and list(self.status.active_flags) != flags:
            self.set_status(ActiveStatus(tuple(flags)))


async def _answer(reply: Reply[Any], work: Callable[[], Awaitable[object]]) -> None:
    try:
        reply.resolve(await work())
    except Exception as error:  # the connection logs what is not an RpcError
        reply.reject(error)
    finally:
        reply.reject(internal_error("the thread has just ended"))  # cancelled, if it is not answered yet
