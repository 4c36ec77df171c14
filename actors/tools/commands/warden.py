"""A separate program that starts commands, and ends each with all that it started.

`process.Warden` starts it as ``python -I -S warden.py`` with a socket as standard input; it imports nothing of ours. There are
three kinds of process:

- the **warden**, one per runtime. For each command it receives one end of a socket (one byte with the descriptor), and forks a
  keeper for it. It is small and has one thread, so forking is cheap and safe.
- a **keeper**, one per command, forks the command and waits. On Linux it is a *subreaper*: every process that the command
  starts stays a descendant of the keeper, even in a new session or after its parent has died. So the keeper can find and kill
  all of them, and all are gone when it has no child.
- the **command** reads its order from the socket and executes it. It dies with its keeper (PR_SET_PDEATHSIG; the keeper has one
  thread, so the signal means its end).

A keeper shares its memory with the warden, except for the pages that one of them has written since. So both do little: what a
keeper needs is made before the fork, and the order is read by the process that becomes the command.

Only the runtime's process has the other end of a keeper's socket. When that process ends, even by SIGKILL, the keeper reads
the end of the stream and kills the tree. If a keeper is killed, its orphans become children of the warden, which is a subreaper
too and kills every child that is not a keeper.

An order is a length of four bytes and JSON of that length, `{"argv", "cwd", "env", "tty"}`, with the descriptors of standard
input, output and error. After it comes the end of the stream, which means: kill. A keeper writes lines: ``started <pid> <its
own pid>`` or ``failed <errno>``, then ``exited <status>`` (negative: the signal); and closes when nothing is left.
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
import sys
import termios

TYPE_CHECKING = False  # the keepers share more memory if less is loaded
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    Prctl = Callable[..., object]
    Parts = tuple[int, int, int, int, int, select.poll]
    """What a keeper needs: its socket, a pipe that a successful exec closes, a pipe that SIGCHLD writes to, a poll object."""

LENGTH = struct.Struct("!I")
_DESCRIPTOR = struct.Struct("i")
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)
_PAUSE_MS, _LONGEST_PAUSE_MS = 5, 500  # between two attempts to kill a tree
# the arguments of prctl: PR_SET_PDEATHSIG and PR_SET_CHILD_SUBREAPER of linux/prctl.h
_DIE_WITH_PARENT = (1, int(signal.SIGKILL), 0, 0, 0)
_ADOPT_ORPHANS = (36, 1, 0, 0, 0)


def _prctl() -> Prctl:
    """The system call on Linux. Elsewhere orphans escape, and only process groups are killed."""
    if not sys.platform.startswith("linux"):
        return lambda *arguments: None
    call = ctypes.CDLL(None).prctl
    call.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)
    return call


def parents(own: int, group: int) -> dict[int, int]:
    """Process id -> parent id of all processes, from /proc or `ps`; for `ps`, members of `group` are children of `own`."""
    found: dict[int, int] = {}
    try:
        numbers = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        import subprocess  # only here: the keepers share what the warden has loaded

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


def _bell() -> tuple[int, int]:
    """The reading and the writing end of a pipe for `signal.set_wakeup_fd`."""
    bell, ring = os.pipe()
    os.set_blocking(bell, False)
    os.set_blocking(ring, False)
    return bell, ring


def _ended(bell: int) -> tuple[list[tuple[int, int]], bool]:
    """Reap children after `bell`: (those that have ended, with their statuses; whether others are left)."""
    with contextlib.suppress(BlockingIOError):
        while os.read(bell, 512):
            pass
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended, False
        if pid == 0:
            return ended, True
        ended.append((pid, status))


def serve(requests: socket.socket) -> None:
    """Fork a keeper for each descriptor; return after the end of the stream and of the last keeper."""
    prctl = _prctl()
    prctl(*_ADOPT_ORPHANS)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    bell, ring = _bell()
    signal.set_wakeup_fd(ring, warn_on_full_buffer=False)
    keepers: set[int] = set()
    poll = select.poll()
    poll.register(bell, select.POLLIN)
    poll.register(requests, select.POLLIN)
    gc.freeze()  # a collection would write to the pages that the keepers share
    listening = True
    while listening or keepers:
        for fd, _ in poll.poll():
            if fd == bell:
                _count(_ended(bell)[0], keepers)
            elif (control := _received(requests)) is not None:
                keepers.add(_fork(control, requests.fileno(), prctl))
            else:
                poll.unregister(requests)
                listening = False


def _received(requests: socket.socket) -> int | None:
    """The next descriptor; None at the end of the stream."""
    data, attached, _, _ = requests.recvmsg(1, socket.CMSG_SPACE(_DESCRIPTOR.size))
    if not data:
        return None
    (control,) = _DESCRIPTOR.unpack(attached[0][2])
    os.set_inheritable(control, False)
    return int(control)


def _count(ended: list[tuple[int, int]], keepers: set[int]) -> None:
    """Remove those that have ended from `keepers`. If one had left something, kill all children that are no keepers."""
    complete = all(status == 0 and pid in keepers for pid, status in ended)
    keepers.difference_update(pid for pid, _ in ended)
    if not complete:
        for pid in _children(os.getpid()) or ():
            if pid not in keepers:
                for lower in descendants(pid):
                    _kill(lower)
                _kill(pid)


def _fork(control: int, requests: int, prctl: Prctl) -> int:
    """Fork a keeper; returns its id. It exits with 0 if nothing is left of its command."""
    parts = _parts(control)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(requests)
            _keep(parts, prctl)
            code = 0
        except BaseException as error:
            sys.excepthook(type(error), error, error.__traceback__)
        finally:
            os._exit(code)
    for fd in parts[:-1]:
        os.close(fd)
    return pid


def _parts(control: int) -> Parts:
    started, failed = os.pipe()
    bell, ring = _bell()
    poll = select.poll()
    poll.register(bell, select.POLLIN)
    poll.register(control, select.POLLIN)
    return control, started, failed, bell, ring, poll


def _keep(parts: Parts, prctl: Prctl) -> None:
    """Start a command, and wait until its tree is gone."""
    control, started, failed, bell, ring, poll = parts
    prctl(*_ADOPT_ORPHANS)
    signal.set_wakeup_fd(ring, warn_on_full_buffer=False)
    keeper = os.getpid()
    command = group = os.fork()
    if command == 0:
        _become(control, failed, keeper, prctl)
    os.close(failed)
    failure = os.read(started, 16)
    os.close(started)
    if failure:
        os.waitpid(command, 0)
        _send(control, b"failed %s\n" % failure)
        return
    _send(control, b"started %d %d\n" % (command, keeper))
    more = True
    while more:
        for fd, _ in poll.poll():
            if fd == control:  # no more input is defined, so this is the end
                _end(control, bell, command, group)
                return
        command, more = _reap(control, bell, command)


def _reap(control: int, bell: int, command: int) -> tuple[int, bool]:
    """Reap a keeper's children: (the command, or 0 if it has ended: its id may be reused; whether children are left)."""
    ended, more = _ended(bell)
    for pid, status in ended:
        if pid == command:
            command = 0
            _send(control, b"exited %d\n" % os.waitstatus_to_exitcode(status))
    return command, more


def _end(control: int, bell: int, command: int, group: int) -> None:
    """Kill the tree, repeatedly until it is gone."""
    pause = _PAUSE_MS
    if command:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(command, signal.SIGKILL)
        select.select([bell], [], [], _PAUSE_MS / 1000)  # usually that is all
    while True:
        command, more = _reap(control, bell, command)
        if not more:
            return
        for pid in descendants(os.getpid(), group):
            _kill(pid)
        select.select([bell], [], [], pause / 1000)
        pause = min(pause * 2, _LONGEST_PAUSE_MS)


def _send(control: int, line: bytes) -> None:
    try:  # noqa: SIM105 - suppress() would write to 18 more pages of the keeper
        os.write(control, line)
    except OSError:  # the runtime has gone
        pass


def _become(control: int, failed: int, keeper: int, prctl: Prctl) -> NoReturn:
    """Become the command that `control` orders, or write the errno to `failed`. Without an order, end."""
    try:
        os.setsid()
        prctl(*_DIE_WITH_PARENT)
        if os.getppid() == keeper and (received := _order(socket.socket(fileno=control))):
            _execute(*received)
    except OSError as error:
        os.write(failed, b"%d" % (error.errno or errno.EIO))
    except BaseException:
        os.write(failed, b"%d" % errno.EINVAL)
    finally:
        os._exit(127)


def _order(control: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """An order, and the descriptors of the three standard streams. None if the runtime has gone before it was complete."""
    head, fds, _, _ = socket.recv_fds(control, LENGTH.size, 3)
    with control.makefile("rb") as stream:
        head += stream.read(LENGTH.size - len(head))
        if len(head) < LENGTH.size:
            return None
        (length,) = LENGTH.unpack(head)
        body = stream.read(length)
    return (json.loads(body), fds) if len(body) == length else None


def _execute(order: dict[str, Any], fds: list[int]) -> None:
    signal.set_wakeup_fd(-1)
    for number in (*_IGNORED, signal.SIGCHLD, getattr(signal, "SIGXFSZ", signal.SIGPIPE)):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3) for fd in fds]
    for fd in fds:
        os.close(fd)
    for target, fd in enumerate(high):
        os.dup2(fd, target)
    if order["tty"]:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.chdir(str(order["cwd"]))
    os.execvpe(order["argv"][0], order["argv"], order["env"])


if __name__ == "__main__":
    channel = socket.socket(fileno=os.dup(0))
    os.dup2(1, 0)  # keepers close the channel: no other descriptor may become standard input
    serve(channel)
