"""What the benchmarks share: a scripted model, a daemon on stdio, and a client. Standard library only.

Run a benchmark as `python benchmarks/<name>.py`, with an interpreter that has Spindle installed.
"""

from __future__ import annotations

import http.server
import itertools
import json
import os
import queue
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

DEADLINE = 60.0

CONFIG = """\
model = "mock-model"
model_provider = "scripted"
approval_policy = "never"
sandbox_mode = "read-only"

[model_providers.scripted]
name = "Scripted"
base_url = "{url}/v1"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
"""


class Endpoint(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Answers every request with `words` pieces of text, each written by itself."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, words: int = 4) -> None:
        super().__init__(("127.0.0.1", 0), _Responses)
        pieces = [f"word{n} " for n in range(words)]
        self.answer = "".join(pieces)
        item = {"type": "message", "role": "assistant", "id": "msg"}
        empty, full = ([{"type": "output_text", "text": text}] for text in ("", self.answer))
        usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
        events: list[dict[str, Any]] = [
            {"type": "response.created", "response": {"id": "resp"}},
            {"type": "response.output_item.added", "item": {**item, "content": empty}},
            *({"type": "response.output_text.delta", "delta": piece} for piece in pieces),
            {"type": "response.output_item.done", "item": {**item, "content": full}},
            {"type": "response.completed", "response": {"id": "resp", "usage": usage}},
        ]
        self.chunks = [_chunk(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()) for event in events]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A daemon that was killed has hung up."""


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


class _Responses(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Endpoint

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for chunk in self.server.chunks:
            self.wfile.write(chunk)
        self.wfile.write(b"0\r\n\r\n")


class Reachable(Protocol):
    """A model at an address."""

    @property
    def url(self) -> str:
        """Where, without the path of the API."""
        ...


def new_home(endpoint: Reachable) -> tempfile.TemporaryDirectory[str]:
    """A Codex home whose model is `endpoint`."""
    folder = tempfile.TemporaryDirectory(prefix="spindle-benchmark-")
    Path(folder.name, "config.toml").write_text(CONFIG.format(url=endpoint.url), encoding="utf-8")
    return folder


class Daemon:
    """`spindle app-server` on stdio, with its client; `program` replaces the module that is run, `command` everything."""

    def __init__(self, home: str, program: str | None = None, command: list[str] | None = None) -> None:
        self.process = subprocess.Popen(
            command or [sys.executable, *(["-c", program] if program else ["-m", "spindle"]), "app-server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "CODEX_HOME": home},
            cwd=home,
            start_new_session=True,
        )
        self.notifications: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._answers: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
        self._ids = itertools.count(1)
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
                self._answers[message["id"]].put(message)
        self.notifications.put(None)

    def ask(self, *requests: tuple[str, dict[str, Any]]) -> list[int]:
        """Write the requests in one go; returns their ids."""
        ids = [next(self._ids) for _ in requests]
        for id in ids:
            self._answers[id] = queue.SimpleQueue()
        lines = [
            json.dumps({"id": id, "method": method, "params": params}).encode() + b"\n"
            for id, (method, params) in zip(ids, requests, strict=True)
        ]
        assert self.process.stdin is not None
        self.process.stdin.write(b"".join(lines))
        self.process.stdin.flush()
        return ids

    def answer(self, id: int) -> dict[str, Any]:
        """The whole answer, an error too."""
        message = self._answers[id].get(timeout=DEADLINE)
        del self._answers[id]
        return message

    def call(self, method: str, **params: Any) -> Any:
        """Ask and wait for the result; an error ends the benchmark."""
        (id,) = self.ask((method, params))
        message = self.answer(id)
        if "error" in message:
            raise SystemExit(f"{method}: {message['error']}")
        return message["result"]

    def hear(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next notification that is wanted; those before it are dropped."""
        while (message := self.notifications.get(timeout=DEADLINE)) is not None:
            if wanted(message):
                return message
        raise SystemExit("the daemon is gone")

    def start_turn(self, thread: str, text: str) -> str:
        """Start a turn; returns its id."""
        turn = self.call("turn/start", threadId=thread, input=[{"type": "text", "text": text}])["turn"]
        return str(turn["id"])

    def run_turn(self, thread: str, text: str) -> dict[str, Any]:
        """Run a turn to its end; returns it as completed."""
        id = self.start_turn(thread, text)
        while True:
            ended = self.hear(lambda message: message["method"] == "turn/completed")
            turn: dict[str, Any] = ended["params"]["turn"]
            if turn["id"] == id:
                return turn

    def kill(self) -> None:
        """kill -9, and what it had started; what it wrote before can still be heard."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)

    def end(self) -> int:
        """Close its input; returns the exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        code = self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        return code
