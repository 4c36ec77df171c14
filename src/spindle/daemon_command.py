"""`spindle app-server daemon`: starts, stops and shows the daemon of a home that stays without clients.

It is the shared daemon (`relay.py`) with the home's control socket, so that a home has one server. It prints one line of JSON
with the members of Codex's.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import trio

from spindle import relay
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.user_agent import PROTOCOL_VERSION
from spindle.rpc.transports.peers import peer_of
from spindle.rpc.transports.websocket import UpgradeRefused, connect
from spindle.storage import shared_folder
from spindle.storage.home import Home, HomeError

STARTS: Final = 30.0
"""Seconds in which a daemon has to start and to answer."""
ANSWERS: Final = 10.0
"""Seconds in which a server has to say its version."""
ENDS: Final = 90.0, 30.0
"""Seconds to wait for the daemon to end after the first and after the second SIGTERM. Turns have 60 after the first."""
_PAUSE: Final = 0.02

_NO_PACKAGE: Final = "is for the package of Codex, and Spindle has none; `spindle app-server daemon start` starts the daemon"
_NO_CLOUD: Final = "needs the vendor's cloud"
REFUSED: Final = {
    "bootstrap": _NO_PACKAGE,
    "update": _NO_PACKAGE,
    "enable-remote-control": _NO_CLOUD,
    "disable-remote-control": _NO_CLOUD,
}
"""Commands of Codex that have nothing to do here."""


class Failure(Exception):
    """What was asked for was not done; `str()` says why."""


@frozen
class Server:
    """What listens at the control socket. `pid` is None where the system does not say, `version` if it does not answer."""

    pid: int | None
    version: str | None


class Daemon:
    """The daemon of a home. For one process at a time in its working directory, which becomes the shared folder."""

    def __init__(self, home: Home, options: Sequence[str] = ()) -> None:
        """`options`: -c, --enable and --disable for a daemon that is started. Raises OSError."""
        self._home, self._options = str(home.path), options
        self._socket = str(home.control_socket)
        shared_folder.enter(self._home)

    def start(self) -> dict[str, Any]:
        """Start it if there is no server at the control socket. Raises Failure, OSError."""
        report: Callable[[], str] | None = None
        end = time.monotonic() + STARTS
        while time.monotonic() < end:
            server = self._server()
            if server is not None and server.version is not None:
                return self._shown("started" if report else "alreadyRunning", server, with_pid=report is not None)
            if (lock := shared_folder.take_lock()) is not None:
                if report is not None:
                    os.close(lock)
                    raise Failure(f"the daemon of {self._home} did not start: {report() or 'it said nothing'}")
                report = relay.start(self._home, lock, [*self._options, "--listen", "unix://"])
            pid, kept = shared_folder.owner()
            if pid and not kept and report is None:
                raise Failure(
                    f"the shared daemon of {self._home} (pid {pid}) was started by a client of --shared and has no control "
                    "socket; it ends some time after its last client"
                )
            time.sleep(_PAUSE)
        raise Failure(f"the daemon of {self._home} has not answered within {STARTS:g} s")

    def stop(self) -> dict[str, Any]:
        """End it, once running turns have ended or had their time. Raises Failure, OSError."""
        server = self._server()
        pid, kept = self._owner()
        if not kept:
            if server is not None:
                raise Failure("app server is running but is not managed by `spindle app-server daemon`")
            return self._shown("notRunning")
        for seconds in ENDS:
            if self._is_ours(server, pid):
                os.kill(int(pid), signal.SIGTERM)
            if self._ended(time.monotonic() + seconds):
                return self._shown("stopped") | {"backend": "pid"}
            server = Server(int(pid), None)
        raise Failure(f"the daemon of {self._home} (pid {pid}) does not end")

    def restart(self) -> dict[str, Any]:
        """Stop it and start another. Raises Failure, OSError."""
        self.stop()
        return self.start() | {"status": "restarted"}

    def version(self) -> dict[str, Any]:
        """What runs. Raises Failure if nothing does, OSError."""
        if (server := self._server()) is None:
            raise Failure(f"failed to connect to {self._socket}")
        return self._shown("running", server)

    def status(self) -> dict[str, Any]:
        """Whether it runs. Raises OSError."""
        server = self._server()
        return self._shown("notRunning") if server is None else self._shown("running", server, with_pid=True)

    def _server(self) -> Server | None:
        return trio.run(ask, self._socket)

    def _owner(self) -> tuple[str, bool]:
        """The daemon that has the lock, as `shared_folder.owner`; ("", False) if none has."""
        end = time.monotonic() + STARTS
        while (lock := shared_folder.take_lock()) is None:
            pid, kept = shared_folder.owner()
            if pid:
                return pid, kept
            if time.monotonic() >= end:
                raise Failure(f"a process has held the lock of {self._home} for {STARTS:g} s")
            time.sleep(_PAUSE)  # it is being started
        os.close(lock)
        return "", False

    def _ended(self, end: float) -> bool:
        while (lock := shared_folder.take_lock()) is None:
            if time.monotonic() >= end:
                return False
            time.sleep(_PAUSE)
        os.close(lock)
        return True

    def _is_ours(self, server: Server | None, pid: str) -> bool:
        """Whether the server is the daemon with this process id, by what the kernel says where it says it.

        The daemon of another container that shares the home has an id that means another process here, or none.
        """
        return server is not None and server.pid in (None, int(pid))

    def _shown(self, status: str, server: Server | None = None, *, with_pid: bool = False) -> dict[str, Any]:
        shown: dict[str, Any] = {"status": status}
        if server is not None:
            pid, kept = shared_folder.owner()
            if kept and self._is_ours(server, pid):
                shown |= {"backend": "pid", **({"pid": int(pid)} if with_pid else {})}
        shown["managedCodexPath"] = os.path.abspath(sys.argv[0])
        shown["managedCodexVersion"] = PROTOCOL_VERSION
        shown["socketPath"] = self._socket
        shown["cliVersion"] = PROTOCOL_VERSION
        return shown if server is None else shown | {"appServerVersion": server.version}


async def ask(path: str) -> Server | None:
    """What listens at a control socket; None if nothing does. Raises OSError."""
    initialize = {"id": 0, "method": "initialize", "params": {"clientInfo": {"name": "spindle-daemon", "version": "1"}}}
    try:
        with trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM) as connection:
            folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
            try:
                await connection.connect(_short(folder, path))
            finally:
                os.close(folder)
            pid = peer_of(connection).pid
            version = None
            with trio.move_on_after(ANSWERS):
                client = await connect(trio.SocketStream(connection), "localhost")
                await client.send([json.dumps(initialize).encode()])
                if (answer := await client.receive()) is not None:
                    version = _version(answer)
                await client.aclose()
            return Server(pid, version)
    except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError):
        return None
    except (UpgradeRefused, trio.BrokenResourceError, trio.TooSlowError):
        return Server(None, None)


def _short(folder: int, path: str) -> str:
    """The socket by its open folder: the whole path may be longer than a socket's may be."""
    name = os.path.basename(path)
    return f"/proc/self/fd/{folder}/{name}" if sys.platform.startswith("linux") else path


def _version(answer: bytes | bytearray) -> str | None:
    """The version in the user agent (`NAME/VERSION (…`) of an answer to `initialize`."""
    try:
        agent = json.loads(answer)["result"]["userAgent"]
        return str(agent).partition("/")[2].partition(" ")[0] or None
    except (ValueError, LookupError, TypeError):
        return None


def main(action: str, options: Sequence[str]) -> int:
    """Do it and print the result; returns the exit code. 1 for a failure, and for the status of a daemon that does not run."""
    if action in REFUSED:
        print(f"spindle: `daemon {action}` {REFUSED[action]}", file=sys.stderr)
        return 1
    try:
        shown: dict[str, Any] = getattr(Daemon(Home.resolve(os.environ), options), action)()
    except (Failure, HomeError, OSError) as error:
        print(f"spindle: {error}", file=sys.stderr)
        return 1
    print(json.dumps(shown))
    return 1 if (action, shown["status"]) == ("status", "notRunning") else 0
