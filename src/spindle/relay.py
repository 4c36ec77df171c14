"""`spindle app-server --shared`: a relay between standard input and output and the home's shared daemon.

The relay starts the daemon if there is none. The daemon outlives it, and ends some time after its last client. Before anything
is relayed, the daemon compares the relay's process with its own (`rpc/relay/`). Standard library only, and little of it: each
client starts a relay, so it has to start fast and stay small.
"""

from __future__ import annotations

import _thread
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from spindle.rpc.relay.hello import hello
from spindle.storage import shared_folder
from spindle.storage.home_path import HomeError, home_path

PATIENCE = 30.0
"""Seconds in which a daemon has to answer the hello, its start or the end of an earlier one included."""
LAST_WORDS = 5
"""Seconds to write what the daemon still sends when the client has closed its end."""
LOCK_FD, LISTENER_FD = 3, 4
"""The descriptors that a daemon is started with; see `storage/shared_folder.py`."""
ENDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_STDIN, _STDOUT, _STDERR = 0, 1, 2
_CHUNK = 64 * 1024
_LONGEST_ANSWER = 64 * 1024
_LONGEST_REPORT = 16 * 1024
_MOST_DESCRIPTORS = 65536  # where the system has no limit
_PAUSE = 0.01
_HOW_ELSE = "start without --shared, or end the daemon first"


class NoDaemon(Exception):
    """No daemon serves this client; `str()` says why."""


def relay(config: Sequence[str], features: Sequence[tuple[str, bool]], started_with: Sequence[str] = ()) -> int:
    """Relay until the client or the daemon closes; returns the exit code.

    config: values of -c. features: names of --enable (True) and --disable (False). started_with: more options for the daemon,
    if this relay starts it.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback while it waits for the daemon
    try:
        words = hello(config, features)
        home = os.path.abspath(home_path(os.environ))
        shared_folder.enter(home)
        options = [*started_with, *passed_on(config, features)]
        connection, first = _accepted(home, json.dumps(words).encode() + b"\n", options)
    except (HomeError, NoDaemon, OSError) as error:
        print(f"spindle: {error}", file=sys.stderr)
        return 1
    if _carry(connection, first):
        return 0
    log = os.path.join(shared_folder.shared_folder(home), shared_folder.LOG)
    print(f"spindle: the shared daemon has closed the connection; its log is {log}", file=sys.stderr)
    return 1


def passed_on(config: Sequence[str], features: Sequence[tuple[str, bool]]) -> list[str]:
    """The options with which a daemon is started: -c, --enable and --disable."""
    options = [part for value in config for part in ("-c", value)]
    return options + [part for name, on in features for part in ("--enable" if on else "--disable", name)]


def proxy(path: str) -> int:
    """Copy bytes between standard input and output and a Unix socket, until one of them ends; returns the exit code."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.chdir(os.path.dirname(path) or ".")  # the whole path may be longer than a socket's may be
        connection.connect(os.path.basename(path))
    except OSError as error:
        print(f"spindle: failed to connect to socket at {path}: {error.strerror or error}", file=sys.stderr)
        return 1
    _carry(connection, b"")
    return 0


# -- finding the daemon


def _accepted(home: str, words: bytes, options: Sequence[str]) -> tuple[socket.socket, bytes]:
    """A connection whose hello was accepted, and what came after the answer. Raises NoDaemon, OSError."""
    deadline = time.monotonic() + PATIENCE
    while (left := deadline - time.monotonic()) > 0:
        report = None
        connection = shared_folder.connect(left)
        if connection is None and (lock := shared_folder.take_lock()) is not None:
            report = start(home, lock, options)
            connection = shared_folder.connect(left)
        if connection is not None:
            answer, rest = _ask(connection, words)
            if answer.get("accepted"):
                connection.settimeout(None)
                return connection, rest
            connection.close()
            if "refused" in answer:
                raise NoDaemon(f"{_named(home)} refuses this client: {answer['refused']}; {_HOW_ELSE}")
        if report is not None:
            raise NoDaemon(f"the shared daemon of {home} did not start: {report() or 'it said nothing'}")
        time.sleep(_PAUSE)  # it is ending, or another relay is starting it
    raise NoDaemon(f"{_named(home)} has neither answered nor ended in {PATIENCE:g} s; {_HOW_ELSE}")


def _named(home: str) -> str:
    pid, _ = shared_folder.owner()
    return f"the shared daemon of {home}{f' (pid {pid})' if pid else ''}"


def _ask(connection: socket.socket, words: bytes) -> tuple[Mapping[str, object], bytes]:
    """The answer to the hello, and what came after it. Nothing if the connection has ended, or the timeout."""
    data = b""
    with suppress(OSError):
        connection.sendall(words)
    with suppress(OSError):
        while b"\n" not in data and len(data) < _LONGEST_ANSWER and (chunk := connection.recv(_CHUNK)):
            data += chunk
    line, newline, rest = data.partition(b"\n")
    answer: dict[str, object] = json.loads(line) if newline else {}
    return answer, rest


def start(home: str, lock: int, options: Sequence[str]) -> Callable[[], str]:
    """Start a daemon with the lock; returns what reads the end of its log so far. For a process that has entered the folder.

    The lock and the socket are the daemon's then. Raises OSError.
    """
    server = shared_folder.listen()
    log = shared_folder.open_log()
    begin = os.fstat(log).st_size
    if (child := os.fork()) == 0:
        _become_daemon(home, lock, server.fileno(), log, options)
    with suppress(ChildProcessError):  # the relay's parent may have left SIGCHLD ignored
        os.waitpid(child, 0)
    for descriptor in (lock, log, server.detach()):
        os.close(descriptor)

    def report() -> str:
        with open(shared_folder.LOG, "rb") as file:
            file.seek(max(begin, os.fstat(file.fileno()).st_size - _LONGEST_REPORT))
            return file.read(_LONGEST_REPORT).decode(errors="replace").strip()

    return report


def _become_daemon(home: str, lock: int, server: int, log: int, options: Sequence[str]) -> None:
    """In a forked process: run the daemon in a session of its own. It is no child of the relay, so what ends the relay and
    its children does not end the daemon. It has no descriptor of the relay's client, which may wait for them to be closed.
    """
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        null = os.open(os.devnull, os.O_RDWR)
        kept = (null, null, log, lock, server)  # 0, 1, 2, LOCK_FD, LISTENER_FD
        free = max(*kept, len(kept)) + 1
        for number, descriptor in enumerate(kept):
            os.dup2(descriptor, free + number)
        for number in range(len(kept)):
            os.dup2(free + number, number)
        most = os.sysconf("SC_OPEN_MAX")
        os.closerange(len(kept), most if most > 0 else _MOST_DESCRIPTORS)
        os.chdir(home)
        program = [sys.executable, "-P", "-m", "spindle", "app-server", *options, "--serve-relays", home]
        os.execv(sys.executable, program)
    except BaseException as error:
        os.write(2, f"{error}\n".encode())
    finally:
        os._exit(127)


# -- relaying


def _carry(connection: socket.socket, first: bytes) -> bool:
    """Copy both ways until the daemon closes, or nobody reads standard output. Returns whether the client ended it."""
    hung_up: list[bool] = []

    def hang_up(number: int = 0, frame: object = None) -> None:
        hung_up.append(True)
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)  # the daemon ends the client, and then closes
        signal.alarm(LAST_WORDS)

    def send() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, (*ENDED, signal.SIGALRM))  # the main thread gets them, wherever it waits
        with suppress(OSError):  # the daemon has closed, which the main thread sees too
            while chunk := _read():
                connection.sendall(chunk)
            hang_up()

    for number in ENDED:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, hang_up)
    signal.signal(signal.SIGALRM, _exit)
    _thread.start_new_thread(send, ())
    try:
        _write(first)
        while data := _received(connection):
            _write(data)
    except OSError:
        return True  # nobody reads standard output
    return bool(hung_up)


def _exit(number: int, frame: object) -> None:
    os._exit(0)


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(_CHUNK)
    except ConnectionError:  # it was closed before it had read all
        return b""


def _read() -> bytes:
    while True:
        try:
            return os.read(_STDIN, _CHUNK)
        except BlockingIOError:
            _wait(_STDIN, select.POLLIN)
        except OSError:
            return b""


def _write(data: bytes) -> None:
    while data:
        try:
            data = data[os.write(_STDOUT, data) :]
        except BlockingIOError:
            _wait(_STDOUT, select.POLLOUT)


def _wait(descriptor: int, event: int) -> None:
    """Standard input and output may be non-blocking: they share their mode with other processes."""
    poll = select.poll()
    poll.register(descriptor, event)
    poll.poll()
