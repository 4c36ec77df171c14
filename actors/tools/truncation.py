"""Output as the model gets it: cut in the middle to what it should have to read.

A token counts as four bytes. The forms are the reference's: ``head…N tokens truncated…tail`` or, for models whose limit
is in bytes, ``…N chars truncated…``; before that the number of lines there were.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from attrs import evolve, frozen

from spindle.actors.tools.interface import Output

BYTES_PER_TOKEN: Final = 4
Unit: TypeAlias = Literal["tokens", "bytes"]


@frozen
class Limit:
    """How much of an output a model is shown."""

    amount: int
    unit: Unit = "tokens"

    @property
    def size(self) -> int:
        """In bytes."""
        return self.amount * BYTES_PER_TOKEN if self.unit == "tokens" else self.amount


DEFAULT_LIMIT: Final = Limit(10_000)
"""Of `exec_command` and `write_stdin` without max_output_tokens."""
MODEL_LIMIT: Final = Limit(10_000, "bytes")
"""Of the other outputs, for models of which nothing else is known."""
SLACK: Final = (6, 5)
"""How much more than its limit a model gets of an output with all that was put around it, as in the reference."""


def token_count(text: str) -> int:
    """Tokens of `text`, roughly."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def truncate_middle(text: str, limit: Limit) -> str:
    """The beginning and the end of `text`, `limit` in all, with a mark that says how much is missing."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit.size:
        return text
    before = limit.size // 2
    after = limit.size - before
    head = data[:before].decode("utf-8", "ignore")
    tail = data[len(data) - after :].decode("utf-8", "ignore") if after else ""
    if limit.unit == "tokens":
        missing = f"{-(-(len(data) - limit.size) // BYTES_PER_TOKEN)} tokens"
    else:
        missing = f"{len(text) - len(head) - len(tail)} chars"
    return f"{head}…{missing} truncated…{tail}"


def fitted(output: Output, limit: Limit) -> Output:
    """Any tool's output as it is recorded for a model with this limit; of parts each text has it to itself."""
    most = evolve(limit, amount=limit.amount * SLACK[0] // SLACK[1])
    if isinstance(output, str):
        return truncate_middle(output, most)
    return [part | {"text": truncate_middle(part["text"], most)} if "text" in part else part for part in output]


def line_count(text: str) -> int:
    """Lines, the last one also if it is not ended."""
    return text.count("\n") + (not text.endswith("\n") if text else 0)


def shown_to_model(text: str, limit: Limit) -> str:
    """`text` as it is if it is short enough; otherwise the number of its lines and its two ends."""
    shown = truncate_middle(text, limit)
    return text if shown is text else f"Total output lines: {line_count(text)}\n\n{shown}"
