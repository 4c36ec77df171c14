"""Run a hook's program with its input on standard input, until it ends or its deadline passes.

It starts as commands do, but outside any sandbox, with the runtime's environment except for its keys. If the waiting task is
cancelled, the program and all that it started are killed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final

import trio
from attrs import field

from spindle.actors.tools.commands.arguments import os_failure
from spindle.actors.tools.commands.process import Command, Process, Warden
from spindle.actors.tools.hooks.verdicts import ProgramEnd
from spindle.actors.tools.interface import BackgroundTasks
from spindle.rpc.lazy_class import frozen

OUTPUT_CAP: Final = 1024 * 1024
"""Bytes that are kept of each of its two outputs; the rest is read and discarded."""


NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


@frozen
class Starter:
    """Starts programs with `warden`; processes that they leave behind may live on in `nursery`."""

    warden: Warden
    nursery: BackgroundTasks
    shell: Callable[[str], list[str]]
    """The command line that runs a script."""
    environment: Callable[[], dict[str, str]]

    async def run(
        self, script: str, cwd: str, given: bytes, seconds: float, more: Mapping[str, str] = NOTHING
    ) -> ProgramEnd:
        """Run `script` with `given` as its standard input and `more` variables, until it has exited and its outputs are closed.

        A process that it leaves behind without the outputs ends with `nursery`, or after `seconds`. Does not raise.
        """
        until = trio.current_time() + seconds
        env = self.environment() | dict(more)
        command = Command(argv=self.shell(script), cwd=cwd, env=env, stdin=True, split=True, may_connect=True)
        try:
            process = await self.warden.start(command)
        except OSError as error:
            return ProgramEnd(failure=os_failure(error))
        out, err = _Kept(), _Kept()
        left = False
        try:
            with trio.move_on_at(until):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_feed, process, given)
                    nursery.start_soon(_read, process.read, out)
                    nursery.start_soon(_read, process.read_error, err)
                    status = await process.wait()
                left = True
                self.nursery.start_soon(_leave, process, until)
                return ProgramEnd(code=status if status >= 0 else None, out=out.text(), err=err.text())
        finally:
            if not left:
                await process.aclose()
        return ProgramEnd(failure=f"hook timed out after {seconds:g}s")


@frozen
class _Kept:
    data: bytearray = field(factory=bytearray)

    def text(self) -> str:
        return self.data.decode("utf-8", "replace")


async def _feed(process: Process, given: bytes) -> None:
    """Write the input; the program need not read it."""
    try:
        await process.write(given)
        await process.close_input()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass


async def _read(read: Callable[[], Awaitable[bytes]], kept: _Kept) -> None:
    while block := await read():
        kept.data.extend(block[: OUTPUT_CAP - len(kept.data)])


async def _leave(process: Process, until: float) -> None:
    async with process:
        with trio.move_on_at(until):
            await process.wait_tree()
