"""A thread as `spindle top` shows it: what its parts publish, read without a message, so that a busy thread is shown too."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Literal

import orjson

from spindle.actors.thread.core import ThreadCore
from spindle.actors.thread.life import ThreadState
from spindle.actors.thread.parts import Parts
from spindle.actors.thread.turns.live import LiveTurn
from spindle.actors.turn.life import TurnState
from spindle.actors.turn.work import Calling
from spindle.rpc.inspection import (
    SHOWN,
    Child,
    InspectedServer,
    InspectedThread,
    InspectedTokens,
    InspectedTurn,
    Wait,
)
from spindle.rpc.lenient import mapping, sequence
from spindle.rpc.protocol.values import clean, loads, one_line

_ENDING = frozenset({ThreadState.ENDING, ThreadState.ENDED})
_WAITING_FOR_AGENTS = "wait_agent"


def inspect_thread(parts: Parts, *, away: bool, children: Sequence[Child]) -> InspectedThread:
    """The thread now. `away`: the registry has told it to stop."""
    core = parts.core
    unread = core.mailbox.accepted - core.mailbox.seen
    if (state := core.loaded) is None:
        return InspectedThread(id=core.thread_id, status="loading", unread=unread, children=children)
    turn = core.turn
    return InspectedThread(
        id=core.thread_id,
        status=_status(core, away),
        name=None if state.name is None else one_line(state.name, SHOWN),
        preview=one_line(state.preview, SHOWN),
        cwd=clean(state.settings.cwd),
        model=state.settings.model,
        parent_thread_id=parts.membership.parent_id,
        agent_nickname=state.agent_nickname,
        subscribers=len(core.subscribers),
        unread=unread,
        turn=None if turn is None else _turn(parts, turn),
        tokens=_tokens(state.conversation.usage),
        children=children,
        servers=[InspectedServer(name=name, state=state, pid=pid) for name, state, pid in parts.servers.shown()],
    )


def _status(core: ThreadCore, away: bool) -> Literal["idle", "active", "systemError", "ending"]:
    if away or core.life.state in _ENDING:
        return "ending"
    if core.turn is not None:
        return "active"
    return "systemError" if core.status.type == "systemError" else "idle"


def _turn(parts: Parts, turn: LiveTurn) -> InspectedTurn:
    now = time.monotonic()
    return InspectedTurn(
        id=turn.id,
        kind=turn.kind,
        seconds=round(now - turn.began, 3),
        tokens=turn.tokens,
        waits_for=list(_waits(parts, turn, now)),
    )


def _waits(parts: Parts, turn: LiveTurn, now: float) -> Iterator[Wait]:
    """What the turn waits for: what concerns the user first, then calls and the model."""

    def since(began: float) -> float:
        return round(now - began, 3)

    for question in parts.core.questions.values():
        yield Wait(kind="user", what=question.method, seconds=since(question.began))
    work = turn.work
    for calling in work.calls:
        call = calling.call
        name = one_line(f"{call.namespace or ''}{call.name}", SHOWN)
        agents = _agents(calling) if call.name == _WAITING_FOR_AGENTS and call.namespace is None else []
        yield Wait(kind="agent" if agents else "tool", what=name, seconds=since(calling.began), thread_ids=agents)
    if work.asked is not None:
        model = turn.settings.model
        yield Wait(kind="model", what=model, seconds=since(work.asked.began), attempt=work.asked.attempt)
    elif not work.calls:
        starting = [name for name, state, _ in parts.servers.shown() if state == "starting"]
        for name in starting:
            yield Wait(kind="servers", what=name, seconds=since(turn.began))
        if turn.state is TurnState.OPENING and not starting:
            yield Wait(kind="starting", what="the record of the turn", seconds=since(turn.began))


def _agents(calling: Calling) -> list[str]:
    try:
        arguments = mapping(loads(calling.call.payload))
    except orjson.JSONDecodeError:
        return []
    return [one_line(target, SHOWN) for target in sequence(arguments.get("targets")) if isinstance(target, str)]


def _tokens(usage: object) -> InspectedTokens | None:
    """Of the form of rollouts; see `usage.sound`."""
    info = mapping(usage)
    if not info:
        return None
    total, last = (mapping(info.get(name)).get("total_tokens") for name in ("total_token_usage", "last_token_usage"))
    window = info.get("model_context_window")
    return InspectedTokens(
        total=total if isinstance(total, int) else 0,
        context=last if isinstance(last, int) else 0,
        context_window=window if isinstance(window, int) else None,
    )
