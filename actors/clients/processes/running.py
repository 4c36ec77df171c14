"""One process of a client: its streams, its limits and its end."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Literal, TypeAlias

import trio
from attrs import define, evolve, field

from spindle.actors.kernel.mailbox import Reply
from spindle.actors.tools.commands.execution import Around
from spindle.actors.tools.commands.process import Command, Process, Warden
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.errors import invalid_request, overloaded

Stream: TypeAlias = Literal["stdout", "stderr"]

GRACE: Final = 0.05
"""Seconds to wait for the end of the output after the process has ended; then what it has started is killed."""
DRAIN: Final = 1.0
"""Seconds that the rest of the output may pause after everything was killed."""
INPUTS: Final = 64
"""Writes to standard input that may wait until the process reads; more are refused as overload."""
TIMED_OUT: Final = 124
MOST: Final = 64 * 1024 * 1024
"""Bytes that are held for one client: output that is not streamed, and input that waits."""
_END_OF_LINE_AND_FILE: Final = b"\n\x04"


@frozen(kw_only=True)
class Wanted:
    """What to run. `timeout` in seconds; `cap` in bytes for each stream; `streamed`: output is emitted and not kept."""

    command: Command
    timeout: float
    cap: int | None
    streamed: bool
    writable: bool
    """Whether the client writes to standard input."""


@define
class Held:
    """The bytes that are held for the processes of one client."""

    size: int = 0

    def take(self, count: int) -> bool:
        """Hold more, if that is allowed."""
        if self.size + count > MOST:
            return False
        self.size += count
        return True

    def free(self, count: int) -> None:
        """Hold less."""
        self.size -= count


@define
class Captured:
    """What a stream has given so far."""

    data: bytearray = field(factory=bytearray)
    size: int = 0
    capped: bool = False
    """Whether something was left out."""

    def text(self) -> str:
        """The data as text: UTF-8, or Windows-1252 if it is not."""
        try:
            return self.data.decode("utf-8")
        except UnicodeDecodeError as error:
            if self.capped and error.reason == "unexpected end of data":
                return self.data[: error.start].decode("utf-8")
            return self.data.decode("cp1252", errors="replace")


@frozen
class Ended:
    """How a process ended. `status`: its exit code, the negated number of a signal, or `TIMED_OUT`.

    held: something that it had started held its output open, and was killed.
    lost: output was left out although the cap allowed it, because too much is held for the client.
    """

    status: int
    streams: Mapping[Stream, Captured]
    held: bool
    lost: bool


@frozen
class _Input:
    data: bytes
    close: bool
    reply: Reply[None]


class Running:
    """A process, from the request for it to its end. `emit(stream, data, capped)` is called for streamed output.

    `room` waits while the client is behind: then the process waits, too, once its pipes are full.
    """

    def __init__(
        self,
        warden: Warden,
        wanted: Wanted,
        emit: Callable[[Stream, bytes, bool], None],
        room: Callable[[], Awaitable[None]],
        held: Held,
    ) -> None:
        self.wanted = wanted
        self._size = wanted.command.size
        self._held, self._lost = held, False
        self._warden, self._emit, self._room = warden, emit, room
        self._process: Process | None = None
        self._killed = False
        self._input_closed = False
        self._inputs, self._given = trio.open_memory_channel[_Input](INPUTS)
        self._streams: dict[Stream, Captured] = {"stdout": Captured(), "stderr": Captured()}
        self._reads: set[trio.CancelScope] = set()
        self._last_read = math.inf

    async def run(
        self, command: Command, around: Around, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> Ended:
        """Run it to its end. Raises OSError if it cannot be started, and what `around` raises. If cancelled, it is killed."""
        try:
            async with around(command) as inside, await self._warden.start(evolve(inside, size=self._size)) as process:
                self._process = process
                if self._size != command.size:
                    process.resize(*self._size)
                if self._killed:
                    process.kill()
                task_status.started()
                return await self._until_end(process)
        finally:
            self._process = None
            self._held.free(sum(len(captured.data) for captured in self._streams.values()))
            self._inputs.close()
            with self._given:
                self._refuse_the_rest()

    def kill(self) -> None:
        """Kill it and all that it started. Does not wait."""
        self._killed = True
        if self._process is not None:
            self._process.kill()

    def write(self, data: bytes, close: bool, reply: Reply[None]) -> None:
        """Write to its standard input in turn, then close it if `close`. Raises RpcError."""
        if self._input_closed:
            if data:
                raise invalid_request("stdin is already closed")
            reply.resolve(None)
            return
        if not self._held.take(len(data)):
            raise overloaded()
        try:
            self._inputs.send_nowait(_Input(data, close, reply))
        except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._held.free(len(data))
            raise overloaded() if isinstance(error, trio.WouldBlock) else invalid_request("stdin is already closed") from None
        self._input_closed = close

    def resize(self, rows: int, columns: int) -> None:
        """Set the size of its terminal, also before it starts. Raises RpcError if it has none."""
        if not self.wanted.command.tty:
            raise invalid_request("failed to resize PTY: process is not attached to a PTY")
        self._size = (rows, columns)
        try:
            if self._process is not None:
                self._process.resize(rows, columns)
        except OSError as error:
            raise invalid_request(f"failed to resize PTY: {error}") from error

    # -- tasks

    async def _until_end(self, process: Process) -> Ended:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._feed, process)
            silent = trio.Event()
            nursery.start_soon(self._pump_all, process, silent)
            status = TIMED_OUT
            with trio.move_on_after(self.wanted.timeout) as limit:
                status = await process.wait()
            if not limit.cancelled_caught:
                with trio.move_on_after(GRACE):
                    await silent.wait()
            held = not silent.is_set() and not limit.cancelled_caught and not self._killed
            process.kill()
            self._expect_the_end()
            await silent.wait()
            nursery.cancel_scope.cancel()
        return Ended(status, self._streams, held, self._lost)

    def _expect_the_end(self) -> None:
        """From now on a read that takes long is the last."""
        self._last_read = DRAIN
        for scope in self._reads:
            scope.deadline = trio.current_time() + DRAIN

    async def _pump_all(self, process: Process, silent: trio.Event) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._pump, "stdout", process.read)
            if process.error is not None:
                nursery.start_soon(self._pump, "stderr", process.read_error)
        silent.set()

    async def _pump(self, stream: Stream, read: Callable[[], Awaitable[bytes]]) -> None:
        while data := await self._read(read):
            self._take(stream, data)
            if self.wanted.streamed:
                await self._room()

    async def _read(self, read: Callable[[], Awaitable[bytes]]) -> bytes:
        data = b""
        with trio.move_on_after(self._last_read) as scope:
            self._reads.add(scope)
            try:
                data = await read()
            finally:
                self._reads.discard(scope)
        return data

    def _take(self, stream: Stream, data: bytes) -> None:
        captured = self._streams[stream]
        if captured.capped:
            return
        cap = self.wanted.cap
        kept = data if cap is None else data[: max(cap - captured.size, 0)]
        if not self.wanted.streamed and not self._held.take(len(kept)):
            kept, self._lost = b"", True
        captured.size += len(kept)
        captured.capped = len(kept) < len(data) or captured.size == cap
        if self.wanted.streamed:
            self._emit(stream, kept, captured.capped)
        else:
            captured.data += kept

    async def _feed(self, process: Process) -> None:
        async for given in self._given:
            try:
                if given.data:
                    await process.write(given.data)
                if given.close and self.wanted.command.tty:
                    await process.write(_END_OF_LINE_AND_FILE)
                elif given.close:
                    await process.close_input()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                given.reply.reject(invalid_request("stdin is already closed"))
            except trio.Cancelled:
                given.reply.reject(invalid_request("the process has ended"))
                raise
            else:
                given.reply.resolve(None)
            finally:
                self._held.free(len(given.data))

    def _refuse_the_rest(self) -> None:
        while True:
            try:
                given = self._given.receive_nowait()
            except (trio.WouldBlock, trio.EndOfChannel):
                return
            self._held.free(len(given.data))
            given.reply.reject(invalid_request("the process has ended"))
