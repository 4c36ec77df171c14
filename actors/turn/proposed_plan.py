"""Plans in the model's messages, in plan mode: `<proposed_plan>` blocks, which clients see as an item of their own.

A tag counts if it is alone on its line, apart from blanks. A line that may still become a tag is held back.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Literal, TypeAlias

from attrs import evolve

from spindle.actors.turn.host import TurnHost
from spindle.rpc.protocol.items import AgentMessageItem, PlanItem
from spindle.rpc.protocol.turns import (
    AgentMessageDeltaNotification,
    ItemStartedNotification,
    PlanDeltaNotification,
)

_OPEN, _CLOSE = "<proposed_plan>", "</proposed_plan>"
Piece: TypeAlias = tuple[Literal["said", "opens", "planned"], str]


class PlanSplitter:
    """Splits streamed text into the plan and the rest."""

    def __init__(self) -> None:
        self._inside = False
        self._held = ""  # the line so far, if it may be a tag
        self._passing = False  # the line is known to be none

    def feed(self, text: str) -> Iterator[Piece]:
        """The pieces that `text` adds."""
        start = 0
        while start < len(text):
            end = text.find("\n", start) + 1 or len(text)
            yield from self._take(text[start:end])
            start = end

    def finish(self) -> Iterator[Piece]:
        """The text that was held back. An open block ends here."""
        if self._held:
            yield from self._line(self._held)
        self._held, self._passing = "", False

    def _take(self, part: str) -> Iterator[Piece]:
        whole = part.endswith("\n")
        if self._passing:
            self._passing = not whole
            yield self._piece(part)
            return
        self._held += part
        if whole:
            line, self._held = self._held, ""
            yield from self._line(line)
        elif not self._tag().startswith(self._held.strip()):
            held, self._held, self._passing = self._held, "", True
            yield self._piece(held)

    def _line(self, line: str) -> Iterator[Piece]:
        if line.strip() != self._tag():
            yield self._piece(line)
            return
        self._inside = not self._inside
        if self._inside:
            yield "opens", ""

    def _tag(self) -> str:
        return _CLOSE if self._inside else _OPEN

    def _piece(self, text: str) -> Piece:
        return ("planned" if self._inside else "said"), text


class PlanMessage:
    """One message in plan mode: `feed` it the text as it streams, then `finish` it with the whole text.

    The plan is an item of its own; of several blocks the last one is the plan. A message with nothing but a plan in it
    is not shown.
    """

    def __init__(self, host: TurnHost, thread_id: str, turn_id: str, message: AgentMessageItem) -> None:
        self._host, self._thread_id, self._turn_id = host, thread_id, turn_id
        self._message = message
        self._splitter = PlanSplitter()
        self._visible = ""
        self._begun = self._planning = False

    @property
    def shown(self) -> AgentMessageItem | None:
        """The message so far; None if it is not shown."""
        return evolve(self._message, text=self._visible) if self._begun else None

    def feed(self, text: str) -> None:
        """More of its text."""
        for piece in self._splitter.feed(text):
            self._stream(piece)

    def finish(self, text: str) -> tuple[PlanItem | None, AgentMessageItem | None]:
        """The message is `text`. Returns (the plan, the rest), None for what there is not. Their start has been notified."""
        for piece in self._splitter.finish():
            self._stream(piece)
        visible: str = ""
        planned: str | None = None
        whole = PlanSplitter()
        for kind, words in (*whole.feed(text), *whole.finish()):
            if kind == "said":
                visible += words
            else:
                planned = "" if kind == "opens" else (planned or "") + words
        if planned is not None:
            self._begin_plan()
        message = evolve(self._message, text=visible)
        if visible.strip():
            self._begin(message)
        return (
            None if planned is None else PlanItem(self._plan_id, planned),
            message if self._begun else None,
        )

    def _stream(self, piece: Piece) -> None:
        match piece:
            case "opens", _:
                self._begin_plan()
            case "planned", text:
                self._host.emit(PlanDeltaNotification(self._thread_id, self._turn_id, self._plan_id, text))
            case _, text:
                self._visible += text
                if not self._begun:
                    if not self._visible.strip():
                        return
                    self._begin(self._message)
                    text = self._visible
                self._host.emit(AgentMessageDeltaNotification(self._thread_id, self._turn_id, self._message.id, text))

    @property
    def _plan_id(self) -> str:
        return f"{self._turn_id}-plan"

    def _begin_plan(self) -> None:
        if not self._planning:
            self._planning = True
            self._started(PlanItem(self._plan_id, ""))

    def _begin(self, message: AgentMessageItem) -> None:
        if not self._begun:
            self._begun = True
            self._started(message)

    def _started(self, item: AgentMessageItem | PlanItem) -> None:
        self._host.emit(ItemStartedNotification(item, self._thread_id, self._turn_id, time.time_ns() // 1_000_000))
