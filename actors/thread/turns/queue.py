"""The turns of a thread, one after the other: how they start, take input, are interrupted, and make way for the next."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import trio
from attrs import evolve
from uuid_utils import uuid7

from spindle.actors.kernel.mailbox import Ask
from spindle.actors.settings.allowed import check
from spindle.actors.settings.reading import readable_files
from spindle.actors.settings.requests import changed
from spindle.actors.settings.settings import ThreadSettings
from spindle.actors.thread.messages import Compact, InterruptTurn, RevertTurns, Review, RunScript, StartTurn, SteerTurn
from spindle.actors.thread.reading import session_grants
from spindle.actors.thread.turns.live import LiveTurn
from spindle.actors.thread.turns.task import TurnTask
from spindle.actors.thread.turns.watch import TurnWatch
from spindle.actors.tools.commands.shell_tools import UsersCommand
from spindle.actors.turn.host import Said
from spindle.actors.turn.user_input import to_response_item
from spindle.rpc.protocol.errors import ThreadNotFound, invalid_request, overloaded
from spindle.rpc.protocol.items import SkillInput, TextInput, UserInput
from spindle.rpc.protocol.turns import Turn, TurnError, TurnStartParams
from spindle.rpc.weighing import weigh

if TYPE_CHECKING:
    from spindle.actors.thread.actor import ThreadActor

WAITING = 64
"""Requests of one kind that wait for a turn to end; more are refused as overload."""
UNSAID = 256
"""Inputs that a turn has still to say."""
UNSAID_WEIGHT = 32 * 1024 * 1024
"""Bytes of them, beside the last."""

OTHER_BOUNDS = "the agent is at work, and what it may do is not what you may do now: wait for it, or interrupt it"


async def start_turn(thread: ThreadActor, message: StartTurn) -> None:
    """Start a turn, or join the one that runs; behind one that takes no input any more it waits.

    What it sets holds for the turns that follow, also where it joins one. A caller that has withdrawn starts nothing.
    Raises RpcError where that one may do something else than the asking thread, and for settings that cannot be or are not
    allowed.
    """
    state = thread.state
    settings = changed(evolve(state.settings, **message.bounds), message.params, state.config, thread.services.cwd)
    check(settings, state.config.requirements)
    said = None
    if thread.turn is None or thread.turn.joinable:
        said = await _said(thread, message.params.input, settings)
    if withdrawn(message):
        message.reply.reject(invalid_request("the turn has been withdrawn"))
    elif said is None or (thread.turn is not None and not thread.turn.joinable):
        _wait(thread, message)  # it is writing its last lines; the next one starts right after
    elif thread.turn is not None:
        if any(getattr(thread.turn.settings, name) != value for name, value in message.bounds.items()):
            raise invalid_request(OTHER_BOUNDS)
        _join(thread.turn, said)
        thread.adopt(settings)
        _watch(thread, thread.turn, message.watch)
        message.reply.resolve(Turn(thread.turn.id))
    else:
        thread.adopt(settings)
        turn = _begin(thread, str(uuid7()), message.params, said)
        _watch(thread, turn, message.watch)
        message.reply.resolve(Turn(turn.id))


def start_compaction(thread: ThreadActor, message: Compact) -> None:
    """In a turn of its own, when no other runs, unless the caller has withdrawn by then."""
    if withdrawn(message):
        return
    if thread.turn is None:
        params = TurnStartParams(thread_id=thread.thread_id, input=())
        _watch(thread, _begin(thread, message.turn_id, params, None), message.watch)
    else:
        _wait(thread, message)
        if message.watch is not None:
            message.watch.reply.track(thread.mailbox.replies)


def start_review(thread: ThreadActor, message: Review) -> None:
    """In a turn of its own, when no other runs. Raises RpcError, as the others do, when too many wait for that."""
    if thread.turn is None:
        params = TurnStartParams(thread_id=thread.thread_id, input=())
        _begin(thread, message.turn_id, params, None, review=message.target)
    else:
        _wait(thread, message)


def run_script(thread: ThreadActor, message: RunScript) -> None:
    """In the turn that runs, if that takes it, or in one of its own."""
    command = UsersCommand(message.script, message.timeout_ms)
    if thread.turn is None:
        params = TurnStartParams(thread_id=thread.thread_id, input=())
        _begin(thread, str(uuid7()), params, None, script=command)
    elif thread.turn.joinable:
        if thread.turn.beside >= WAITING:
            raise overloaded()
        thread.turn.run_beside(command)
    else:
        _wait(thread, message)


def withdrawn(message: object) -> bool:
    """Whether the caller wants no turn any more."""
    return isinstance(message, StartTurn | Compact) and message.watch is not None and message.watch.withdrawn


def _wait(thread: ThreadActor, message: StartTurn | Compact | Review | RunScript) -> None:
    """Until the turn that runs has ended. Those withdrawn meanwhile make room."""
    for gone in [other for other in thread.waiting if withdrawn(other)]:
        thread.waiting.remove(gone)
        if isinstance(gone, StartTurn):
            gone.reply.reject(invalid_request("the turn has been withdrawn"))
    if len(thread.waiting) >= WAITING:
        raise overloaded()
    thread.waiting.append(message)


def revert_when_ended(thread: ThreadActor, message: RevertTurns) -> None:
    """Interrupt the turn, and take turns back when it has closed its record."""
    if len(thread.reverting) >= WAITING:
        raise overloaded()
    thread.reverting.append(message)
    assert thread.turn is not None
    thread.turn.interrupt()


def _join(turn: LiveTurn, said: Said) -> None:
    if len(turn.unsaid) >= UNSAID or sum(weigh(one.item) for one in turn.unsaid) > UNSAID_WEIGHT:
        raise overloaded()
    turn.unsaid.append(said)


def _watch(thread: ThreadActor, turn: LiveTurn, watch: TurnWatch | None) -> None:
    if watch is not None:
        watch.reply.track(thread.mailbox.replies)
        turn.watch(watch)


def _begin(thread: ThreadActor, turn_id: str, params: TurnStartParams, said: Said | None, **kind: Any) -> LiveTurn:
    turn = LiveTurn(turn_id, params, said, **kind)
    task = TurnTask(thread, turn)
    thread.turn = turn
    if said is not None:
        thread.membership.turn_began()
    thread.tasks.start_soon(task.run)
    return turn


async def turn_ended(thread: ThreadActor) -> None:
    """The turn's task has said and written everything: what waited for that comes now, or is refused if the thread ends."""
    ended, thread.turn = thread.turn, None
    if ended is not None:
        ended.release()
    reverting, thread.reverting = thread.reverting, []
    if thread.ending:
        late: list[Ask[Any]] = [*reverting, *thread.waiting]
        for message in late:
            message.reply.reject(ThreadNotFound(f"thread not found: {thread.thread_id}"))
        thread.stop()
        return
    for request in reverting:
        await thread.handle(request)
    for _ in range(len(thread.waiting)):  # what cannot start yet waits again, behind the others
        if thread.waiting:  # some may have been withdrawn meanwhile
            await thread.handle(thread.waiting.popleft())


async def steer(thread: ThreadActor, message: SteerTurn) -> None:
    """Add input to the turn that is named. Raises RpcError where it takes none."""
    said = await _said(thread, message.content, thread.turn.settings if thread.turn else thread.state.settings)
    turn = thread.turn
    if turn is None or not turn.takes_input or turn.script is not None:
        raise invalid_request("no active turn to steer")
    if turn.id != message.expected_turn_id:
        raise invalid_request(f"expected active turn id `{message.expected_turn_id}` but found `{turn.id}`")
    if turn.first is None:
        text = f"cannot steer a {turn.kind} turn"
        info = {"activeTurnNotSteerable": {"turnKind": turn.kind}}
        raise invalid_request(text, TurnError(text, info))
    _join(turn, said)
    message.reply.resolve(turn.id)


def interrupt(thread: ThreadActor, message: InterruptTurn) -> None:
    """End the turn that is named. Raises RpcError if it does not run."""
    turn = thread.turn
    if turn is None or not turn.at_work:
        raise invalid_request("no active turn to interrupt")
    if turn.id != message.turn_id:
        raise invalid_request(f"expected active turn id `{message.turn_id}` but found `{turn.id}`")
    message.reply.resolve(None)
    turn.interrupt()


async def _said(thread: ThreadActor, content: Sequence[UserInput], settings: ThreadSettings) -> Said:
    """The input, with the images and skills that it names and that a turn with `settings` may read."""
    skills, state = thread.services.skills, thread.state
    mentions = any(isinstance(part, SkillInput) or (isinstance(part, TextInput) and "$" in part.text) for part in content)
    readable = readable_files(thread.services.home, settings, session_grants(thread))
    item = await to_response_item(content, readable)
    if not mentions:
        return Said(content, item)
    find = partial(skills.mentioned, content, state.settings.cwd, state.config.raw, readable)
    return Said(content, item, await trio.to_thread.run_sync(find, abandon_on_cancel=True))
