"""`shell` and `shell_command`: commands that are waited for, and killed when their time is over."""

from __future__ import annotations

import json
from typing import Final

import trio
from attrs import frozen

from spindle.actors.tools.commands.execution import Around, Execution, plain
from spindle.actors.tools.commands.items import CommandItem
from spindle.actors.tools.commands.process import Command, Warden
from spindle.actors.tools.interface import Tasks
from spindle.actors.tools.truncation import MODEL_LIMIT, Limit, line_count, shown_to_model, truncate_middle

TIMEOUT: Final = 10_000
"""Milliseconds, where the model says nothing."""
TIMED_OUT: Final = 124


@frozen
class Result:
    """How a command ended: `exit_code` 124 after its time was over, -1 if by a signal."""

    exit_code: int
    output: str
    seconds: float

    @property
    def _told(self) -> str:
        if self.exit_code == TIMED_OUT:
            return f"command timed out after {int(self.seconds * 1000)} milliseconds\n{self.output}"
        return self.output

    def shown(self, limit: Limit = MODEL_LIMIT) -> str:
        """The output as the model reads it."""
        return shown_to_model(self._told, limit)

    def json(self, limit: Limit = MODEL_LIMIT) -> str:
        """The answer of `shell`."""
        metadata = {"exit_code": self.exit_code, "duration_seconds": round(self.seconds, 1)}
        answer = {"output": self.shown(limit), "metadata": metadata}
        return json.dumps(answer, ensure_ascii=False, separators=(",", ":"))

    def text(self, limit: Limit = MODEL_LIMIT) -> str:
        """The answer of `shell_command`."""
        told = self._told
        shown = truncate_middle(told, limit)
        lines = [f"Exit code: {self.exit_code}", f"Wall time: {round(self.seconds, 1):g} seconds"]
        if shown is not told:
            lines.append(f"Total output lines: {line_count(told)}")
        return "\n".join([*lines, "Output:", shown])


async def run_shell(
    warden: Warden,
    nursery: Tasks,
    item: CommandItem,
    command: Command,
    *,
    timeout_ms: int | None = None,
    around: Around = plain,
) -> Result:
    """Run `command` to its end, or kill it after `timeout_ms`. The caller completes the item.

    What the command leaves running in the background stays until `nursery` ends. Raises OSError if the command cannot be
    started, and what `around` raises. Cancelled, it kills the command and completes the item.
    """
    item.start()
    execution = Execution(warden, command, emit=item.delta, room=item.host.room, linger=True, around=around)
    timed_out = False
    try:
        await nursery.start(execution.run)
        with trio.move_on_after((TIMEOUT if timeout_ms is None else max(timeout_ms, 0)) / 1000) as scope:
            await execution.exited.wait()
        if scope.cancelled_caught:
            timed_out = True
            await execution.end()
    except trio.Cancelled:
        await execution.end()
        item.complete(execution.exit_code, execution.transcript.text(), execution.seconds)
        raise
    return Result(TIMED_OUT if timed_out else execution.exit_code, execution.transcript.text(), execution.seconds)
