"""Truncate output for the model: the middle is left out.

A token counts as four bytes. The forms are Codex's: ``head…N tokens truncated…tail``, or ``…N chars truncated…`` for models
with a limit in bytes, after a line with the total number of lines.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from attrs import evolve

from spindle.actors.tools.interface import Output
from spindle.rpc.lazy_class import frozen

BYTES_PER_TOKEN: Final = 4
Unit: TypeAlias = Literal["tokens", "bytes"]


@frozen
class Limit:
    """The most output that a model gets."""

    amount: int
    unit: Unit = "tokens"

    @property
    def size(self) -> int:
        """In bytes."""
        return self.amount * BYTES_PER_TOKEN if self.unit == "tokens" else self.amount


DEFAULT_LIMIT: Final = Limit(10_000)
"""For `exec_command` and `write_stdin` without max_output_tokens."""
MODEL_LIMIT: Final = Limit(10_000, "bytes")
"""For other output, of models without a limit of their own."""
SLACK: Final = (6, 5)
"""Factor on the limit for an output with the text around it, as in Codex."""


def token_count(text: str) -> int:
    """The approximate number of tokens in `text`."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def truncate_middle(text: str, limit: Limit) -> str:
    """The beginning and the end of `text`, `limit` in total, with a mark for the omitted amount."""
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
    """A tool's output as it is recorded for a model with this limit; each text part may use the whole limit."""
    most = evolve(limit, amount=limit.amount * SLACK[0] // SLACK[1])
    if isinstance(output, str):
        return truncate_middle(output, most)
    return [part | {"text": truncate_middle(part["text"], most)} if "text" in part else part for part in output]


def line_count(text: str) -> int:
    """The number of lines; the last one may lack its newline."""
    return text.count("\n") + (not text.endswith("\n") if text else 0)


def shown_to_model(text: str, limit: Limit) -> str:
    """`text` if it fits; else its number of lines, its beginning and its end."""
    shown = truncate_middle(text, limit)
    return text if shown is text else f"Total output lines: {line_count(text)}\n\n{shown}"
