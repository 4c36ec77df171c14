"""A thread, its turns and its questions as instruments see them."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager

from spindle.actors.delivery.questions import Question
from spindle.actors.services.instruments import (
    TRACE,
    Instruments,
    QuestionInfo,
    QuestionOutcome,
    ThreadInfo,
    TurnInfo,
    TurnKind,
    TurnOutcome,
)
from spindle.actors.thread.state import OpenedThread
from spindle.actors.thread.turns.live import LiveTurn
from spindle.storage.threads.summary import parent_of


def thread_info(thread_id: str, state: OpenedThread) -> ThreadInfo:
    """The thread as it is now."""
    return ThreadInfo(
        thread_id=thread_id,
        parent_thread_id=parent_of(state.source),
        agent_nickname=state.agent_nickname,
        agent_role=state.agent_role,
        model=state.settings.model,
        model_provider=state.settings.model_provider,
        cwd=state.settings.cwd,
        ephemeral=state.ephemeral,
    )


def watched_turn(instruments: Instruments, thread: ThreadInfo, turn: LiveTurn) -> AbstractContextManager[None]:
    """Around the task of a turn."""
    kind: TurnKind = "command" if turn.script is not None else turn.kind
    info = TurnInfo(
        thread=thread,
        turn_id=turn.id,
        kind=kind,
        model=turn.settings.model,
        model_provider=turn.settings.model_provider,
        cwd=turn.settings.cwd,
        input=() if turn.first is None else turn.first.content,
        trace=TRACE.get({}),
    )

    def outcome() -> TurnOutcome:
        result, seconds = turn.result, turn.duration_ms / 1000
        return TurnOutcome(
            status="interrupted" if result is None else result.status,
            error=None if result is None else result.error,
            last_message=turn.last_message,
            usage=turn.usage,
            seconds=seconds,
        )

    return instruments.turn(info, outcome)


def watched_question(instruments: Instruments, question: Question) -> AbstractContextManager[None]:
    """Around the wait for an answer."""
    began = time.monotonic()
    info = QuestionInfo(
        id=question.id,
        thread_id=question.thread_id,
        turn_id=getattr(question.params, "turn_id", None),
        method=question.method,
        params=question.params,
    )

    def outcome() -> QuestionOutcome:
        return QuestionOutcome(
            result=question.result,
            error=question.error,
            seconds=time.monotonic() - began,
            withdrawn=not question.settled,
        )

    return instruments.question(info, outcome)
