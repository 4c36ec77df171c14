"""The program of the key `notify`: started for each completed turn, with the turn as its last argument; no turn waits for it.

The argument is that of Codex 0.124 (`agent-turn-complete`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final

import orjson
import trio

from spindle.actors.tools.commands.process import Command, Warden
from spindle.rpc.lazy_class import frozen

log = logging.getLogger("spindle")

LONGEST: Final = 60.0
"""Deadline of the program in seconds."""
LONGEST_ARGUMENT: Final = 120 * 1024
"""Bytes; Linux refuses an argument of 128 KiB."""
LAST_WAIT: Final = 2.0
"""Seconds that it has left when the runtime ends, which is often just after a turn."""


@frozen(kw_only=True)
class TurnDone:
    """A completed turn; `inputs` are the texts of all user messages of the thread."""

    thread_id: str
    turn_id: str
    cwd: str
    client: str | None
    inputs: Sequence[str]
    last_message: str | None

    def argument(self) -> str:
        """The program's last argument; the oldest inputs are left out if it would be too long."""
        members: dict[str, object] = {
            "type": "agent-turn-complete",
            "thread-id": self.thread_id,
            "turn-id": self.turn_id,
            "cwd": self.cwd,
        }
        if self.client is not None:
            members["client"] = self.client
        inputs: list[orjson.Fragment] = []
        members |= {"input-messages": inputs, "last-assistant-message": self.last_message}
        room = LONGEST_ARGUMENT - len(orjson.dumps(members))
        for text in map(orjson.dumps, reversed(self.inputs)):
            room -= len(text) + 1
            if room < 0:
                break
            inputs.append(orjson.Fragment(text))
        inputs.reverse()
        return orjson.dumps(members).decode()


class Notices:
    """The running notify programs."""

    def __init__(self) -> None:
        self._running: dict[trio.CancelScope, trio.Event] = {}

    async def run(
        self, warden: Warden, program: Sequence[str], env: Mapping[str, str], cwd: str, done: TurnDone
    ) -> None:
        """Run `program` in `cwd` to its end. Run this as a task; a program that cannot start is logged."""
        scope = trio.CancelScope(shield=True, deadline=trio.current_time() + LONGEST)
        over = self._running[scope] = trio.Event()
        try:
            with scope:
                command = Command(argv=[*program, done.argument()], cwd=cwd, env=env, may_connect=True)
                async with warden.held(), await warden.start(command) as process:
                    while await process.read():
                        pass  # its output is discarded
                    await process.wait_tree()
        except OSError as error:
            text = "thread %s: the notify program %s could not be started: %s"
            log.warning(text, done.thread_id, program[0], error)
        finally:
            del self._running[scope]
            over.set()

    async def aclose(self) -> None:
        """Wait up to `LAST_WAIT` for the programs, then kill them."""
        for scope in self._running:
            scope.deadline = min(scope.deadline, trio.current_time() + LAST_WAIT)
        for over in list(self._running.values()):
            await over.wait()
