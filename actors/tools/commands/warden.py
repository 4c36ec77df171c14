"""A separate program that starts commands, and ends each with all that it started.

`process.Warden` starts it as ``python -I -S warden.py`` with a socket as standard input; it imports nothing of ours. There are
three kinds of process:

- the **warden**, one per runtime. For each command it receives one end of a socket (one byte with the descriptor), and forks a
  keeper for it. It is small and has one thread, so forking is cheap and safe.
- a **keeper**, one per command, starts the command and waits. On Linux it is a *subreaper*: every process that the command
  starts stays a descendant of the keeper, even in a new session or after its parent has died. So the keeper can find and kill
  all of them, and all are gone when it has no child.
- the **command** dies with its keeper (PR_SET_PDEATHSIG; the keeper has one thread, so the signal means its end).

Only the runtime's process has the other end of a keeper's socket. When that process ends, even by SIGKILL, the keeper reads
the end of the stream and kills the tree. If a keeper is killed, its orphans become children of the warden, which is a subreaper
too and kills every child that is not a keeper.

A keeper reads a length of four bytes and JSON of that length, `{"argv", "cwd", "env", "tty"}`, with the descriptors of standard
input, output and error; then the end of the stream, which means: kill. It writes lines: ``started <pid> <its own pid>`` or
``failed <errno>``, then ``exited <status>`` (negative: the signal); and closes when nothing is left.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import gc
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import traceback
from collections.abc import Callable
from typing import Any

LENGTH = struct.Struct("!I")
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)
_PAUSE_MS, _LONGEST_PAUSE_MS = 5, 500  # between two attempts to kill a tree

Prctl = Callable[[int, int], object]


def _prctl() -> Prctl:
    """The system call on Linux. Elsewhere orphans escape, and only process groups are killed."""
    if not sys.platform.startswith("linux"):
        return lambda option, value: None
    call = ctypes.CDLL(None, use_errno=True).prctl

    def prctl(option: int, value: int) -> object:
        return call(option, ctypes.c_ulong(value), 0, 0, 0)

    return prctl


def parents(own: int, group: int) -> dict[int, int]:
    """Process id -> parent id of all processes, from /proc or `ps`; for `ps`, members of `group` are children of `own`."""
    found: dict[int, int] = {}
    try:
        numbers = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        rows = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,pgid="], capture_output=True, check=False).stdout
        for row in rows.splitlines():
            pid, parent, leader = (int(word) for word in row.split())
            found[pid] = own if group and leader == group and pid != own else parent
        return found
    for number in numbers:
        try:
            with open(f"/proc/{number}/stat", "rb") as file:
                found[number] = int(file.read().rpartition(b")")[2].split()[1])
        except (OSError, IndexError):
            continue
    return found


def _children(pid: int) -> list[int] | None:
    """The children of a process, of all its threads; None if the kernel does not list them."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += [int(word) for word in file.read().split()]
    except OSError:
        return [] if os.path.exists("/proc/self/task") and not os.path.exists(f"/proc/{pid}") else None
    return found


def descendants(root: int, group: int = 0) -> list[int]:
    """All descendants of `root`, nearest first."""
    found: list[int] = []
    table: dict[int, list[int]] | None = None
    todo = [root]
    while todo:
        pid = todo.pop(0)
        below = _children(pid) if table is None else table.get(pid, [])
        if below is None:
            table = {}
            for child, parent in parents(root, group).items():
                table.setdefault(parent, []).append(child)
            below = table.get(pid, [])
        new = [child for child in below if child not in found and child != root]
        found += new
        todo += new
    return found


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it may run as another user
        os.kill(pid, signal.SIGKILL)


class Bell:
    """A pipe that becomes readable when a child has ended."""

    def __init__(self) -> None:
        self.fd, self._write = os.pipe()
        for fd in (self.fd, self._write):
            os.set_blocking(fd, False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def clear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self.fd, 512):
                pass

    def close(self) -> None:
        signal.set_wakeup_fd(-1)
        os.close(self.fd)
        os.close(self._write)


def _ended() -> tuple[list[tuple[int, int]], bool]:
    """(the children that have ended, with their statuses; whether others are left)"""
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended, False
        if pid == 0:
            return ended, True
        ended.append((pid, status))


class Keeper:
    """One command, from its start until its tree is gone."""

    def __init__(self, control: socket.socket, prctl: Prctl) -> None:
        self._control, self._prctl = control, prctl
        self._bell = Bell()
        self._pid = 0  # of the command; 0 after it was reaped
        self._group = 0

    def run(self) -> None:
        self._prctl(_SET_CHILD_SUBREAPER, 1)
        order, fds = self._order()
        failure = self._start(order, fds)
        for fd in fds:
            os.close(fd)
        if failure:
            self._send(f"failed {failure}")
            return
        self._send(f"started {self._pid} {os.getpid()}")
        poll = select.poll()
        poll.register(self._bell.fd, select.POLLIN)
        poll.register(self._control, select.POLLIN | select.POLLHUP)
        while self._reap():
            if any(fd != self._bell.fd for fd, _ in poll.poll()):  # no more input is defined, so this is the end
                self._end()
                return

    def _order(self) -> tuple[dict[str, Any], list[int]]:
        head, fds, _, _ = socket.recv_fds(self._control, LENGTH.size, 3)
        for fd in fds:
            os.set_inheritable(fd, False)
        while len(head) < LENGTH.size:
            head += self._receive(LENGTH.size - len(head))
        body = b""
        (length,) = LENGTH.unpack(head)
        parts: list[bytes] = []
        while length:
            body = self._receive(min(length, 1 << 16))
            parts.append(body)
            length -= len(body)
        return json.loads(b"".join(parts)), fds

    def _receive(self, most: int) -> bytes:
        data = self._control.recv(most)
        if not data:
            os._exit(0)
        return data

    def _start(self, order: dict[str, Any], fds: list[int]) -> int:
        """Start the command; returns the errno of a failure, else 0."""
        read, write = os.pipe()
        keeper = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                self._become(order, fds, keeper)
            except OSError as error:
                os.write(write, str(error.errno or errno.EIO).encode())
            except BaseException:
                os.write(write, str(errno.EINVAL).encode())
            os._exit(127)
        self._group = self._pid
        os.close(write)
        failure = os.read(read, 16)  # closed by a successful exec
        os.close(read)
        if failure:
            os.waitpid(self._pid, 0)
            self._pid = 0
        return int(failure or 0)

    def _become(self, order: dict[str, Any], fds: list[int], keeper: int) -> None:
        """In the child: execute the command."""
        os.setsid()
        self._prctl(_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper:
            os._exit(127)
        signal.set_wakeup_fd(-1)
        for number in (*_IGNORED, signal.SIGCHLD, getattr(signal, "SIGXFSZ", signal.SIGPIPE)):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3) for fd in fds]
        for target, fd in enumerate(high):
            os.dup2(fd, target)
        if order["tty"]:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        os.chdir(str(order["cwd"]))
        os.execvpe(order["argv"][0], order["argv"], order["env"])

    def _reap(self) -> bool:
        """Reap children; False when none is left, so the tree is gone."""
        self._bell.clear()
        ended, more = _ended()
        for pid, status in ended:
            if pid == self._pid:
                self._pid = 0
                self._send(f"exited {os.waitstatus_to_exitcode(status)}")
        return more

    def _end(self) -> None:
        """Kill the tree, repeatedly until it is gone."""
        pause = _PAUSE_MS
        if self._pid:  # after reaping, the id may be reused
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, signal.SIGKILL)
            select.select([self._bell.fd], [], [], _PAUSE_MS / 1000)  # usually that is all
        while self._reap():
            for pid in descendants(os.getpid(), self._group):
                _kill(pid)
            select.select([self._bell.fd], [], [], pause / 1000)
            pause = min(pause * 2, _LONGEST_PAUSE_MS)

    def _send(self, line: str) -> None:
        with contextlib.suppress(OSError):  # the runtime has gone
            self._control.sendall(line.encode() + b"\n")


def keep(control: socket.socket, prctl: Prctl) -> None:
    """Be a keeper; never returns."""
    try:
        Keeper(control, prctl).run()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def serve(requests: socket.socket) -> None:
    """Fork a keeper for each descriptor; return after the end of the stream and of the last keeper."""
    prctl = _prctl()
    prctl(_SET_CHILD_SUBREAPER, 1)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    bell = Bell()
    keepers: set[int] = set()
    poll = select.poll()
    poll.register(bell.fd, select.POLLIN)
    poll.register(requests, select.POLLIN)
    gc.freeze()  # keepers share these pages
    listening = True
    while listening or keepers:
        ready = {fd for fd, _ in poll.poll()}
        if bell.fd in ready:
            bell.clear()
            ended = {pid for pid, _ in _ended()[0]}
            keepers -= ended
            _sweep(keepers)
        if listening and requests.fileno() in ready:
            data, fds, _, _ = socket.recv_fds(requests, 1, 1)
            if not data:
                poll.unregister(requests)
                listening = False
                continue
            control = socket.socket(fileno=fds[0])
            control.set_inheritable(False)
            pid = os.fork()
            if pid == 0:
                bell.close()
                requests.close()
                keep(control, prctl)
            control.close()
            keepers.add(pid)


def _sweep(keepers: set[int]) -> None:
    """Kill children of the warden that are not keepers: orphans of a killed keeper."""
    for pid in _children(os.getpid()) or ():
        if pid not in keepers:
            for lower in descendants(pid):
                _kill(lower)
            _kill(pid)


if __name__ == "__main__":
    serve(socket.socket(fileno=0))
