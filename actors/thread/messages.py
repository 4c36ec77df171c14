"""The messages that a thread handles."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import field

from spindle.actors.delivery.long_answers import Streamed
from spindle.actors.delivery.snapshot import Snapshot
from spindle.actors.delivery.subscribers import Subscriber
from spindle.actors.kernel.mailbox import Ask, Urgent
from spindle.actors.thread.agents.family import Family, Member
from spindle.actors.thread.turns.watch import TurnWatch
from spindle.actors.tools.commands.sessions import Terminal
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.reviews import ReviewTarget
from spindle.rpc.protocol.thread_changes import (
    ThreadElicitationResponse,
    ThreadMemoryMode,
    ThreadMetadataGitInfoUpdateParams,
)
from spindle.rpc.protocol.thread_settings import ThreadSettingsUpdateParams
from spindle.rpc.protocol.threads import (
    Thread,
    ThreadReadResponse,
    ThreadResumeParams,
    ThreadResumeResponse,
    ThreadStartResponse,
    ThreadUnsubscribeStatus,
)
from spindle.rpc.protocol.turns import AdditionalContextEntry, Turn, TurnStartParams
from spindle.rpc.protocol.user_input import UserInput

if TYPE_CHECKING:
    import sqlite3

    from spindle.actors.tools.mcp.servers import McpServers
    from spindle.rpc.protocol.samples import ThreadSampleParams

T = TypeVar("T")


@frozen(kw_only=True)
class Attach(Ask[ThreadStartResponse | ThreadResumeResponse | Streamed]):
    """Subscribe. `params` are those of a resume, None for the thread's own start. Answers with the loaded thread.

    Connections cannot resume a thread without a turn, as there is nothing on disk; `in_process` subscribers can.
    `streamed`: the caller takes the turns separately from the answer and reads them piece by piece.
    """

    subscriber: Subscriber
    params: ThreadResumeParams | None = None
    in_process: bool = False
    streamed: bool = False


@frozen(kw_only=True)
class Detach(Urgent, Ask[ThreadUnsubscribeStatus]):
    """Unsubscribe. `lost`: the client's connection was lost. The thread may end with its last subscriber.

    `guest`: do so only if the subscriber is a guest.
    """

    subscriber: Subscriber
    lost: bool = False
    guest: bool = False


@frozen(kw_only=True)
class Hold(Ask[None]):
    """From the parent: be its agent, `member` of `family`, and stay loaded until a `Release`.

    `guests` are subscribed too. `bounds` are the parent's settings that say what an agent may do.
    """

    family: Family
    member: Member
    guests: Sequence[Subscriber]
    bounds: Mapping[str, Any]


@frozen(kw_only=True)
class Release(Urgent, Ask[None]):
    """From the parent: be no agent any more. The guests are unsubscribed."""


@frozen(kw_only=True)
class Welcome(Ask[None]):
    """From the parent: subscribe one more guest."""

    guest: Subscriber


@frozen(kw_only=True)
class AgentRests(Urgent, Ask[None]):
    """From an agent of this thread: it has no running turn any more. `text`, if any, is its report to the model."""

    text: str | None


@frozen(kw_only=True)
class ForTurn(Ask[T]):
    """What can start a turn. The turn's task gets a copy of the caller's context variables, such as the current span."""

    context: Context = field(factory=copy_context, eq=False, repr=False)


@frozen(kw_only=True)
class StartTurn(ForTurn[Turn]):
    """Start a turn, or join the running one. Answers with the turn that takes the input.

    `bounds`, from the parent, are as in `Hold`; a running turn with other bounds is not joined. `watch`: a caller on the
    same trio thread waits for the turn's end.
    """

    params: TurnStartParams
    bounds: Mapping[str, Any] = field(factory=dict[str, Any])
    watch: TurnWatch | None = None


@frozen(kw_only=True)
class SteerTurn(Ask[str]):
    """Add input to the running turn, which must be `expected_turn_id` unless that is None. Answers with its id.

    `client_id` is the client's id of the message. A message that a turn took before is not added: the answer is that turn.
    """

    content: Sequence[UserInput]
    expected_turn_id: str | None
    client_id: str | None = None
    context: Mapping[str, AdditionalContextEntry] | None = None
    metadata: Mapping[str, str] | None = None
    metadata_patch: Mapping[str, str] | None = None


@frozen(kw_only=True)
class InterruptTurn(Urgent, Ask[None]):
    """Interrupt the running turn, which must be `turn_id` unless that is None. Answers before the turn has ended."""

    turn_id: str | None


@frozen(kw_only=True)
class AskServers(Ask[Any]):
    """Answer with the result of `work` on the thread's MCP servers; other messages do not wait. `work` may raise RpcError."""

    work: Callable[[McpServers], Awaitable[object]]


@frozen(kw_only=True)
class ReadThread(Ask[ThreadReadResponse | Streamed]):
    """Answer with the thread and its read state. `streamed` as in `Attach`."""

    include_turns: bool = False
    streamed: bool = False


@frozen(kw_only=True)
class TakeSnapshot(Ask[Snapshot]):
    """Answer with the turns as they are now, for the method `method`. The caller closes the snapshot."""

    method: str


@frozen(kw_only=True)
class Compact(ForTurn[None]):
    """Replace the history by a summary, in a turn of its own, `turn_id`. It starts when no other turn runs.

    Answers at once. `watch` as in `StartTurn`.
    """

    turn_id: str
    watch: TurnWatch | None = None


@frozen(kw_only=True)
class Review(ForTurn[Turn]):
    """Make a review, in a turn of its own, `turn_id`. It starts when no other turn runs. Answers at once."""

    turn_id: str
    target: ReviewTarget


@frozen(kw_only=True)
class SetName(Ask[None]):
    """Set the thread's name. `name` is trimmed and not empty."""

    name: str


@frozen(kw_only=True)
class UpdateMetadata(Ask[Thread]):
    """Change the recorded state of the repository. Answers with the thread."""

    git: ThreadMetadataGitInfoUpdateParams


@frozen(kw_only=True)
class SetMemoryMode(Ask[None]):
    """Set whether memories may be made from the thread."""

    mode: ThreadMemoryMode


@frozen(kw_only=True)
class RollBack(Ask[Thread | Streamed]):
    """Remove the last `count` turns (all, if there are fewer) from the history. Answers with the thread and the other turns.

    `streamed` as in `Attach`.
    """

    count: int
    streamed: bool = False


@frozen(kw_only=True)
class InjectItems(Ask[None]):
    """Add response items to the history. They are checked already."""

    items: Sequence[Mapping[str, Any]]


@frozen(kw_only=True)
class CountElicitation(Ask[ThreadElicitationResponse]):
    """Adjust the out-of-band elicitation count by `step`, 1 or -1."""

    step: int


@frozen(kw_only=True)
class UpdateSettings(Ask[None]):
    """Change the settings of later turns. A running turn keeps its own."""

    params: ThreadSettingsUpdateParams


@frozen(kw_only=True)
class RevertTurns(Ask["tuple[Thread, str | None]"]):
    """Remove a turn and all later ones, interrupting a running turn. Answers with the thread and the last turn left."""

    before_turn_id: str


@frozen(kw_only=True)
class RunScript(ForTurn[None]):
    """Run a command of the user, in the running turn or in one of its own. Answers before it has run."""

    script: str
    timeout_ms: int | None = None


@frozen(kw_only=True)
class ListTerminals(Ask[list[Terminal]]):
    """Answer with the commands that have outlived their calls."""


@frozen(kw_only=True)
class EndTerminal(Urgent, Ask[bool]):
    """End one of these commands. Answers whether it was running."""

    process_id: str


@frozen(kw_only=True)
class EndTerminals(Urgent, Ask[None]):
    """End all of these commands."""


@frozen(kw_only=True)
class ReadQueue(Ask[Any]):
    """Answer with what `work` finds in the stored queue of the thread; with `empty` if nothing was ever stored."""

    work: Callable[[sqlite3.Connection], object]
    empty: object


@frozen(kw_only=True)
class ChangeQueue(Ask[Any]):
    """Change the stored queue of the thread. `work` returns the answer, and whether anything has changed."""

    work: Callable[[sqlite3.Connection], tuple[Any, bool]]


@frozen(kw_only=True)
class StartQueued(ForTurn[Turn]):
    """Make a turn of the queued submission `id`, or of the next one. Answers with the turn."""

    id: str | None


@frozen(kw_only=True)
class PrepareSample(Ask[Any]):
    """Answer with (the thread's model, a request to it that has the thread's history)."""

    params: ThreadSampleParams


@frozen
class Settle(Urgent):
    """From what has outlived its turn: there are lines for the rollout."""


@frozen
class TurnEnded(Urgent):
    """From the turn's task: the turn's record is closed."""

    turn_id: str


@frozen
class LeaveNow(Urgent):
    """From the timer of the delay that was set when the last subscriber left: the delay numbered `delay` has passed."""

    delay: int


@frozen
class StopThread(Urgent):
    """From the registry: end the running turn, close its record, end. `leaves`: what waits for an answer is kept open."""

    leaves: bool = False
