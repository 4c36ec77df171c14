"""The program of the key `notify`: it is told of each turn that has completed, by an argument, and nobody waits for it.

The form is that of Codex 0.124 (`agent-turn-complete`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final

import orjson
import trio
from attrs import frozen

from spindle.actors.tools.commands.process import Command, Warden

log = logging.getLogger("spindle")

LONGEST: Final = 60.0
"""Seconds that the program may take."""
LONGEST_ARGUMENT: Final = 120 * 1024
"""Bytes; Linux starts no program with one of 128 KiB."""
LAST_WAIT: Final = 2.0
"""Seconds that it still has when the runtime ends: a turn's end and the runtime's often come together."""


@frozen(kw_only=True)
class TurnDone:
    """What is told of a turn; `inputs` are the texts of all that the user has said in the thread."""

    thread_id: str
    turn_id: str
    cwd: str
    client: str | None
    inputs: Sequence[str]
    last_message: str | None

    def argument(self) -> str:
        """The program's last argument; the oldest inputs are left out where it would be too long."""
        told: dict[str, object] = {
            "type": "agent-turn-complete",
            "thread-id": self.thread_id,
            "turn-id": self.turn_id,
            "cwd": self.cwd,
        }
        if self.client is not None:
            told["client"] = self.client
        inputs: list[orjson.Fragment] = []
        told |= {"input-messages": inputs, "last-assistant-message": self.last_message}
        room = LONGEST_ARGUMENT - len(orjson.dumps(told))
        for text in map(orjson.dumps, reversed(self.inputs)):
            room -= len(text) + 1
            if room < 0:
                break
            inputs.append(orjson.Fragment(text))
        inputs.reverse()
        return orjson.dumps(told).decode()


class Notices:
    """The programs that are being told of turns."""

    def __init__(self) -> None:
        self._running: dict[trio.CancelScope, trio.Event] = {}

    async def tell(
        self, warden: Warden, program: Sequence[str], env: Mapping[str, str], cwd: str, done: TurnDone
    ) -> None:
        """Run `program` to its end, in `cwd`. A task of its own; a program that cannot be run is logged."""
        scope = trio.CancelScope(shield=True, deadline=trio.current_time() + LONGEST)
        over = self._running[scope] = trio.Event()
        try:
            with scope:
                command = Command(argv=[*program, done.argument()], cwd=cwd, env=env, may_connect=True)
                async with warden.held(), await warden.start(command) as process:
                    while await process.read():
                        pass  # nobody reads what it says
                    await process.gone()
        except OSError as error:
            log.warning("%s cannot be told of the end of a turn: %s", program[0], error)
        finally:
            del self._running[scope]
            over.set()

    async def aclose(self) -> None:
        """Wait for them, for a moment, then end them. Bounded."""
        for scope in self._running:
            scope.deadline = min(scope.deadline, trio.current_time() + LAST_WAIT)
        for over in list(self._running.values()):
            await over.wait()
