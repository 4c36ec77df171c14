"""How a turn waits for the answer of a client, and how it goes on after it was suspended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import evolve

from spindle.actors.settings.settings import Settings
from spindle.actors.thread.core import ThreadCore
from spindle.actors.thread.turns.host import LiveTurnHost
from spindle.actors.thread.turns.live import LiveTurn
from spindle.actors.thread.turns.suspended import LOST, SuspendedTurn
from spindle.actors.thread.turns.waiting import WaitingTurn
from spindle.actors.turn.calls import call_of, output_item, unanswered
from spindle.actors.turn.life import STOPPING
from spindle.storage.rollout import records


class TurnGone(Exception):
    """A suspended turn cannot go on here: another process has continued it."""

    def __init__(self) -> None:
        super().__init__("the turn waited for an answer, and has ended in another process since")


class Suspension:
    """That of one turn of a stored thread, which runs with `settings`."""

    def __init__(self, thread: ThreadCore, turn: LiveTurn, settings: Settings) -> None:
        self._thread, self._turn, self._settings = thread, turn, settings
        self._open: Sequence[dict[str, Any]] = ()
        """The calls of a turn that goes on, until they are run."""
        turn.waiting = WaitingTurn(
            thread.services.state,
            thread.thread_id,
            turn.id,
            self._described,
            self._synced,
            lambda: turn.state in STOPPING or not turn.at_work,
            resumed=turn.resumed is not None,
        )

    @property
    def _waiting(self) -> WaitingTurn:
        waiting = self._turn.waiting
        assert waiting is not None, "it is there until the turn has ended"
        return waiting

    def open_again(self, resumed: SuspendedTurn) -> None:
        """Go on in the record of the turn, which is open. Raises TurnGone if it has ended elsewhere meanwhile."""
        conversation = self._thread.state.conversation
        if conversation.cut_off_turn != resumed.id:
            conversation.end()
            raise TurnGone
        self._turn.open()
        self._open = unanswered(conversation.items, resumed.calls)

    async def claim(self, host: LiveTurnHost) -> Sequence[dict[str, Any]]:
        """The calls with which the turn goes on. Those that had begun are answered: they may have done anything.

        Raises TurnGone, StateUnavailable.
        """
        stored = await self._waiting.claim()
        claimed = None if stored is None else SuspendedTurn.decode(self._turn.id, stored)
        if claimed is None:  # a process that had claimed it has ended since, and its calls may have acted
            raise TurnGone
        left, self._open = self._open, ()
        calls: list[dict[str, Any]] = []
        for item in left:
            if call_of(item).id in claimed.pending:
                calls.append(item)
            else:
                host.record(records.response_item(output_item(item, LOST)))
        return calls

    def abort(self, host: LiveTurnHost) -> None:
        """The turn ends: its calls that were not run get an output."""
        for call in self._open:
            host.record(records.response_item(output_item(call, "aborted")))
        self._open = ()

    def _described(self) -> bytes:
        """What is needed to continue the turn in a later process."""
        turn, work = self._turn, self._turn.work
        if turn.resumed is not None and self._waiting.resumed:
            return evolve(turn.resumed, input=turn.pending).encode()
        return SuspendedTurn(
            id=turn.id,
            started_at=turn.started_at,
            params=turn.params,
            settings=self._settings,
            calls=work.answered,
            pending=[id for id in work.answered if id not in work.begun or id in self._waiting.repeats],
            input=turn.pending,
        ).encode()

    async def _synced(self) -> None:
        state = self._thread.state
        if (journal := state.conversation.journal) is not None and state.config.durability != "os":
            await self._thread.services.flusher.sync(journal)
