"""The thread's actor: its mailbox, the handler of each message, and its end.

Messages are handled one at a time. The turn runs concurrently, in the actor's nursery, and changes shared state only between
two awaits. A thread never returns by itself: see `life`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from spindle.actors.kernel.actor import Actor
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.services.services import Services
from spindle.actors.tasks.boundary import Contained
from spindle.actors.tasks.faults import message_of
from spindle.actors.tasks.log_ids import log_as
from spindle.actors.thread import changes, messages, view
from spindle.actors.thread.core import ThreadCore
from spindle.actors.thread.life import LEAVES, ThreadEffect, ThreadEvent, ThreadState
from spindle.actors.thread.loading.loading import open_thread
from spindle.actors.thread.loading.openings import FromRollout, Opening
from spindle.actors.thread.messages import StopThread
from spindle.actors.thread.parts import Parts
from spindle.actors.thread.revert import revert_turns
from spindle.actors.thread.supervisor import Supervisor
from spindle.rpc.protocol.errors import RpcError, internal_error
from spindle.storage.rollout.source import RolloutChanged

log = logging.getLogger("spindle")


class ThreadActor(Actor):
    """One incarnation of a thread."""

    def __init__(self, thread_id: str, opening: Opening, services: Services, supervisor: Supervisor) -> None:
        super().__init__()
        self.thread_id = thread_id
        self.generation = 0
        self._leaves = False
        self.core = ThreadCore(thread_id, opening, services, supervisor, self.mailbox)
        self.parts = Parts(self.core)

    # -- the beginning

    async def started(self) -> None:
        """Load the thread. An error is the answer to the request that loads it."""
        core = self.core
        log_as(self.thread_id)
        core.tasks = Contained(self.nursery)
        try:
            core.state = await open_thread(core.services, self.thread_id, core.opening)
            await core.services.begin_telemetry(core.state.config)
            await self.on(ThreadEvent.LOAD)
            await self.parts.servers.open()
            await self._load_queue()
        except RpcError:
            raise
        except Exception as error:  # no client has been notified of this incarnation, and none needs to be of its end
            log.exception("thread %s cannot be loaded", self.thread_id)
            raise internal_error(f"failed to load thread {self.thread_id}: {message_of(error)}") from error
        if instruments := core.services.instruments:
            from spindle.actors.thread.watched import thread_info

            core.instruments = instruments
            core.info = info = thread_info(self.thread_id, core.state)
            instruments.each(lambda instrument: instrument.thread_loaded(info))
        core.supervisor.loaded(self.thread_id, self.generation)

    async def _load_queue(self) -> None:
        core, id = self.core, self.thread_id
        if isinstance(core.opening, FromRollout):
            from spindle.storage.state.database import has_queue

            if await core.services.state.read_or(lambda db: has_queue(db, id), False):
                await self.parts.submissions.load()

    def refusal(self, error: BaseException | None) -> Exception:
        """A thread that could not be loaded says why."""
        return error if isinstance(error, RpcError) else super().refusal(error)

    # -- messages

    async def handle(self, message: object) -> None:
        """Handle one message, then see whether the thread is still needed.

        An error is the answer to the caller, and logged if it is not an expected one; the thread and its turn continue.
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
        parts, core = self.parts, self.core
        if parts.queue is not None and parts.queue.due:
            await parts.queue.go_on()
        if core.life.state in LEAVES and not (
            core.turn is not None or parts.turns.waiting or parts.membership.kept_loaded or parts.agents.working
        ):
            await self.on(ThreadEvent.UNUSED)

    def _trouble(self, error: Exception, expected: bool) -> RpcError:
        where = f"thread {self.thread_id}" if expected else "internal error"
        return internal_error(f"{where}: {message_of(error)}")

    async def _dispatch(self, message: object) -> None:
        handler = _HANDLERS.get(type(message))
        if handler is None:
            raise TypeError(f"no handler for the message {message!r}")
        waiting = handler(self, message)
        if waiting is not None:
            await waiting

    async def told_to_stop(self, message: StopThread) -> None:
        """The registry ends the thread."""
        self._leaves = message.leaves
        await self.on(ThreadEvent.STOP)

    async def turn_ended(self) -> None:
        """The turn's record is closed, or it was suspended. If clients have come back meanwhile, it goes on at once."""
        turn = self.core.turn
        suspended = turn is not None and turn.result is None  # else it has ended, with a result
        self.parts.turns.ended()
        if turn is not None and not suspended and self.parts.queue is not None:
            await self.parts.queue.ended(turn)
        if suspended and self.core.life.state is ThreadState.SUBSCRIBED:
            await self.parts.turns.recall()
            self.parts.turns.go_on()
        if not suspended or self.core.turn is None:
            await self.on(ThreadEvent.TURN_ENDED)

    async def on(self, event: ThreadEvent) -> None:
        """Change the state of the thread's life and carry out the effects."""
        core, turns = self.core, self.parts.turns
        for effect in core.life.on(event):
            match effect:
                case ThreadEffect.RETIRE:
                    core.supervisor.retire(self.thread_id, self.generation, self.mailbox.seen)
                case ThreadEffect.END if core.turn is not None and self._leaves:
                    core.turn.leave()
                case ThreadEffect.END if core.turn is not None:
                    core.turn.interrupt()
                case ThreadEffect.END:
                    self.stop()
                case ThreadEffect.NEXT:
                    for request in turns.due():
                        await self.handle(request)
                case ThreadEffect.REFUSE:
                    turns.refuse()
                case _:
                    raise AssertionError(effect)

    # -- the end

    async def stopped(self) -> None:
        """Release the subscribers and, if a turn was cancelled with the actor, the rollout.

        Clients are notified of what is kept of the thread's turns before they are notified of its end, or not at all.
        """
        core, parts = self.core, self.parts
        if core.turn is not None:
            core.turn.release()
            core.turn = None
        try:
            parts.agents.let_go()
            if (state := core.loaded) is not None:
                await parts.recording.settled()
                await state.conversation.close()
                if state.turns is not None:
                    state.turns.close()
        finally:
            await parts.recording.kept()
            await self.on(ThreadEvent.RELEASE)
            for subscriber in core.subscribers:
                subscriber.threads.discard(self.thread_id)
                if subscriber.one_thread and subscriber not in core.guests:
                    subscriber.outbox.close()
            parts.membership.ended()
            await parts.tools.let_go()
            if (info := core.info) is not None:
                core.instruments.each(lambda instrument: instrument.thread_closed(info), last_first=True)


def _prepare_sample(core: ThreadCore, message: messages.PrepareSample) -> Awaitable[None]:
    from spindle.actors.thread.sample import prepare_sample  # few clients ask for one

    return prepare_sample(core, message)


_Handler = Callable[[ThreadActor, Any], Awaitable[None] | None]

_HANDLERS: Mapping[type, _Handler] = {
    messages.Attach: lambda thread, message: thread.parts.joining.attach(message),
    messages.Detach: lambda thread, message: thread.parts.joining.detach(message),
    messages.LeaveNow: lambda thread, message: thread.parts.joining.delay_over(message),
    messages.Hold: lambda thread, message: thread.parts.joining.hold(message),
    messages.Welcome: lambda thread, message: thread.parts.joining.welcome(message),
    messages.Release: lambda thread, message: thread.parts.joining.release(message),
    messages.AgentRests: lambda thread, message: thread.parts.agents.rests(message),
    messages.StartTurn: lambda thread, message: thread.parts.turns.start_turn(message),
    messages.SteerTurn: lambda thread, message: thread.parts.turns.steer(message),
    messages.InterruptTurn: lambda thread, message: thread.parts.turns.interrupt(message),
    messages.Compact: lambda thread, message: thread.parts.turns.start_compaction(message),
    messages.Review: lambda thread, message: thread.parts.turns.start_review(message),
    messages.RunScript: lambda thread, message: thread.parts.turns.run_script(message),
    messages.RevertTurns: lambda thread, message: revert_turns(thread.core, thread.parts.turns, message),
    messages.AskServers: lambda thread, message: thread.parts.servers.answer(message),
    messages.ReadThread: lambda thread, message: view.read(thread.core, message),
    messages.TakeSnapshot: lambda thread, message: view.take_snapshot(thread.core, message),
    messages.SetName: lambda thread, message: changes.set_name(thread.core, message),
    messages.UpdateMetadata: lambda thread, message: changes.update_metadata(thread.core, message),
    messages.SetMemoryMode: lambda thread, message: changes.set_memory_mode(thread.core, message),
    messages.RollBack: lambda thread, message: changes.roll_back(thread.core, message),
    messages.InjectItems: lambda thread, message: changes.inject_items(thread.core, thread.parts.tools, message),
    messages.UpdateSettings: lambda thread, message: changes.update_settings(thread.core, message),
    messages.CountElicitation: lambda thread, message: changes.count_elicitation(thread.core, message),
    messages.ListTerminals: lambda thread, message: thread.parts.tools.list_terminals(message),
    messages.EndTerminal: lambda thread, message: thread.parts.tools.end_terminal(message),
    messages.EndTerminals: lambda thread, message: thread.parts.tools.end_terminals(message),
    messages.ReadQueue: lambda thread, message: thread.parts.submissions.read(message),
    messages.ChangeQueue: lambda thread, message: thread.parts.submissions.change(message),
    messages.StartQueued: lambda thread, message: thread.parts.submissions.start(message),
    messages.PrepareSample: lambda thread, message: _prepare_sample(thread.core, message),
    messages.Settle: lambda thread, _: thread.parts.recording.settled(),
    messages.TurnEnded: lambda thread, _: thread.turn_ended(),
    messages.StopThread: lambda thread, message: thread.told_to_stop(message),
}
"""By the type of message. What a handler returns is awaited."""
