"""The host of a reviewer's turn: a history of its own, of which clients see the work and not the messages.

What the reviewer does (commands, reasoning) is shown and recorded as items of the thread's turn. Its messages are in its own
history only, which ends with the review.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from spindle.actors.services.instruments import Instruments
from spindle.actors.tools.interface import BackgroundTasks, Permission, Reviewed, Subject, Use
from spindle.actors.turn.host import Compacted, ContextItems, TurnHost, TurnInput
from spindle.actors.turn.work import Work
from spindle.rpc.model.interface import Completed, ResponseMetadata, Usage
from spindle.rpc.protocol.items import AgentMessageItem, ContextCompactionItem
from spindle.rpc.protocol.settings import AskForApproval, SandboxPolicy
from spindle.rpc.protocol.threads import ThreadActiveFlag
from spindle.rpc.protocol.turns import (
    AgentMessageDeltaNotification,
    ItemCompletedNotification,
    ItemStartedNotification,
)
from spindle.rpc.protocol.values import packed
from spindle.storage.rollout import records
from spindle.storage.rollout.records import Entry

if TYPE_CHECKING:
    from spindle.rpc.protocol.notifications import ThreadNotification


class Reviewer:
    """A `TurnHost` in front of the thread's. `task` is the only input of the reviewer."""

    def __init__(self, host: TurnHost, task: TurnInput) -> None:
        self._host = host
        self._task: TurnInput | None = task
        self._items: list[bytes] = [packed(orjson.dumps(message)) for message in host.context()]
        self._summary: str | None = None
        self._tokens = 0

    @property
    def thread_id(self) -> str:
        """See TurnHost."""
        return self._host.thread_id

    @property
    def turn_id(self) -> str:
        """See TurnHost."""
        return self._host.turn_id

    @property
    def work(self) -> Work:
        """See TurnHost."""
        return self._host.work

    @property
    def cwd(self) -> str:
        """See TurnHost."""
        return self._host.cwd

    @property
    def sandbox(self) -> SandboxPolicy:
        """See TurnHost."""
        return self._host.sandbox

    @property
    def approval(self) -> AskForApproval:
        """See TurnHost."""
        return self._host.approval

    def news(self, context: ContextItems) -> Sequence[dict[str, Any]]:
        """The context of the user's input is not for a reviewer."""
        return ()

    @property
    def mode(self) -> str:
        """A reviewer is never in plan mode."""
        return "default"

    @property
    def instruments(self) -> Instruments:
        """See TurnHost."""
        return self._host.instruments

    def carrier(self) -> dict[str, str]:
        """See TurnHost."""
        return self._host.carrier()

    @property
    def tasks(self) -> BackgroundTasks:
        """See ToolHost."""
        return self._host.tasks

    def emit(self, params: ThreadNotification) -> None:
        """Pass on notifications, but not those of messages: the review is shown at the end."""
        if isinstance(params, AgentMessageDeltaNotification):
            return
        if isinstance(params, ItemStartedNotification | ItemCompletedNotification) and isinstance(
            params.item, AgentMessageItem | ContextCompactionItem
        ):
            return
        self._host.emit(params)

    def record(self, *entries: Entry) -> None:
        """See TurnHost."""
        if shown := self._take(entries):
            self._host.record(*shown)

    async def keep(self, *entries: Entry) -> None:
        """See TurnHost."""
        if shown := self._take(entries):
            await self._host.keep(*shown)

    def _take(self, entries: Sequence[Entry]) -> list[Entry]:
        """Add entries to the review's history. Returns those that the thread records too."""
        self._items += [packed(orjson.dumps(item)) for item in records.response_items(entries)]
        return [entry for entry in entries if (name := records.event_type(*entry)) and name != records.AGENT_MESSAGE]

    async def ask(
        self,
        params: Any,
        waiting_on: ThreadActiveFlag | None,
        about: Subject | None = None,
        *,
        repeats: str | None = None,
    ) -> object:
        """See TurnHost."""
        return await self._host.ask(params, waiting_on, about)

    async def review(self, action: Callable[[], Reviewed], *, strict: bool = False) -> Permission | None:
        """See TurnHost."""
        return await self._host.review(action, strict=strict)

    async def permission(self, use: Use) -> Permission | None:
        """See TurnHost."""
        return await self._host.permission(use)

    def first_turn(self) -> None:
        """None: a review is never a thread's first turn."""

    def history(self) -> Sequence[bytes]:
        """See TurnHost."""
        return self._items

    async def replace_history(self, compacted: Compacted) -> None:
        """See TurnHost."""
        self._items, self._summary = list(compacted.items), compacted.summary
        self._tokens = compacted.usage()["total_tokens"]

    def last_summary(self) -> str | None:
        """See TurnHost."""
        return self._summary

    def context(self) -> Sequence[dict[str, Any]]:
        """See TurnHost."""
        return self._host.context()

    def context_tokens(self) -> int:
        """See TurnHost."""
        return self._tokens

    def next_input(self) -> TurnInput | None:
        """See TurnHost."""
        return self._task

    def input_done(self) -> None:
        """See TurnHost."""
        self._task = None

    def end(self) -> None:
        """See TurnHost."""
        self._host.end()

    def cancel(self) -> None:
        """See TurnHost."""
        self._host.cancel()

    def begun(self) -> None:
        """Nothing: clients see the thread's usage."""

    def answered(self, event: Completed) -> None:
        """See TurnHost."""
        self._host.answered(event)

    def reported(self, event: ResponseMetadata) -> None:
        """Nothing: it is not about the turn's model."""

    def spend(self, usage: Usage | None, *, aside: bool = True) -> None:
        """See TurnHost."""
        if usage is not None:
            self._tokens = usage.total_tokens
        self._host.spend(usage, aside=aside)

    def partial(self, answer: object | None) -> None:
        """Nothing: the reviewer's messages are not shown."""

    async def saved(self) -> None:
        """See TurnHost."""
        await self._host.saved()

    async def room(self) -> None:
        """See TurnHost."""
        await self._host.room()

    def settle(self, finish: Callable[[], None]) -> None:
        """See TurnHost."""
        self._host.settle(finish)
