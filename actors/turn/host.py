"""The interface through which a turn sees its thread, and the types in it. A turn is tested without registry or clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import orjson
from attrs import field

from spindle.actors.tools.interface import ToolHost
from spindle.actors.turn.work import Work
from spindle.rpc.lazy_class import frozen
from spindle.rpc.model.interface import Completed, ResponseMetadata, Usage
from spindle.rpc.protocol.items import FunctionCallOutputItem
from spindle.rpc.protocol.user_input import UserInput
from spindle.storage.rollout import records
from spindle.storage.rollout.records import Entry

if TYPE_CHECKING:
    from spindle.actors.services.instruments import Instruments
    from spindle.actors.tools.hooks.turn_hooks import Beginning

__all__ = ["BYTES_PER_TOKEN", "Compacted", "ContextItems", "ContextPlace", "TurnInput", "TurnHost"]

BYTES_PER_TOKEN = 4
"""The estimate used where no answer has said how many tokens a text has; the providers' tokenizers differ."""


@frozen
class TurnInput:
    """Input for the model: as the client sent it (`content`), and as the response item it becomes.

    `attached` are more messages that go with it: the skills it mentions. `content` is empty for the output of a command of the
    user's own. `client_id` is the client's id of the message, if it gave one. `context` is what its client tells the model
    beside it. `output` is shown in place of a user message: the item is the output of a tool, which a client has sent.
    """

    content: Sequence[UserInput]
    item: dict[str, Any]
    attached: Sequence[dict[str, Any]] = ()
    client_id: str | None = None
    context: ContextItems = field(factory=dict[str, dict[str, Any]])
    output: FunctionCallOutputItem | None = None


ContextItems: TypeAlias = Mapping[str, dict[str, Any]]
"""Response items by the key of what a client tells the model, in the order in which the model gets them."""
ContextPlace: TypeAlias = Literal["later", "within", "behind"]
"""Where a compacted history has the messages about the surroundings: nowhere yet, before the last user message, at the end."""


@frozen
class Compacted:
    """The result of a compaction: `items` is the new history, each item as JSON; `summary` is the text of one of them."""

    items: Sequence[bytes]
    summary: str
    instructions: str
    context: ContextPlace = "later"

    def entries(self) -> list[Entry]:
        """The `compacted` line of the rollout."""
        replacement = [orjson.Fragment(item) for item in self.items]
        return [records.compacted(self.summary, replacement)]

    def usage(self) -> dict[str, int]:
        """The token usage of the new history, estimated: no answer has said it yet."""
        size = len(self.instructions.encode()) + sum(map(len, self.items))
        names = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens")
        return dict.fromkeys(names, 0) | {"total_tokens": size // BYTES_PER_TOKEN}


class TurnHost(ToolHost, Protocol):
    """The thread, as its turn sees it. Only async methods wait."""

    @property
    def instruments(self) -> Instruments:
        """The runtime's instruments, which see the requests and the calls."""
        ...

    @property
    def work(self) -> Work:
        """What the turn waits for."""
        ...

    def history(self) -> Sequence[bytes]:
        """The history for the model: every response item so far, each as JSON."""
        ...

    async def replace_history(self, compacted: Compacted) -> None:
        """Record a compaction; from then on its items are the history. Waits as `keep` does. Raises JournalError."""

    def last_summary(self) -> str | None:
        """The text of the last compaction's summary in the history; None if there was none."""
        ...

    def context(self) -> Sequence[dict[str, Any]]:
        """All messages that describe the surroundings to the model."""
        ...

    def context_tokens(self) -> int:
        """How many tokens the history has, by the last answer that said so."""
        ...

    def first_turn(self) -> Beginning | None:
        """How the thread was loaded; None if this was asked before."""
        ...

    def next_input(self) -> TurnInput | None:
        """The oldest input that is neither part of the conversation nor refused; None if there is none."""
        ...

    def news(self, context: ContextItems) -> Sequence[dict[str, Any]]:
        """Of the context that comes with an input, what did not come with the last one. From now on it is the last one's."""
        ...

    def input_done(self) -> None:
        """Remove that input: it is part of the conversation now, or refused."""

    def end(self) -> None:
        """Take no more input: the turn does its last work."""

    def cancel(self) -> None:
        """Interrupt the turn: the user has answered a question so."""

    def begun(self) -> None:
        """An answer begins: notify subscribers of the usage so far, as Codex does before each answer but the first."""

    def answered(self, event: Completed) -> None:
        """An answer is complete: notify clients that want raw events."""

    def reported(self, event: ResponseMetadata) -> None:
        """The provider said something about its answer: notify subscribers."""

    def spend(self, usage: Usage | None, *, aside: bool = False) -> None:
        """Add one answer's tokens and notify subscribers; `aside` if the answer is not part of the thread's context."""

    def partial(self, answer: object | None) -> None:
        """Set the answer that is streaming a message (None: it has ended), for clients that subscribe meanwhile."""

    async def saved(self) -> None:
        """Sync what was recorded, if `durability` asks for that between two items. Raises JournalError."""
