"""How a subscriber comes to a thread: what it is answered, and what it is told right after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from spindle.actors.delivery.events import Event
from spindle.actors.delivery.long_answers import Streamed
from spindle.actors.delivery.snapshot import Snapshot
from spindle.actors.delivery.subscribers import Subscriber
from spindle.actors.settings.config_notes import warning_of
from spindle.actors.thread import view
from spindle.actors.thread.loading.loading import FromFork
from spindle.actors.thread.messages import Attach
from spindle.actors.thread.usage import token_usage
from spindle.rpc.protocol.errors import invalid_request
from spindle.rpc.protocol.goals import ThreadGoalUpdatedNotification
from spindle.rpc.protocol.threads import IdleStatus, ThreadResumeParams, ThreadStartedNotification
from spindle.rpc.protocol.turns import WarningNotification

if TYPE_CHECKING:
    from spindle.actors.thread.actor import ThreadActor


async def attach(thread: ThreadActor, message: Attach) -> None:
    """Subscribe whoever asks, and answer with the thread. Raises RpcError where it cannot be joined like that."""
    params = message.params
    cold, thread.cold = thread.cold and params is not None, False
    if params is not None and not cold:
        _check_rejoin(thread, params, message.in_process)
    elif params is not None and params.history is None:
        thread.set_status(IdleStatus())
    if params is not None and params.history is None:
        await _attach_resumed(thread, message, params)
    else:
        await _attach_started(thread, message)
    for question in thread.questions.values():
        message.subscriber.outbox.put(question)
    thread.servers.announce()
    _warn(thread)


def _warn(thread: ThreadActor) -> None:
    """Tell the thread's first subscriber what is wrong with the settings, configured or recorded, and the hooks."""
    hooks = thread.state.hooks
    warnings = [*thread.state.warnings, *hooks.warnings]
    for note in thread.state.notes:
        thread.emit(warning_of(note))
    thread.state.warnings, thread.state.notes = (), ()
    thread.state.hooks = evolve(hooks, warnings=()) if hooks.warnings else hooks
    for warning in warnings:
        thread.emit(WarningNotification(thread.thread_id, warning))


async def _attach_started(thread: ThreadActor, message: Attach) -> None:
    """The thread is new: it begins here, as a fork, or with a history that the client gave."""
    fork = thread.opening.params if isinstance(thread.opening, FromFork) else None
    if fork is not None and not fork.exclude_turns:
        await _attach_forked(thread, message)
        return
    _admit(thread, message.subscriber)
    shown = view.describe(thread)
    message.reply.resolve(view.started(thread, shown))
    if fork is not None:
        _tell_usage(thread, message.subscriber, None)
    if message.params is None:
        thread.services.audience.announce(ThreadStartedNotification(shown))


async def _attach_forked(thread: ThreadActor, message: Attach) -> None:
    """With the turns that it has taken over."""
    snapshot = await thread.state.conversation.snapshot(None, whole=True)
    handed_on = False
    try:
        turns = [] if message.streamed else await view.built(snapshot)
        _admit(thread, message.subscriber)
        shown = view.describe(thread, turns)
        answer, started = view.started(thread, shown), ThreadStartedNotification(shown)
        message.reply.resolve(Streamed(answer, snapshot) if message.streamed else answer)
        handed_on = message.streamed
    finally:
        if not handed_on:
            snapshot.close()
    _tell_usage(thread, message.subscriber, snapshot.ids[-1] if snapshot.ids else None)
    if message.streamed:
        thread.services.audience.announce_with_turns(started, snapshot)
    else:
        thread.services.audience.announce(started)


async def _attach_resumed(thread: ThreadActor, message: Attach, params: ThreadResumeParams) -> None:
    """The turns go out while the answer is written, unless the client does without or shares this process."""
    where, goal = await view.kept(thread)
    snapshot = _turns_as_opened(thread) or await view.turns_now(thread, whole=not params.exclude_turns)
    handed_on = False
    try:
        page = await view.first_page(thread, params, snapshot)
        streamed = message.streamed and not params.exclude_turns
        turns = [] if streamed or params.exclude_turns else await view.built(snapshot)
        _admit(thread, message.subscriber)
        answer = view.resumed(thread, where.show(view.describe(thread, turns)), snapshot, page)
        message.reply.resolve(Streamed(answer, snapshot) if streamed else answer)
        handed_on = streamed
    finally:
        if not handed_on:
            snapshot.close()
    _tell_usage(thread, message.subscriber, snapshot.ids[-1] if snapshot.ids else None)
    if goal is not None:
        message.subscriber.deliver(Event(ThreadGoalUpdatedNotification(thread_id=thread.thread_id, goal=goal.goal)))


def _turns_as_opened(thread: ThreadActor) -> Snapshot | None:
    """The turns that came with opening the rollout, for the first who asks, if nothing has been added to them."""
    turns, thread.state.turns = thread.state.turns, None
    if turns is not None and thread.turn is not None:
        turns.close()
        return None
    return turns


def _admit(thread: ThreadActor, subscriber: Subscriber) -> None:
    if subscriber.outbox.closed:
        raise invalid_request("the client has gone away")
    thread.subscribe(subscriber)


def _tell_usage(thread: ThreadActor, subscriber: Subscriber, turn_id: str | None) -> None:
    conversation = thread.state.conversation
    if (usage := conversation.usage) is not None:
        subscriber.deliver(Event(token_usage(thread.thread_id, turn_id or conversation.usage_turn or "", usage)))


def _check_rejoin(thread: ThreadActor, params: ThreadResumeParams, in_process: bool) -> None:
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
