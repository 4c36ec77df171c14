"""One run of a command: the process, its output to subscribers and to the buffers, and its end.

`run` is a task of the nursery that the command may live as long as; when it is cancelled, the tree is gone when it returns.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, TypeAlias

import trio

from spindle.actors.tools.commands.output import Deltas, HeadTail, new_decoder
from spindle.actors.tools.commands.process import Command, Process, Warden

GRACE: Final = 0.05
"""Seconds that the output may stay open after the command has ended, as in the reference."""
_DRAIN: Final = 1.0  # seconds for the rest of the output, once nobody is left to write any
_LAST_WAIT: Final = 5.0


Around: TypeAlias = Callable[[Command], AbstractAsyncContextManager[Command]]
"""What is started instead of a command, such as the same in a sandbox, and held as long as anything of it may run."""


@asynccontextmanager
async def plain(command: Command) -> AsyncGenerator[Command]:
    """The command itself."""
    yield command


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
        """`linger`: what the command leaves running stays until `run` is cancelled; otherwise it ends with the command."""
        self.command = command
        self._warden, self._linger, self._around = warden, linger, around
        self._deltas = Deltas(emit, room)
        self._process: Process | None = None
        self._silent = trio.Event()  # the output has ended
        self._killed = False
        self.exited = trio.Event()
        """Set when the command has ended and its output is complete."""
        self.exit_code = -1
        """Valid once it has exited; -1 if a signal ended it."""
        self.transcript = HeadTail()
        """All output."""
        self.unread = HeadTail()
        """The output since it was last taken."""
        self.seconds = 0.0
        self._began = 0.0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the command to its end. Does not raise but for `task_status`."""
        self._began = trio.current_time()
        try:
            async with self._around(self.command) as command, await self._warden.start(command) as process:
                self._process = process
                task_status.started()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._pump, process)
                    await self._until_exit(process)
                    if self._linger:
                        await process.gone()
                    nursery.cancel_scope.cancel()
        finally:
            self._process = None
            self._exit()

    @property
    def pid(self) -> int | None:
        """Of the command while it runs."""
        return self._process.pid if self._process is not None else None

    @property
    def elapsed(self) -> float:
        """Seconds since the command was started, until it exited."""
        return self.seconds if self.exited.is_set() else trio.current_time() - self._began

    def kill(self) -> None:
        """Kill the command and all it started; `exited` follows."""
        self._killed = True
        if self._process is not None:
            self._process.kill()

    async def end(self) -> None:
        """Kill it and wait until it is over, some seconds at most. Not cancelled."""
        self.kill()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _LAST_WAIT):
            await self.exited.wait()

    async def write(self, data: bytes) -> None:
        """Write to its input. Raises BrokenResourceError or ClosedResourceError if it takes none."""
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
        """Pass the output on; after the exit, when only what was left behind still writes, throw it away."""
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
