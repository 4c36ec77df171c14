"""Running a program of the user's with something to read, up to its end and within its time.

It is started as commands are, outside of any sandbox, with the environment of the runtime but for its keys. Whoever
waits for it may be cancelled; then it is gone, with all it started.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import trio
from attrs import field, frozen

from spindle.actors.tools.commands.arguments import os_failure
from spindle.actors.tools.commands.process import Command, Process, Warden
from spindle.actors.tools.hooks.verdicts import Ended
from spindle.actors.tools.interface import Tasks

OUTPUT_CAP: Final = 1024 * 1024
"""Bytes of each of its two outputs that count; what goes beyond is read and thrown away."""


@frozen
class Starter:
    """Where programs are started: by `warden`, and in `nursery` what they leave running may live on."""

    warden: Warden
    nursery: Tasks
    shell: Callable[[str], list[str]]
    """The command line that runs a script."""
    environment: Callable[[], dict[str, str]]

    async def run(self, script: str, cwd: str, given: bytes, seconds: float) -> Ended:
        """Run `script` with `given` on its standard input; it is over when it has ended and nobody holds its outputs.

        What it leaves running without them ends with the nursery, or when its `seconds` are over. Does not raise.
        """
        until = trio.current_time() + seconds
        command = Command(argv=self.shell(script), cwd=cwd, env=self.environment(), stdin=True, split=True, may_connect=True)
        try:
            process = await self.warden.start(command)
        except OSError as error:
            return Ended(failure=os_failure(error))
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
                return Ended(code=status if status >= 0 else None, out=out.text(), err=err.text())
        finally:
            if not left:
                await process.aclose()
        return Ended(failure=f"hook timed out after {seconds:g}s")


@frozen
class _Kept:
    data: bytearray = field(factory=bytearray)

    def text(self) -> str:
        return self.data.decode("utf-8", "replace")


async def _feed(process: Process, given: bytes) -> None:
    """A program need not read what it is given."""
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
            await process.gone()
