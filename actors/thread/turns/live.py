"""The turn that is running: what its task and the thread's task share. One trio thread, so no locks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import trio
from attrs import Factory, define, field

from spindle.actors.thread.turns.watch import TurnWatch
from spindle.actors.tools.commands.shell_tools import UsersCommand
from spindle.actors.turn.host import Said
from spindle.rpc.protocol.reviews import ReviewTarget
from spindle.rpc.protocol.turns import Turn, TurnError, TurnStartParams, TurnStatus

if TYPE_CHECKING:
    from spindle.actors.settings.settings import ThreadSettings
    from spindle.actors.turn.answer import Answer


@define(eq=False)
class LiveTurn:
    """`first` is None for a turn that takes no input: a compaction, a `review`, or a command of the user's own, `script`.

    `closed` is True once nothing may join it any more; `accepting` is False once it has ended, but for its record.
    """

    id: str
    params: TurnStartParams
    first: Said | None
    script: UsersCommand | None = None
    review: ReviewTarget | None = None
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    started_at: int = field(factory=lambda: int(time.time()))
    began: float = field(factory=time.monotonic)
    completed_at: int | None = None
    duration_ms: int = 0
    """Milliseconds from its beginning to its end, once it has ended."""
    accepting: bool = True
    closed: bool = False
    interrupted: bool = False
    unsaid: list[Said] = field(init=False, default=Factory(lambda self: _begins_with(self), takes_self=True))
    """Input that the turn has still to say, oldest first: what it begins with, and what joins it."""
    scripts: list[UsersCommand] = field(factory=lambda: list[UsersCommand]())
    """Commands of the user's own that wait for the turn to take them."""
    run_script: Callable[[UsersCommand], None] | None = None
    """Starts one beside what the turn does."""
    beside: int = 0
    """How many of them wait or run."""
    answer: Answer | None = None
    last_message: str | None = None
    settings: ThreadSettings = field(init=False)
    """What it runs with, whatever the thread's settings become meanwhile."""
    opened: trio.Event = field(factory=trio.Event)
    """Set when the rollout is open and the turn's first lines are in it, or when that has failed."""
    tokens: int = 0
    """What it has used so far, without what came from the provider's cache."""
    done: trio.Event = field(factory=trio.Event)
    watches: list[TurnWatch] = field(factory=lambda: list[TurnWatch]())
    """Those of the callers that started or joined it."""
    result: Turn | None = None
    """How it has ended; set when that is recorded."""

    @property
    def kind(self) -> Literal["regular", "compact", "review"]:
        """What it does, in the protocol's words."""
        return "regular" if self.first is not None else "compact" if self.review is None else "review"

    @property
    def joinable(self) -> bool:
        """Whether input that comes now would still be said in this turn."""
        return self.first is not None and self.accepting and not self.closed and not self.interrupted

    def run_beside(self, script: UsersCommand) -> None:
        """Run a command of the user's own as a part of the turn."""
        self.beside += 1
        (self.run_script or self.scripts.append)(script)

    def interrupt(self) -> None:
        """End it now."""
        self.interrupted = True
        self.scope.cancel()

    def end(self) -> None:
        """Nothing more of it is to come but its record; this is the time that is recorded and told."""
        self.accepting = False
        self.completed_at = int(time.time())
        self.duration_ms = int((time.monotonic() - self.began) * 1000)

    def watch(self, watch: TurnWatch) -> None:
        """One more caller wants to know how it ends."""
        watch.turn = self
        self.watches.append(watch)

    def withdrawn(self) -> bool:
        """A caller has withdrawn; the last one to do so interrupts the turn. Returns whether the turn is ending."""
        if self.accepting and all(watch.withdrawn for watch in self.watches):
            self.interrupt()
        return self.interrupted or not self.accepting

    def answer_watches(self) -> None:
        """Its record is closed. Without a result the thread is crashing, and answers with that."""
        if self.result is not None:
            for watch in self.watches:
                watch.reply.resolve(self.result)

    def shown(self) -> Turn:
        """The turn in progress, without items."""
        return Turn(self.id, started_at=self.started_at)

    def ended(self, status: TurnStatus, error: TurnError | None) -> Turn:
        """The turn as `turn/completed` shows it."""
        return Turn(
            self.id,
            status=status,
            error=error,
            started_at=self.started_at,
            completed_at=self.completed_at,
            duration_ms=self.duration_ms,
        )


def _begins_with(turn: LiveTurn) -> list[Said]:
    return [] if turn.first is None else [turn.first]
