"""One run of a command: its process, its output to clients and buffers, and its end.

`run` is a task in the nursery that bounds the life of the command. If it is cancelled, it kills the tree and returns when the
tree is gone.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, TypeAlias

import trio
from attrs import evolve

from spindle.actors.tools.commands.output import Deltas, HeadTail, new_decoder
from spindle.actors.tools.commands.process import Command, Process, Warden
from spindle.actors.tools.sandbox.confinement import Confinement
from spindle.actors.tools.sandbox.sandbox import Sandbox

GRACE: Final = 0.05
"""Seconds to wait for the end of the output after the command has exited, as in Codex."""
_DRAIN: Final = 1.0  # seconds for the rest of the output after the tree was killed
_LAST_WAIT: Final = 5.0


Around: TypeAlias = Callable[[Command], AbstractAsyncContextManager[Command]]
"""Replaces a command, for instance by the same in a sandbox; its context lasts while any process of the command may run."""


@asynccontextmanager
async def plain(command: Command) -> AsyncGenerator[Command]:
    """The command itself."""
    yield command


def confined(sandbox: Sandbox, confinement: Confinement) -> Around:
    """The command in the sandbox. The context raises SandboxUnavailable."""

    @asynccontextmanager
    async def around(command: Command) -> AsyncGenerator[Command]:
        async with sandbox.confined(confinement, command.argv, command.env, tty=command.tty) as inside:
            yield evolve(command, argv=inside.argv, env=inside.env)

    return around


class Execution:
    """Start it with ``await nursery.start(execution.run)``, which raises OSError if the command cannot be started."""

    def __init__(
        self,
        warden: Warden,
        command: Command,
        *,
        emit: Callable[[str], None],
        room: Callable[[], Awaitable[None]],
        linger: bool = False,
        around: Around = plain,
    ) -> None:
        """`linger`: background processes of the command live until `run` is cancelled; else they end with the command."""
        self.command = command
        self._warden, self._linger, self._around = warden, linger, around
        self._deltas = Deltas(emit, room)
        self._process: Process | None = None
        self._silent = trio.Event()  # the output has ended
        self._killed = False
        self.exited = trio.Event()
        """Set when the command has ended and its output is complete."""
        self.exit_code = -1
        """Valid after the exit; -1 if a signal ended it."""
        self.transcript = HeadTail()
        """All output."""
        self.unread = HeadTail()
        """The output since it was last taken."""
        self.seconds = 0.0
        self._began = 0.0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the command to its end. Raises only before `task_status` is set."""
        self._began = trio.current_time()
        try:
            async with self._around(self.command) as command, await self._warden.start(command) as process:
                self._process = process
                task_status.started()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._pump, process)
                    await self._until_exit(process)
                    if self._linger:
                        await process.wait_tree()
                    nursery.cancel_scope.cancel()
        finally:
            self._process = None
            self._exit()

    @property
    def pid(self) -> int | None:
        """The process id while the command runs, else None."""
        return self._process.pid if self._process is not None else None

    @property
    def elapsed(self) -> float:
        """Seconds from the start to the exit, or until now."""
        return self.seconds if self.exited.is_set() else trio.current_time() - self._began

    def kill(self) -> None:
        """Kill the command and all that it started; `exited` is set soon after."""
        self._killed = True
        if self._process is not None:
            self._process.kill()

    async def end(self) -> None:
        """Kill it and wait for `exited`, at most `_LAST_WAIT` seconds. Not cancelled."""
        self.kill()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _LAST_WAIT):
            await self.exited.wait()

    async def write(self, data: bytes) -> None:
        """Write to its standard input. Raises BrokenResourceError or ClosedResourceError if that is closed."""
        if self._process is None:
            raise trio.ClosedResourceError("the command has ended")
        await self._process.write(data)

    async def _until_exit(self, process: Process) -> None:
        status = await process.wait()
        self.exit_code = max(status, -1)
        self._deltas.hurry()
        with trio.move_on_after(GRACE):
            await self._silent.wait()
        if not self._linger or self._killed:
            process.kill()
            with trio.move_on_after(_DRAIN):
                await self._silent.wait()
        await self._deltas.flush()
        self._exit()

    def _exit(self) -> None:
        if not self.exited.is_set():
            self.seconds = trio.current_time() - self._began
            self.exited.set()

    async def _pump(self, process: Process) -> None:
        """Forward the output; after the exit, discard what background processes write."""
        decoder = new_decoder()
        while True:
            block: bytes | None = None
            with trio.move_on_at(self._deltas.due):
                block = await process.read()
            if block is None:
                await self._deltas.flush()
                continue
            if not self.exited.is_set():
                self.transcript.push(block)
                self.unread.push(block)
                await self._deltas.add(decoder.decode(block, not block))
            if not block:
                break
        await self._deltas.flush()
        self._silent.set()
