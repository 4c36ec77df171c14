"""How clients and parents join a thread and leave it: what each is answered, and what it is notified of right after."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import trio
from attrs import evolve

from spindle.actors.delivery.events import Event
from spindle.actors.delivery.long_answers import Streamed
from spindle.actors.delivery.snapshot import Snapshot
from spindle.actors.delivery.subscribers import Subscriber
from spindle.actors.settings.warnings import warning_of
from spindle.actors.thread import view
from spindle.actors.thread.agents.child import Membership
from spindle.actors.thread.agents.parent import ThreadAgents
from spindle.actors.thread.core import ThreadCore
from spindle.actors.thread.life import ThreadEffect, ThreadEvent, ThreadState
from spindle.actors.thread.loading.openings import FromFork
from spindle.actors.thread.messages import Attach, Detach, Hold, LeaveNow, Release, Welcome
from spindle.actors.thread.servers import ThreadServers
from spindle.actors.thread.turns.queue import TurnQueue
from spindle.actors.thread.usage import token_usage
from spindle.rpc.protocol.config import DeprecationNoticeNotification
from spindle.rpc.protocol.errors import invalid_request
from spindle.rpc.protocol.goals import ThreadGoalUpdatedNotification
from spindle.rpc.protocol.threads import IdleStatus, ThreadResumeParams, ThreadStartedNotification
from spindle.rpc.protocol.turns import WarningNotification

LOST_CLIENT_DELAY = 60.0
"""Seconds a thread waits for a client whose connection was lost, unless `thread_unload_delay_secs` is set."""


class Joining:
    """The joining and leaving of one thread."""

    def __init__(
        self,
        thread: ThreadCore,
        membership: Membership,
        agents: ThreadAgents,
        servers: ThreadServers,
        turns: TurnQueue,
    ) -> None:
        self._thread = thread
        self._membership = membership
        self._agents = agents
        self._servers = servers
        self._turns = turns

    # -- clients

    async def attach(self, message: Attach) -> None:
        """Subscribe the caller, and answer with the thread. Raises RpcError for parameters that do not fit a loaded thread."""
        thread, params = self._thread, message.params
        first = self._join()
        if params is not None and not first:
            _check_rejoin(thread, params, message.in_process)
        elif params is not None and params.history is None:
            thread.set_status(IdleStatus())
        try:
            if params is not None and params.history is None:
                await self._turns.recall()
                await self._resumed(message, params)
            else:
                await self._started(message)
        finally:
            self._turns.go_on()
        for question in thread.questions.values():
            message.subscriber.outbox.put(question)
        self._servers.announce()
        _warn(thread)

    def detach(self, message: Detach) -> None:
        """Unsubscribe the caller."""
        thread, subscriber = self._thread, message.subscriber
        if subscriber not in thread.subscribers or (message.guest and subscriber not in thread.guests):
            message.reply.resolve("notSubscribed")
            return
        message.reply.resolve("unsubscribed")
        self._unsubscribe([subscriber], lost=message.lost)

    def delay_over(self, message: LeaveNow) -> None:
        """The delay that was set when the last subscriber left has passed."""
        if message.delay == self._thread.life.delay:
            self._on(ThreadEvent.DELAY_OVER)

    # -- parents

    def hold(self, message: Hold) -> None:
        """Become an agent. A guest that is subscribed already stays so in its own right."""
        thread, first = self._thread, self._join()
        self._membership.join(message.family, message.member)
        thread.state.settings = evolve(thread.state.settings, **message.bounds)
        if first:
            thread.set_status(IdleStatus())
        for guest in message.guests:
            self._welcome(guest)
        message.reply.resolve(None)

    def welcome(self, message: Welcome) -> None:
        """Subscribe one more guest."""
        self._welcome(message.guest)
        message.reply.resolve(None)

    def release(self, message: Release) -> None:
        """Be no agent any more: the thread leaves when it has no subscriber and no turn."""
        self._membership.part()
        self._unsubscribe(tuple(self._thread.guests), lost=False)
        message.reply.resolve(None)

    def _welcome(self, guest: Subscriber) -> None:
        thread = self._thread
        if guest in thread.subscribers or guest.outbox.closed:
            return
        self._subscribe(guest)
        thread.guests.add(guest)
        for question in thread.questions.values():
            guest.outbox.put(question)

    # -- subscribers

    def _join(self) -> bool:
        """Returns whether this is the first to join since the thread was loaded."""
        first = self._thread.life.state is ThreadState.COLD
        self._on(ThreadEvent.JOIN)
        return first

    def _admit(self, subscriber: Subscriber) -> None:
        if subscriber.outbox.closed:
            raise invalid_request("the client has gone away")
        self._subscribe(subscriber)

    def _subscribe(self, subscriber: Subscriber) -> None:
        """Send it all notifications from now on, and the questions of the thread's agents."""
        thread = self._thread
        thread.guests.discard(subscriber)
        thread.subscribers[subscriber] = None
        subscriber.threads.add(thread.thread_id)
        self._on(ThreadEvent.SUBSCRIBE)
        self._agents.joined(subscriber)

    def _unsubscribe(self, leaving: Iterable[Subscriber], *, lost: bool) -> None:
        """Remove subscribers; `lost` if their connection broke. Without any left, the thread may leave."""
        thread = self._thread
        for subscriber in leaving:
            del thread.subscribers[subscriber]
            thread.guests.discard(subscriber)
            subscriber.threads.discard(thread.thread_id)
            self._agents.left(subscriber, lost=lost)
        if thread.subscribers:
            return
        thread.lost = lost and self._membership.parent_id is None  # an agent's parent waits for the end of its turn
        config = thread.state.config
        if not lost and thread.turn is not None and config.on_unsubscribe == "interrupt":
            thread.turn.interrupt()
        delay = config.thread_unload_delay_secs
        seconds = (LOST_CLIENT_DELAY if lost else 0.0) if delay is None else float(delay)
        self._on(ThreadEvent.EMPTY if seconds <= 0 else ThreadEvent.EMPTY_FOR_NOW, seconds)

    def _on(self, event: ThreadEvent, seconds: float = 0.0) -> None:
        """`seconds` is the delay, if the event starts one."""
        thread = self._thread
        for effect in thread.life.on(event):
            match effect:
                case ThreadEffect.INTERRUPT:
                    thread.interrupt_unwatched()
                case ThreadEffect.DELAY:
                    thread.tasks.start_soon(self._leave_later, seconds, thread.life.delay)
                case _:
                    raise AssertionError(effect)

    async def _leave_later(self, seconds: float, delay: int) -> None:
        await trio.sleep(seconds)
        if delay == self._thread.life.delay:
            self._thread.mailbox.post(LeaveNow(delay))

    # -- answers

    async def _started(self, message: Attach) -> None:
        """Answer for a new thread: a started one, a fork, or one with a history that the client sent."""
        thread = self._thread
        fork = thread.opening.params if isinstance(thread.opening, FromFork) else None
        if fork is not None and not fork.exclude_turns:
            await self._forked(message)
            return
        self._admit(message.subscriber)
        shown = view.describe(thread)
        message.reply.resolve(view.started(thread, shown))
        if fork is not None:
            _emit_usage(thread, message.subscriber, None)
        if message.params is None:
            thread.services.audience.announce(ThreadStartedNotification(shown))

    async def _forked(self, message: Attach) -> None:
        """Answer for a fork, with the turns of its source."""
        thread = self._thread
        snapshot = await thread.state.conversation.snapshot(None, whole=True)
        handed_on = False
        try:
            turns = [] if message.streamed else await view.built(snapshot)
            self._admit(message.subscriber)
            shown = view.describe(thread, turns)
            answer, started = view.started(thread, shown), ThreadStartedNotification(shown)
            message.reply.resolve(Streamed(answer, snapshot) if message.streamed else answer)
            handed_on = message.streamed
        finally:
            if not handed_on:
                snapshot.close()
        _emit_usage(thread, message.subscriber, snapshot.ids)
        if message.streamed:
            thread.services.audience.announce_with_turns(started, snapshot)
        else:
            thread.services.audience.announce(started)

    async def _resumed(self, message: Attach, params: ThreadResumeParams) -> None:
        """The turns are read while the answer is written, except for a client without turns or in this process."""
        thread = self._thread
        where, goal = await view.kept(thread)
        snapshot = _turns_as_opened(thread) or await view.turns_now(thread, whole=not params.exclude_turns)
        handed_on = False
        try:
            page = await view.first_page(thread, params, snapshot)
            streamed = message.streamed and not params.exclude_turns
            turns = [] if streamed or params.exclude_turns else await view.built(snapshot)
            self._admit(message.subscriber)
            answer = view.resumed(thread, where.show(view.describe(thread, turns)), snapshot, page)
            message.reply.resolve(Streamed(answer, snapshot) if streamed else answer)
            handed_on = streamed
        finally:
            if not handed_on:
                snapshot.close()
        _emit_usage(thread, message.subscriber, snapshot.ids)
        if goal is not None:
            message.subscriber.deliver(Event(ThreadGoalUpdatedNotification(thread_id=thread.thread_id, goal=goal.goal)))


def _warn(thread: ThreadCore) -> None:
    """Warn the thread's first subscriber of what is wrong with the settings, configured or recorded, and with the hooks."""
    hooks = thread.state.hooks
    warnings = [*thread.state.warnings, *hooks.warnings]
    for note in thread.state.notes:
        thread.emit(warning_of(note))
    for deprecation in thread.state.deprecations:
        thread.emit(DeprecationNoticeNotification(deprecation.summary, deprecation.details))
    thread.state.warnings, thread.state.notes, thread.state.deprecations = (), (), ()
    thread.state.hooks = evolve(hooks, warnings=()) if hooks.warnings else hooks
    for warning in warnings:
        thread.emit(WarningNotification(thread.thread_id, warning))


def _turns_as_opened(thread: ThreadCore) -> Snapshot | None:
    """The turns that came with opening the rollout, for the first caller, if nothing has been added to them."""
    turns, thread.state.turns = thread.state.turns, None
    if turns is not None and thread.turn is not None:
        turns.close()
        return None
    return turns


def _emit_usage(thread: ThreadCore, subscriber: Subscriber, turn_ids: Sequence[str] | None) -> None:
    conversation = thread.state.conversation
    if (usage := conversation.usage) is not None:
        turn_id = turn_ids[-1] if turn_ids else conversation.usage_turn
        subscriber.deliver(Event(token_usage(thread.thread_id, turn_id or "", usage)))


def _check_rejoin(thread: ThreadCore, params: ThreadResumeParams, in_process: bool) -> None:
    if params.history is not None:
        raise invalid_request(f"cannot resume thread {thread.thread_id} with history while it is already running")
    own = thread.state.conversation.path
    if params.path is not None and params.path != str(own):
        raise invalid_request(
            f"cannot resume running thread {thread.thread_id} with mismatched path: requested `{params.path}`, active `{own}`"
        )
    on_disk = thread.state.ephemeral or thread.state.conversation.stored or thread.turn is not None
    if not on_disk and not in_process:
        raise invalid_request(f"no rollout found for thread id {thread.thread_id}")
