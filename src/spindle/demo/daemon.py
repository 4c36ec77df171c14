"""The demo's daemon as a child process, its use of the machine, and its clients."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import trio
from attrs import frozen

from spindle.demo.page import Failed, Page, check
from spindle.rpc.transports.websocket import UpgradeRefused, WebSocketTransport, connect


async def run_daemon(page: Page, home: Path, socket: Path, *, task_status: trio.TaskStatus[trio.Process]) -> None:
    """Run the daemon; reports it when it listens, and kills it when cancelled. Raises Failed."""
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "spindle", "app-server", "--listen", f"unix://{socket}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "CODEX_HOME": str(home)},
        start_new_session=True,  # Ctrl-C on the terminal reaches the demo only, which ends the daemon
    )
    assert process.stderr is not None
    listening = False
    try:
        async for data in process.stderr:
            page.daemon_log += data.decode(errors="replace")
            if not listening and "listening on: " in page.daemon_log:
                listening = True
                task_status.started(process)
        check(listening, "the daemon exited before it listened")
    finally:
        with trio.CancelScope(shield=True):
            if process.poll() is None:
                process.kill()
            await process.wait()
            await process.stderr.aclose()


async def run_client(name: str, socket: Path, home: Path, *, task_status: trio.TaskStatus[Client]) -> None:
    """Connect a client, report it when it is initialized, and read its messages until it leaves. Raises Failed."""
    async with open_socket(socket) as transport:
        client = Client(name, transport)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.read)
            info = {"name": f"spindle-demo-{name.lower()}", "version": "1"}
            answer = await client.ask("initialize", clientInfo=info, capabilities={"experimentalApi": True})
            check(answer["codexHome"] == str(home), "the daemon uses another home")
            await client.send({"method": "initialized"})
            task_status.started(client)


@asynccontextmanager
async def open_socket(path: Path) -> AsyncGenerator[WebSocketTransport, None]:
    """Open a WebSocket over a Unix socket. Raises Failed."""
    try:
        transport = await connect(await trio.open_unix_socket(path), "localhost", kind="unix")
    except (OSError, UpgradeRefused, trio.BrokenResourceError) as error:
        raise Failed(f"no connection: {error}") from error
    try:
        yield transport
    finally:
        await transport.aclose()


class Client:
    """A client of the daemon. `received` is every notification so far, by its method and thread."""

    def __init__(self, name: str, transport: WebSocketTransport) -> None:
        self.name = name
        self.leaving = False
        self._closed = f"the daemon has closed the connection of {name}"
        self.received: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        self._transport = transport
        self._ids = count(1)
        self._answers: dict[int, dict[str, Any]] = {}
        self._news: dict[object, trio.Event] = {}

    async def send(self, message: dict[str, Any]) -> None:
        """Send one message. Raises Failed if the daemon has closed the connection."""
        try:
            await self._transport.send([json.dumps(message).encode()])
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise Failed(self._closed) from error

    async def ask(self, method: str, **params: Any) -> Any:
        """Send a request and wait for its answer. Raises Failed if it is an error."""
        id = next(self._ids)
        await self.send({"id": id, "method": method, "params": params})
        while id not in self._answers:
            await self._wait(id)
        answer = self._answers.pop(id)
        check("result" in answer, f"{method} is refused: {answer.get('error')}")
        return answer["result"]

    async def wait_for(self, method: str, thread_id: str, position: int = 0) -> dict[str, Any]:
        """Wait for the notification at `position` among those of this method and thread."""
        while len(self.received[method, thread_id]) <= position:
            await self._wait((method, thread_id))
        return self.received[method, thread_id][position]

    def answer(self, thread_id: str) -> str:
        """The agent's latest message in the thread."""
        items = [params["item"] for params in self.received["item/completed", thread_id]]
        return next((item["text"] for item in reversed(items) if item["type"] == "agentMessage"), "")

    async def read(self) -> None:
        """Read messages until the daemon closes the connection. Raises Failed if this client is not leaving."""
        try:
            while (data := await self._transport.receive()) is not None:
                self._take(json.loads(data))
        except trio.BrokenResourceError:
            pass
        check(self.leaving, self._closed)

    def _take(self, message: dict[str, Any]) -> None:
        if "method" not in message:
            key: object = message["id"]
            self._answers[message["id"]] = message
        else:
            params = message["params"]
            key = message["method"], params.get("threadId", "")
            self.received[message["method"], params.get("threadId", "")].append(params)
        if (event := self._news.pop(key, None)) is not None:
            event.set()

    async def _wait(self, key: object) -> None:
        await self._news.setdefault(key, trio.Event()).wait()


@frozen
class Resources:
    """The children, open files and memory (MiB) of a process."""

    children: int
    files: int
    memory: float

    @classmethod
    def by(cls, pid: int) -> Resources | None:
        """Read them from /proc; None without /proc."""
        proc = Path("/proc")
        try:
            files = len(os.listdir(proc / str(pid) / "fd"))
            pages = int((proc / str(pid) / "statm").read_text().split()[1])
        except OSError:
            return None
        children = 0
        for entry in proc.glob("[0-9]*/stat"):
            try:
                # after the name, which is in brackets: state, parent, process group, session
                _, parent, _, session, *_ = entry.read_text().rpartition(")")[2].split()
            except OSError:
                continue  # the process has just exited
            children += entry.parent.name != str(pid) and str(pid) in (parent, session)
        return cls(children, files, round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1))
