"""Start a command, and end it with all that it started: the runtime's side.

A separate program (`warden`) does the work. It and all commands end when this process ends, even by SIGKILL.
"""

from __future__ import annotations

import array
import fcntl
import json
import logging
import os
import pty
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from itertools import pairwise
from typing import Final

import trio
from attrs import field

from spindle.actors.tools.commands import warden as program
from spindle.actors.tools.sandbox.confinement import Confinement
from spindle.rpc.lazy_class import frozen

BLOCK: Final = 32 * 1024
"""Bytes read at a time; few, so that handling them does not delay other tasks."""
_LAST_WAIT: Final = 5.0  # seconds that closing waits for the end of a tree
ROWS, COLUMNS = 24, 80
# no keys: a command can read the environment of its ancestors in /proc
_OF_WARDENS: Final = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


@frozen(kw_only=True)
class Command:
    """A command to start. Without `tty`, standard input is empty unless `stdin`; `split` separates standard error.

    `confinement` is the confinement that the caller applies, if any. `may_connect`: a program that the user has configured; it
    may be a client of the server that runs it, which commands may not.
    """

    argv: Sequence[str]
    cwd: str
    env: Mapping[str, str]
    tty: bool = False
    stdin: bool = False
    split: bool = False
    size: tuple[int, int] = field(default=(ROWS, COLUMNS))
    confinement: Confinement | None = None
    may_connect: bool = False
    thread_id: str | None = None
    """The thread that it is run for, if it is one of its commands."""


@frozen
class Trees:
    """The process ids of the roots: the warden, and the keepers of commands and of programs that may connect."""

    warden: int | None
    commands: frozenset[int]
    others: frozenset[int]

    def hold(self, lineage: Sequence[int]) -> bool:
        """Whether a process belongs to a command. `lineage`: the process and its ancestors, nearest first."""
        for pid, parent in pairwise((*lineage, 0)):
            # a command's process may reuse the id of a keeper that has ended, but has another parent
            if pid in self.others and parent == self.warden:
                return False
            if pid in self.commands or pid == self.warden:  # a child of the warden: its keeper was killed
                return True
        return False


log = logging.getLogger("spindle.command")


class Process:
    """A running command. An async context manager: the end of the block kills its tree."""

    def __init__(
        self, command: Command, control: trio.socket.SocketType, ends: _Ends, closed: Callable[[Process], None]
    ) -> None:
        """`closed` is called at the end of `aclose`."""
        self.command = command
        self.began = time.monotonic()
        self._control, self._ends, self._closed = control, ends, closed
        self._received = bytearray()
        self._reading = trio.Lock()
        self._over = False
        self.pid = 0
        self.keeper = 0
        """The id of its keeper; 0 before the start, and when the tree is gone."""
        self.status: int | None = None
        """The exit code, or the negated number of the signal that ended it; None while it runs."""

    async def __aenter__(self) -> Process:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    @property
    def input(self) -> trio.lowlevel.FdStream | None:
        """The command's standard input, if any. Closed with the process."""
        return self._ends.input

    @property
    def output(self) -> trio.lowlevel.FdStream | None:
        """The command's output as a stream; see `read`. Closed with the process."""
        return self._ends.output

    @property
    def error(self) -> trio.lowlevel.FdStream | None:
        """A `split` command's standard error as a stream. Closed with the process."""
        return self._ends.error

    async def read(self) -> bytes:
        """Read some output; without `split`, both streams mixed. Empty at the end."""
        return await _read(self._ends.output)

    async def read_error(self) -> bytes:
        """Read some of a `split` command's standard error. Empty at the end."""
        return await _read(self._ends.error)

    async def write(self, data: bytes) -> None:
        """Write to standard input; waits while the command does not read. Raises BrokenResourceError if nothing can read it."""
        if self._ends.input is None:
            raise trio.ClosedResourceError("the command has no standard input")
        await self._ends.input.send_all(data)

    async def close_input(self) -> None:
        """Close standard input. No effect on a terminal."""
        if self._ends.input is not None and self._ends.input is not self._ends.output:
            await self._ends.input.aclose()

    def resize(self, rows: int, columns: int) -> None:
        """Set the size of the command's terminal. Raises OSError if it has none."""
        assert self._ends.output is not None
        fcntl.ioctl(self._ends.output.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    async def wait(self) -> int:
        """Wait until the command itself has ended; returns `status`. Does not wait for background processes."""
        while self.status is None:
            async with self._reading:
                if not self._settled and not await self.receive():
                    self.status = -9  # its keeper was killed, and so the command
        return self.status

    @property
    def _settled(self) -> bool:
        return self.status is not None

    async def wait_tree(self) -> None:
        """Wait until the command and all that it started have ended."""
        while not self._over:
            async with self._reading:
                if not self._over:
                    await self.receive()

    def kill(self) -> None:
        """Kill the command and all that it started. Does not wait; see `wait_tree`."""
        if not self._over:
            try:
                self._control.shutdown(socket.SHUT_WR)
            except OSError:
                self._over = True

    async def aclose(self) -> None:
        """Kill the tree, wait until it is gone (at most `_LAST_WAIT` seconds), and close the descriptors. Not cancelled."""
        self.kill()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _LAST_WAIT):
            await self.wait_tree()
        if self.pid:
            log.debug("process %d has ended: %s after %.1f s", self.pid, self.status, time.monotonic() - self.began)
        self._control.close()
        self._ends.close()
        self._closed(self)

    async def receive(self) -> bool:
        """Handle one message of the keeper; False at the end. Raises OSError if the command could not be started."""
        while b"\n" not in self._received:
            try:
                data = await self._control.recv(256)
            except OSError:
                data = b""
            if not data:
                self._over = True
                self.keeper = 0
                return False
            self._received += data
        line, _, rest = bytes(self._received).partition(b"\n")
        self._received = bytearray(rest)
        match line.split():
            case b"started", pid, keeper:
                self.pid, self.keeper = int(pid), int(keeper)
            case b"exited", status:
                self.status = int(status)
            case _, number:
                raise OSError(int(number), os.strerror(int(number)))
            case _:
                raise AssertionError(line)
        return True


class Warden:
    """Starts commands. Open it with `open_warden`; the first command starts the warden's process."""

    def __init__(self) -> None:
        self._lock = trio.Lock()
        self._requests: trio.socket.SocketType | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._holders = 0
        self._processes: set[Process] = set()
        self.commanded = False
        """Whether a command was ever started, other than a program that may connect."""

    def running(self) -> list[Process]:
        """The commands that run, also those of which only background processes are left."""
        return [process for process in self._processes if process.keeper]

    def trees(self) -> Trees:
        """The running trees."""
        running = self.running()
        return Trees(
            None if self._child is None else self._child.pid,
            frozenset(process.keeper for process in running if not process.command.may_connect),
            frozenset(process.keeper for process in running if process.command.may_connect),
        )

    async def start(self, command: Command) -> Process:
        """Start a command; the caller closes the process. Raises OSError, for instance for a missing program or directory."""
        self.commanded |= not command.may_connect
        ours, keepers = socket.socketpair()
        try:
            ends, theirs = _open_ends(command)
        except OSError:
            ours.close()
            keepers.close()
            raise
        control = trio.socket.from_stdlib_socket(ours)
        process = Process(command, control, ends, self._processes.discard)
        self._processes.add(process)
        try:
            try:
                await self._send(keepers.fileno())
                await _order(control, command, theirs)
            finally:
                keepers.close()
                for fd in set(theirs):
                    os.close(fd)
            if not await process.receive():
                raise OSError("the warden's process has ended")
            log.debug("process %d is started: %s", process.pid, os.path.basename(command.argv[0]))  # arguments may be secret
        except BaseException:
            await process.aclose()
            raise
        return process

    @asynccontextmanager
    async def held(self) -> AsyncGenerator[None]:
        """Keep the warden's process for the block; it ends with the last such block.

        A later command would start it again, which takes about 25 ms.
        """
        self.hold()
        try:
            yield
        finally:
            await self.let_go()

    def hold(self) -> None:
        """Keep the warden's process until `let_go`: what `held` does, for a holder without a block or a task of its own."""
        self._holders += 1

    async def let_go(self) -> None:
        """Keep it no longer. The last holder ends it, bounded as `aclose` is."""
        self._holders -= 1
        if not self._holders:
            await self.aclose()

    async def aclose(self) -> None:
        """End the warden's process, which waits for the last command. Not cancelled; bounded by `_LAST_WAIT`."""
        requests, child = self._requests, self._child
        self._requests = self._child = None
        if requests is not None:
            requests.close()
        if child is not None:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(partial(_end, child))

    async def _send(self, fd: int) -> None:
        async with self._lock:
            try:
                await _pass(self._requests or await self._open(), fd)
            except (OSError, trio.ClosedResourceError):  # the warden's process was killed; its keepers live on
                await self.aclose()
                await _pass(await self._open(), fd)

    async def _open(self) -> trio.socket.SocketType:
        ours, theirs = socket.socketpair()
        argv = [sys.executable, "-I", "-S", program.__file__]
        try:
            with theirs, trio.CancelScope(shield=True):  # a cancellation must not lose the child
                self._child = await trio.to_thread.run_sync(partial(_begin, argv, theirs))
        except BaseException:
            ours.close()
            raise
        self._requests = trio.socket.from_stdlib_socket(ours)
        return self._requests


@asynccontextmanager
async def open_warden() -> AsyncGenerator[Warden, None]:
    """A `Warden` for the block; all its commands end with the block."""
    warden = Warden()
    try:
        yield warden
    finally:
        await warden.aclose()


def _begin(argv: Sequence[str], requests: socket.socket) -> subprocess.Popen[bytes]:
    env = {name: os.environ[name] for name in _OF_WARDENS if name in os.environ}
    return subprocess.Popen(
        argv, stdin=requests.fileno(), stdout=subprocess.DEVNULL, start_new_session=True, cwd="/", env=env
    )


def _end(child: subprocess.Popen[bytes]) -> None:
    try:
        child.wait(_LAST_WAIT)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


@frozen
class _Ends:
    """Our ends of the command's streams; a terminal has one stream for both."""

    input: trio.lowlevel.FdStream | None
    output: trio.lowlevel.FdStream | None
    error: trio.lowlevel.FdStream | None = None

    def close(self) -> None:
        for stream in {self.input, self.output, self.error}:
            if stream is not None and stream.fileno() >= 0:
                stream.close()


def _open_ends(command: Command) -> tuple[_Ends, list[int]]:
    """The streams of a command: our ends, and the descriptors of its three standard streams. Raises OSError."""
    with ExitStack() as opened:  # closed if a later one cannot be opened

        def pair(fds: tuple[int, int]) -> tuple[int, int]:
            for fd in fds:
                opened.callback(os.close, fd)
            return fds

        if command.tty:
            master, slave = pair(pty.openpty())
            rows, columns = command.size
            fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            terminal = trio.lowlevel.FdStream(master)
            ends, theirs = _Ends(terminal, terminal), [slave, slave, slave]
        else:
            read, write = pair(os.pipe())
            error_read, error_write = pair(os.pipe()) if command.split else (None, write)
            if command.stdin:
                empty, ours = pair(os.pipe())
            else:
                empty, ours = os.open(os.devnull, os.O_RDONLY), None
            ends = _Ends(*(None if fd is None else trio.lowlevel.FdStream(fd) for fd in (ours, read, error_read)))
            theirs = [empty, write, error_write]
        opened.pop_all()
        return ends, theirs


async def _pass(requests: trio.socket.SocketType, fd: int) -> None:
    await requests.sendmsg([b"k"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])


async def _order(control: trio.socket.SocketType, command: Command, fds: Sequence[int]) -> None:
    order = {"argv": list(command.argv), "cwd": command.cwd, "env": dict(command.env), "tty": command.tty}
    body = json.dumps(order).encode()
    message = memoryview(program.LENGTH.pack(len(body)) + body)
    sent = await control.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
    while sent < len(message):
        sent += await control.send(message[sent:])


async def _read(stream: trio.lowlevel.FdStream | None) -> bytes:
    if stream is None:
        return b""
    try:
        return bytes(await stream.receive_some(BLOCK))
    except (trio.BrokenResourceError, trio.ClosedResourceError):  # EIO on Linux when no process has the terminal open
        return b""
