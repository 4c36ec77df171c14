"""The running turn: what its task and the thread's task share. Both run on one trio thread, so there are no locks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

import trio
from attrs import Factory, define, evolve, field

from spindle.actors.thread.turns.watch import FinishedTurn, Gathered, ProviderFailure, TurnWatch
from spindle.actors.tools.commands.shell_tools import UsersCommand
from spindle.actors.turn.host import TurnInput
from spindle.actors.turn.life import (
    AT_WORK,
    FIRST,
    RECORDED,
    STOPPING,
    SUSPENDED,
    TAKES_INPUT,
    TurnEffect,
    TurnEvent,
    TurnState,
    after,
)
from spindle.actors.turn.metadata import given
from spindle.actors.turn.work import Work
from spindle.rpc.model.interface import Usage
from spindle.rpc.protocol.reviews import ReviewTarget
from spindle.rpc.protocol.turns import Turn, TurnError, TurnStartParams, TurnStatus

if TYPE_CHECKING:
    from spindle.actors.settings.settings import Settings
    from spindle.actors.thread.turns.suspended import SuspendedTurn
    from spindle.actors.thread.turns.waiting import WaitingTurn
    from spindle.actors.turn.answer import Answer


@define(eq=False)
class LiveTurn:
    """One turn of a thread. `state` is where it is in its life (`turn/life.py`), and only the methods here change it.

    `first` is None for a turn that takes no input: a compaction, a `review`, or a command of the user, `script`; and for one
    that was suspended and goes on, `resumed`.
    """

    id: str
    params: TurnStartParams
    first: TurnInput | None
    script: UsersCommand | None = None
    review: ReviewTarget | None = None
    resumed: SuspendedTurn | None = None
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    """Around the work, but not around its record."""
    started_at: int = field(factory=lambda: int(time.time()))
    began: float = field(factory=time.monotonic)
    completed_at: int | None = None
    duration_ms: int = 0
    """Milliseconds from its start to the end of its work; 0 until then."""
    state: TurnState = FIRST
    pending: list[TurnInput] = field(init=False, default=Factory(lambda self: _begins_with(self), takes_self=True))
    """Input that is not part of the conversation yet, oldest first: the first, and what joins the turn."""
    client_ids: set[str] = field(init=False, default=Factory(lambda self: _takes(self), takes_self=True))
    """The clients' ids of the messages that it took."""
    client_metadata: dict[str, str] = field(init=False, default=Factory(lambda self: _metadata(self), takes_self=True))
    """What clients tell the provider of the turn, for the requests that are sent from now on."""
    scripts: list[UsersCommand] = field(factory=lambda: list[UsersCommand]())
    """Commands of the user that wait for the turn to run them."""
    run_script: Callable[[UsersCommand], None] | None = None
    """Starts one concurrently with the turn's work."""
    open_scripts: int = 0
    """How many commands of the user wait or run."""
    work: Work = field(factory=Work)
    """What it waits for at the moment."""
    watched: trio.Event = field(factory=trio.Event)
    """For one that is resumed: set when the client that resumes the thread has its answer, or will get none."""
    rerouted: bool = False
    """Whether clients know that another model than requested answers."""
    answer: Answer | None = None
    last_message: str | None = None
    waiting: WaitingTurn | None = None
    """What is stored of it while it waits for an answer; None if nothing is, as of an ephemeral thread's."""
    settings: Settings = field(init=False)
    """The settings of this turn. Later changes of the thread's settings do not touch them."""
    opened: trio.Event = field(factory=trio.Event)
    """Set when the record is open and has the turn's first lines, or when it could not be opened."""
    usage: Usage | None = None
    """Of all its requests so far."""
    done: trio.Event = field(factory=trio.Event)
    """Set when the thread has released the turn."""
    watches: list[TurnWatch] = field(factory=lambda: list[TurnWatch]())
    """One for each caller in this process that started or joined it and waits for its end."""
    clients: bool = False
    """Whether a request without a watch started or joined it. Then callers that withdraw do not interrupt it."""
    gathered: Gathered | None = None
    """What callers with a watch get at its end; None as long as there are none."""
    result: Turn | None = None
    """How it ended; set before that is notified."""
    provider: ProviderFailure | None = None
    """Set if a request to the model has ended it."""

    @property
    def kind(self) -> Literal["regular", "compact", "review"]:
        """What it does, in the protocol's words."""
        if self.first is not None or self.resumed is not None:
            return "regular"
        return "compact" if self.review is None else "review"

    @property
    def root_id(self) -> str:
        """The turn that the work began with: that of the request, or this one."""
        return self.params.root_turn_id or self.id

    @property
    def joinable(self) -> bool:
        """Whether input that comes now is still sent to the model in this turn."""
        return self.kind == "regular" and self.takes_input

    @property
    def takes_input(self) -> bool:
        """The same for a turn of any kind: it neither ends nor wants to."""
        return self.state in TAKES_INPUT

    @property
    def at_work(self) -> bool:
        """Whether its work is not over; a request can interrupt it."""
        return self.state in AT_WORK

    @property
    def recorded(self) -> bool:
        """Whether its record is open, so that its end has to be written."""
        return self.state in RECORDED

    @property
    def suspended(self) -> bool:
        """Whether it was left while it waited for an answer: nothing more of it is recorded or notified."""
        return self.state in SUSPENDED

    @property
    def tokens(self) -> int:
        """What it has used so far, without what came from the provider's cache."""
        used = self.usage
        return 0 if used is None else max(0, used.input_tokens - used.cached_input_tokens) + used.output_tokens

    def run_beside(self, script: UsersCommand) -> None:
        """Run a command of the user as a part of the turn."""
        self.open_scripts += 1
        (self.run_script or self.scripts.append)(script)

    def tell_provider(self, replacement: Mapping[str, str] | None, patch: Mapping[str, str] | None) -> None:
        """A request that joins the turn changes what clients tell the provider of it. Raises RpcError."""
        entries = given(self.client_metadata, replacement, patch)
        self.client_metadata.clear()
        self.client_metadata.update(entries)

    # -- its life

    def open(self) -> None:
        """The record is open."""
        self._on(TurnEvent.OPEN)

    def close(self) -> None:
        """Take no more input."""
        self._on(TurnEvent.CLOSE)

    def interrupt(self) -> None:
        """Cancel the work, unless it is over."""
        self._on(TurnEvent.INTERRUPT)

    def leave(self) -> None:
        """End the work, as its clients cannot answer here any more. A turn that waits for an answer can go on later."""
        if self.takes_input and self.waiting is not None and self.waiting.stored:
            self._on(TurnEvent.SUSPEND)
        else:
            self.interrupt()

    def finish(self) -> None:
        """The work is over. The time of this call is the one that is recorded and notified."""
        self._on(TurnEvent.FINISH)
        self.completed_at = int(time.time())
        self.duration_ms = int((time.monotonic() - self.began) * 1000)

    def end(self) -> None:
        """Its end is recorded and notified. Without a `result` the thread is crashing, and its exit answers the callers."""
        self._on(TurnEvent.END)

    def release(self) -> None:
        """The thread releases it: the next turn may start."""
        self._on(TurnEvent.RELEASE)

    def _on(self, event: TurnEvent) -> None:
        self.state, effects = after(self.state, event)
        for effect in effects:
            match effect:
                case TurnEffect.CANCEL:
                    self.scope.cancel()
                case TurnEffect.ADMIT:
                    self.opened.set()
                case TurnEffect.ANSWER:
                    self._answer_watches()
                case TurnEffect.WAKE:
                    self.done.set()

    # -- callers that wait for its end

    def watch(self, watch: TurnWatch) -> None:
        """Answer `watch` when the turn ends."""
        if self.gathered is None:
            self.gathered = Gathered(whole=self.state is FIRST)  # no item is before the record
        self.watches.append(watch)
        watch.begun(self._withdrawn)

    def _withdrawn(self) -> bool:
        """A caller has withdrawn; the last one to do so interrupts the turn. Returns whether the turn is ending."""
        if self.at_work and not self.clients and all(watch.withdrawn for watch in self.watches):
            self.interrupt()
        return self.state in STOPPING or not self.at_work

    def _answer_watches(self) -> None:
        gathered, self.gathered = self.gathered, None
        if self.result is not None and gathered is not None:
            items = tuple(gathered.items)
            finished = FinishedTurn(self.result, items, self.usage, gathered.diff, self.provider)
            for watch in self.watches:
                watch.reply.resolve(finished)

    # -- as clients see it

    def shown(self) -> Turn:
        """The turn in progress, without items."""
        return evolve(self.accepted(), started_at=self.started_at)

    def accepted(self) -> Turn:
        """The turn as the answer to a request that gave it input."""
        return Turn(self.id, root_turn_id=self.root_id, items_view="notLoaded")

    def ended(self, status: TurnStatus, error: TurnError | None) -> Turn:
        """The turn as `turn/completed` shows it."""
        return evolve(
            self.accepted(),
            status=status,
            error=error,
            started_at=self.started_at,
            completed_at=self.completed_at,
            duration_ms=self.duration_ms,
        )


def _metadata(turn: LiveTurn) -> dict[str, str]:
    params = turn.params
    return given({}, params.responsesapi_client_metadata, params.responsesapi_client_metadata_patch)


def _takes(turn: LiveTurn) -> set[str]:
    ids = (turn.params.client_user_message_id, *(one.client_id for one in turn.pending))
    return {id for id in ids if id is not None}


def _begins_with(turn: LiveTurn) -> list[TurnInput]:
    if turn.resumed is not None:
        return list(turn.resumed.input)
    return [] if turn.first is None else [turn.first]
