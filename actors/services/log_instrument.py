"""The instrument that writes the log of healthy work: threads, turns, requests, calls of tools, questions.

Each has a logger of its own below `spindle`. A record has the ids of its thread and its turn in the text, and as fields.
"""

from __future__ import annotations

import logging
from typing import Final

from spindle.actors.services.instruments import (
    Instrument,
    QuestionInfo,
    QuestionOutcome,
    RequestInfo,
    RequestOutcome,
    ThreadInfo,
    ToolInfo,
    ToolOutcome,
    TurnInfo,
    TurnOutcome,
)
from spindle.actors.tasks.faults import message_of
from spindle.rpc.model.interface import Usage

THREAD: Final = logging.getLogger("spindle.thread")
TURN: Final = logging.getLogger("spindle.turn")
MODEL: Final = logging.getLogger("spindle.model")
TOOL: Final = logging.getLogger("spindle.tool")
QUESTION: Final = logging.getLogger("spindle.question")


class LogInstrument(Instrument):
    """Threads and turns at level INFO, the rest at level DEBUG."""

    def __init__(self) -> None:
        self._items: dict[str, int] = {}
        """The items of the answers of each running turn."""

    def thread_loaded(self, thread: ThreadInfo) -> None:
        """See Instrument."""
        agent = f", an agent of {thread.parent_thread_id}" if thread.parent_thread_id is not None else ""
        text = "thread %s is loaded: %s of %s in %s%s"
        where = thread.model, thread.model_provider, thread.cwd
        THREAD.info(text, thread.thread_id, *where, agent, extra={"thread_id": thread.thread_id, "model": thread.model})

    def thread_closed(self, thread: ThreadInfo) -> None:
        """See Instrument."""
        THREAD.info("thread %s is closed", thread.thread_id, extra={"thread_id": thread.thread_id})

    def turn_started(self, turn: TurnInfo) -> None:
        """See Instrument."""
        self._items[turn.turn_id] = 0
        added = {"thread_id": turn.thread_id, "turn_id": turn.turn_id, "kind": turn.kind, "model": turn.model}
        TURN.info("%s starts: %s, %s", _turn(turn), turn.kind, turn.model, extra=added)

    def turn_ended(self, turn: TurnInfo, outcome: TurnOutcome) -> None:
        """See Instrument."""
        items, failure = self._items.pop(turn.turn_id, 0), outcome.error
        added = {
            "thread_id": turn.thread_id,
            "turn_id": turn.turn_id,
            "status": outcome.status,
            "seconds": round(outcome.seconds, 3),
            "items": items,
            **_counts(outcome.usage),
        }
        text = "%s ended: %s after %.1f s, %s, items: %d%s"
        why = f": {failure.message}" if failure is not None else ""
        TURN.info(text, _turn(turn), outcome.status, outcome.seconds, _tokens(outcome.usage), items, why, extra=added)

    def request_started(self, request: RequestInfo) -> None:
        """See Instrument."""
        text = "%s: request %d to %s of %s (%s)"
        names = request.attempt, request.model, request.model_provider, request.purpose
        MODEL.debug(text, _turn(request), *names, extra=_of_request(request))

    def request_ended(self, request: RequestInfo, outcome: RequestOutcome) -> None:
        """See Instrument."""
        if request.turn_id in self._items:
            self._items[request.turn_id] += len(outcome.items)
        ended = _ended(outcome.error, outcome.cancelled)
        added = {"outcome": ended, "seconds": round(outcome.seconds, 3), **_counts(outcome.usage)}
        text = "%s: request %d %s after %.1f s, %s"
        numbers = request.attempt, ended, outcome.seconds, _tokens(outcome.usage)
        MODEL.debug(text, _turn(request), *numbers, extra=_of_request(request) | added)

    def request_retried(self, request: RequestInfo, error: Exception, delay: float) -> None:
        """See Instrument."""
        text = "%s: request %d is sent again in %.1f s: %s"
        added = {"delay": round(delay, 3)}
        MODEL.info(text, _turn(request), request.attempt, delay, message_of(error), extra=_of_request(request) | added)

    def tool_started(self, tool: ToolInfo) -> None:
        """See Instrument."""
        TOOL.debug("%s: call of %s", _turn(tool), _tool(tool), extra=_of_tool(tool))

    def tool_ended(self, tool: ToolInfo, outcome: ToolOutcome) -> None:
        """See Instrument."""
        ended = _ended(outcome.error, outcome.cancelled)
        added = _of_tool(tool) | {"outcome": ended, "seconds": round(outcome.seconds, 3)}
        TOOL.debug("%s: call of %s %s after %.1f s", _turn(tool), _tool(tool), ended, outcome.seconds, extra=added)

    def question_asked(self, question: QuestionInfo) -> None:
        """See Instrument."""
        QUESTION.debug("%s: the user is asked: %s", _turn(question), question.method, extra=_of_question(question))

    def question_answered(self, question: QuestionInfo, outcome: QuestionOutcome) -> None:
        """See Instrument."""
        ended = "withdrawn" if outcome.withdrawn else "answered" if outcome.error is None else "answered with an error"
        added = _of_question(question) | {"outcome": ended, "seconds": round(outcome.seconds, 3)}
        text = "%s: %s was %s after %.1f s"
        QUESTION.debug(text, _turn(question), question.method, ended, outcome.seconds, extra=added)


def _turn(of: TurnInfo | RequestInfo | ToolInfo | QuestionInfo) -> str:
    return f"turn {of.turn_id} of thread {of.thread_id}" if of.turn_id is not None else f"thread {of.thread_id}"


def _tool(tool: ToolInfo) -> str:
    return f"{tool.namespace or ''}{tool.name}"


def _ended(error: Exception | None, cancelled: bool) -> str:
    return "was cancelled" if cancelled else "succeeded" if error is None else "failed"


def _tokens(usage: Usage | None) -> str:
    return "no token count" if usage is None else f"{usage.total_tokens} tokens"


def _counts(usage: Usage | None) -> dict[str, int]:
    if usage is None:
        return {}
    return {
        "tokens": usage.total_tokens,
        "input_tokens": usage.input_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
        "output_tokens": usage.output_tokens,
    }


def _of_request(request: RequestInfo) -> dict[str, object]:
    return {
        "thread_id": request.thread_id,
        "turn_id": request.turn_id,
        "model": request.model,
        "model_provider": request.model_provider,
        "attempt": request.attempt,
    }


def _of_tool(tool: ToolInfo) -> dict[str, object]:
    return {"thread_id": tool.thread_id, "turn_id": tool.turn_id, "call_id": tool.call_id, "tool": _tool(tool)}


def _of_question(question: QuestionInfo) -> dict[str, object]:
    ids = {"thread_id": question.thread_id, "turn_id": question.turn_id}
    return {**ids, "question_id": question.id, "method": question.method}
