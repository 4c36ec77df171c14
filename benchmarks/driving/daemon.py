"""A daemon on standard input and output, with a client that drops what it does not wait for."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from .client import DEADLINE, Json, Requests
from .model import configure


@contextlib.contextmanager
def new_home(url: str, more: str = "") -> Iterator[str]:
    """A temporary Codex home whose model is at `url`. `more`: further lines of its `config.toml`."""
    with tempfile.TemporaryDirectory(prefix="spindle-benchmark-") as folder:
        configure(Path(folder), url, more)
        yield folder


class Daemon(Requests):
    """`spindle app-server` with its one client. `program` replaces the module that is run, `command` the whole
    command; its standard error is dropped. HOME is the Codex home too, so the server does not see the user's files.
    """

    def __init__(self, home: str, program: str | None = None, command: list[str] | None = None) -> None:
        super().__init__()
        self.process = subprocess.Popen(
            command or [sys.executable, *(["-c", program] if program else ["-m", "spindle"]), "app-server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if command else None,
            env={**os.environ, "CODEX_HOME": home, "HOME": home},
            cwd=home,
            start_new_session=True,
        )
        self.notifications: queue.SimpleQueue[Json | None] = queue.SimpleQueue()
        self._answers: dict[int | str, queue.SimpleQueue[Json]] = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.call("initialize", clientInfo={"name": "benchmark", "version": "1"})

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            try:
                message = json.loads(line)
            except ValueError:  # a line cut off by a kill
                break
            if "method" in message:
                self.notifications.put(message)
            else:
                self._place(message["id"]).put(message)
        self.notifications.put(None)

    def write(self, messages: Sequence[bytes]) -> None:
        """See Requests."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"".join(message + b"\n" for message in messages))
        self.process.stdin.flush()

    def reply(self, id: int | str) -> Json:
        """See Requests."""
        message = self._place(id).get(timeout=DEADLINE)
        del self._answers[id]
        return message

    def _place(self, id: int | str) -> queue.SimpleQueue[Json]:
        """Where the answer is put. The reader and the waiting thread both ask, in any order."""
        return self._answers.setdefault(id, queue.SimpleQueue())

    def wait_for(self, wanted: Callable[[Json], bool]) -> Json:
        """Wait for the next notification that is wanted, and drop those before it."""
        while (message := self.notifications.get(timeout=DEADLINE)) is not None:
            if wanted(message):
                return message
        raise EOFError("the daemon has exited")

    def run_turn(self, thread: str, text: str) -> Json:
        """Run a turn to its end; returns it as completed."""
        id = self.start_turn(thread, text)
        while True:
            ended = self.wait_for(lambda message: message["method"] == "turn/completed")
            turn: Json = ended["params"]["turn"]
            if turn["id"] == id:
                return turn

    def run_turns(self, threads: Sequence[str]) -> None:
        """Run a turn on each thread, all at once. Raises SystemExit if one is not completed."""
        text = [{"type": "text", "text": "hello"}]
        ids = self.ask(*(("turn/start", {"threadId": thread, "input": text}) for thread in threads))
        for id in ids:
            if "error" in (answer := self.reply(id)):
                raise SystemExit(f"turn/start: {answer['error']}")
        running = set(threads)
        while running:
            ended = self.wait_for(lambda message: message["method"] == "turn/completed")["params"]
            if ended["turn"]["status"] != "completed":
                raise SystemExit(f"a turn failed: {ended}")
            running.discard(ended["threadId"])

    def start_thread(self) -> str:
        """Start a thread; returns its id."""
        return str(self.call("thread/start")["thread"]["id"])

    def close_threads(self, threads: Sequence[str], *, at_once: int) -> None:
        """Unsubscribe from the threads, some at a time, and wait until all are closed."""
        asked: list[int] = []
        for thread in threads:
            if len(asked) == at_once:
                self.answer(asked.pop(0))
            asked += self.ask(("thread/unsubscribe", {"threadId": thread}))
        for id in asked:
            self.answer(id)
        loaded = set(threads)
        while loaded:
            loaded.discard(self.wait_for(lambda message: message["method"] == "thread/closed")["params"]["threadId"])

    def kill(self) -> None:
        """Kill the daemon and its children (kill -9). What it wrote before can still be read."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)

    def end(self) -> int:
        """Close its input and wait for its end; returns the exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        code = self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        return code


@contextlib.contextmanager
def running(home: str, command: list[str]) -> Iterator[tuple[Daemon, float]]:
    """A server for the block, and the seconds from its start to the response of `initialize`."""
    began = time.perf_counter()
    daemon = Daemon(home, command=command)
    seconds = time.perf_counter() - began
    try:
        yield daemon, seconds
        with contextlib.suppress(subprocess.TimeoutExpired):
            daemon.end()
    finally:
        if daemon.process.poll() is None:
            daemon.kill()
