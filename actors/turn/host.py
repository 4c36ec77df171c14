"""What a turn sees of the thread it runs in: a small interface, so that a turn is tested without registry or clients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol, TypeAlias

import orjson
from attrs import frozen

from spindle.actors.tools.hooks.turn_hooks import Beginning
from spindle.actors.tools.interface import ToolHost
from spindle.rpc.model.interface import Usage
from spindle.rpc.protocol.items import UserInput
from spindle.storage.rollout import records
from spindle.storage.rollout.records import Entry

__all__ = ["BYTES_PER_TOKEN", "Compacted", "Context", "Said", "TurnHost"]

BYTES_PER_TOKEN = 4
"""The estimate used where no answer has said how many tokens a text has; the providers' tokenizers differ."""


@frozen
class Said:
    """User input that joins the turn, ready for the model: as the client sent it, and as the response item it becomes.

    `attached` are more messages that go with it: the skills it mentions. `content` is empty for what a command of the user's
    own has come to.
    """

    content: Sequence[UserInput]
    item: dict[str, Any]
    attached: Sequence[dict[str, Any]] = ()


Context: TypeAlias = Literal["later", "within", "behind"]
"""Where a compacted history tells the model of its surroundings: not yet, before what was said last, or at the end."""


@frozen
class Compacted:
    """A history that a compaction leaves: `items`, each encoded, are what the model sees; `summary` is the text of one."""

    items: Sequence[bytes]
    summary: str
    instructions: str
    context: Context = "later"

    def entries(self) -> list[Entry]:
        """The rollout line."""
        replacement = [orjson.Fragment(item) for item in self.items]
        return [records.compacted(self.summary, replacement)]

    def usage(self) -> dict[str, int]:
        """The context as it is now, estimated: no answer has told its size yet."""
        size = len(self.instructions.encode()) + sum(map(len, self.items))
        names = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens")
        return dict.fromkeys(names, 0) | {"total_tokens": size // BYTES_PER_TOKEN}


class TurnHost(ToolHost, Protocol):
    """The thread, as its turn sees it. Only what is `async` waits."""

    def history(self) -> Sequence[bytes]:
        """What the model is sent: every response item so far, each encoded as JSON."""
        ...

    async def replace_history(self, compacted: Compacted) -> None:
        """Record a compaction, and let the model see what it leaves from now on. As `keep`. Raises JournalError."""

    def last_summary(self) -> str | None:
        """The summary that the last compaction left in the history, opening included; None if there was none."""
        ...

    def context(self) -> Sequence[dict[str, Any]]:
        """The messages that tell the model of its surroundings, all of them."""
        ...

    def context_tokens(self) -> int:
        """How many tokens the history has, as far as answers have told."""
        ...

    def first_turn(self) -> Beginning | None:
        """How the thread came to be loaded; asked once, and None from then on."""
        ...

    def next_input(self) -> Said | None:
        """The oldest input that is neither said nor refused yet."""
        ...

    def input_done(self) -> None:
        """That one is said now, or refused."""

    def end(self) -> None:
        """Let nothing join the turn any more: what it still does is its last."""

    def cancel(self) -> None:
        """End the turn, as the user has answered."""

    def begun(self) -> None:
        """An answer begins: repeat the usage so far to subscribers, as Codex does before each answer but the first."""

    def spend(self, usage: Usage | None, *, aside: bool = False) -> None:
        """Account for one answer's tokens and tell subscribers; `aside` if they are no part of the thread's context."""

    def partial(self, answer: object | None) -> None:
        """Note the answer that is streaming a message (None: no more), for clients that join in the middle."""

    async def saved(self) -> None:
        """Wait until what was recorded is as safe as the configuration wants it between two items. Raises JournalError."""
