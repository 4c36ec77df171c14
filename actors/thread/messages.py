"""What a thread can be told and asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from spindle.actors.delivery.long_answers import Streamed
from spindle.actors.delivery.snapshot import Snapshot
from spindle.actors.delivery.subscribers import Subscriber
from spindle.actors.kernel.mailbox import Ask, Urgent
from spindle.actors.thread.agents.family import Family, Member
from spindle.actors.thread.turns.watch import TurnWatch
from spindle.actors.tools.commands.sessions import Terminal
from spindle.rpc.protocol.items import UserInput
from spindle.rpc.protocol.reviews import ReviewTarget
from spindle.rpc.protocol.thread_changes import (
    ThreadElicitationResponse,
    ThreadMemoryMode,
    ThreadMetadataGitInfoUpdateParams,
)
from spindle.rpc.protocol.thread_settings import ThreadSettingsUpdateParams
from spindle.rpc.protocol.threads import (
    Thread,
    ThreadResumeParams,
    ThreadResumeResponse,
    ThreadStartResponse,
    ThreadUnsubscribeStatus,
)
from spindle.rpc.protocol.turns import Turn, TurnStartParams

if TYPE_CHECKING:
    from spindle.actors.tools.mcp.servers import McpServers


@frozen(kw_only=True)
class Attach(Ask[ThreadStartResponse | ThreadResumeResponse | Streamed]):
    """Subscribe. `params` are those of a resume, None for the thread's own start; answers with the loaded thread.

    On the wire a thread without a turn cannot be resumed, as there is nothing on disk; `in_process` subscribers may join it.
    `streamed` says that the asker can do with the turns beside the answer, to be read piece by piece.
    """

    subscriber: Subscriber
    params: ThreadResumeParams | None = None
    in_process: bool = False
    streamed: bool = False


@frozen(kw_only=True)
class Detach(Urgent, Ask[ThreadUnsubscribeStatus]):
    """Unsubscribe; `lost` if the client did not say so but went away. The last one to leave closes the thread.

    `guest`: only if the subscriber has come as one.
    """

    subscriber: Subscriber
    lost: bool = False
    guest: bool = False


@frozen(kw_only=True)
class Hold(Ask[None]):
    """From the thread whose agent this one is, as `member` of its `family`: stay loaded until a `Release`.

    `guests` are subscribed beside the thread's own. `bounds` are the settings that say what an agent may do.
    """

    family: Family
    member: Member
    guests: Sequence[Subscriber]
    bounds: Mapping[str, Any]


@frozen(kw_only=True)
class Release(Urgent, Ask[None]):
    """From the same: it is no agent any more, and its guests leave."""


@frozen(kw_only=True)
class Welcome(Ask[None]):
    """From the same: one more guest."""

    guest: Subscriber


@frozen(kw_only=True)
class AgentRests(Urgent, Ask[None]):
    """From an agent of this thread: it does nothing any more. `text`, if any, is what the model is told of it."""

    text: str | None


@frozen(kw_only=True)
class StartTurn(Ask[Turn]):
    """Start a turn, or join the one that runs; answers with the turn that takes the input.

    `bounds`, from a thread whose agent this one is, are as in `Hold`; a turn with others is not joined. `watch` is the
    interest of a caller on the same trio thread.
    """

    params: TurnStartParams
    bounds: Mapping[str, Any] = field(factory=dict[str, Any])
    watch: TurnWatch | None = None


@frozen(kw_only=True)
class SteerTurn(Ask[str]):
    """Add input to the running turn, which must be `expected_turn_id`; answers with its id."""

    content: Sequence[UserInput]
    expected_turn_id: str


@frozen(kw_only=True)
class InterruptTurn(Urgent, Ask[None]):
    """End the running turn, which must be `turn_id`; answers before the turn has ended."""

    turn_id: str


@frozen(kw_only=True)
class AskServers(Ask[Any]):
    """Have `work` done with the thread's MCP servers, beside whatever else it does; `work` may raise RpcError."""

    work: Callable[[McpServers], Awaitable[object]]


@frozen(kw_only=True)
class ReadThread(Ask[Thread | Streamed]):
    """Describe the thread; `streamed` as in `Attach`."""

    include_turns: bool = False
    streamed: bool = False


@frozen(kw_only=True)
class TakeSnapshot(Ask[Snapshot]):
    """The turns as they are now, for the method `method`; the snapshot is the asker's to close."""

    method: str


@frozen(kw_only=True)
class Compact(Ask[None]):
    """Replace the history by a summary, in a turn of its own, `turn_id`; it begins when no other runs, the answer comes now.

    `watch` as in `StartTurn`.
    """

    turn_id: str
    watch: TurnWatch | None = None


@frozen(kw_only=True)
class Review(Ask[Turn]):
    """Have a review made, in a turn of its own, `turn_id`; it begins when no other runs, the answer comes now."""

    turn_id: str
    target: ReviewTarget


@frozen(kw_only=True)
class SetName(Ask[None]):
    """Name the thread. `name` is trimmed and not empty."""

    name: str


@frozen(kw_only=True)
class UpdateMetadata(Ask[Thread]):
    """Change what is recorded of the repository; answers with the thread."""

    git: ThreadMetadataGitInfoUpdateParams


@frozen(kw_only=True)
class SetMemoryMode(Ask[None]):
    """Whether memories may be made from the thread."""

    mode: ThreadMemoryMode


@frozen(kw_only=True)
class RollBack(Ask[Thread | Streamed]):
    """Take back the last `count` turns (all, if there are fewer); answers with the thread and its remaining turns.

    `streamed` as in `Attach`.
    """

    count: int
    streamed: bool = False


@frozen(kw_only=True)
class InjectItems(Ask[None]):
    """Add response items to what the model sees. They have been checked."""

    items: Sequence[Mapping[str, Any]]


@frozen(kw_only=True)
class CountElicitation(Ask[ThreadElicitationResponse]):
    """One question to the user outside the server more (1) or less (-1)."""

    step: int


@frozen(kw_only=True)
class UpdateSettings(Ask[None]):
    """Change the settings for the turns that follow; a running one keeps its own."""

    params: ThreadSettingsUpdateParams


@frozen(kw_only=True)
class RevertTurns(Ask["tuple[Thread, str | None]"]):
    """Take back a turn and what follows, interrupting what runs; answers with the thread and the last turn left."""

    before_turn_id: str


@frozen(kw_only=True)
class RunScript(Ask[None]):
    """Run a command of the user's own, in the turn that runs or in one of its own; answers before it has run."""

    script: str
    timeout_ms: int | None = None


@frozen(kw_only=True)
class ListTerminals(Ask[list[Terminal]]):
    """The commands that have outlived their calls."""


@frozen(kw_only=True)
class EndTerminal(Urgent, Ask[bool]):
    """End one of them; answers whether it ran."""

    process_id: str


@frozen(kw_only=True)
class EndTerminals(Urgent, Ask[None]):
    """End them all."""


@frozen
class Settle(Urgent):
    """From something that outlived its turn: there are lines for the rollout."""


@frozen
class TurnEnded(Urgent):
    """From the turn's task: its record is closed."""

    turn_id: str


@frozen
class LeaveNow(Urgent):
    """From the timer of the delay that was set when the last subscriber left: the delay numbered `delay` has passed."""

    delay: int


@frozen
class StopThread(Urgent):
    """From the registry: interrupt what runs, close the record, end."""
