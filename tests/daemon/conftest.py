"""A daemon in a process of its own, clients on its wires, and a scripted model behind it.

Nothing here sleeps: whoever waits, waits for a message, a line of the log or the end of a process. `DEADLINE` only
turns a hang into a failure.
"""

from __future__ import annotations

import base64
import contextlib
import http.server
import itertools
import json
import os
import select
import signal
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Generic, Protocol, TypeVar

import pytest

DEADLINE = 60.0
"""Seconds after which what has not happened never will."""

T = TypeVar("T")
Json = dict[str, Any]
Script = Callable[[], Iterable[Sequence[Json]]]
"""What the model streams: groups of events, each sent at once."""


class Feed(Generic[T]):
    """Everything one thread has brought in, for others to wait on."""

    def __init__(self) -> None:
        self.entries: list[T] = []
        self.ended = False
        self._changed = threading.Condition()

    def add(self, entry: T) -> None:
        with self._changed:
            self.entries.append(entry)
            self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    def find(self, wanted: Callable[[T], bool], since: int = 0) -> T:
        """The first entry from number `since` on that is wanted; waits for it."""
        at, limit = since, time.monotonic() + DEADLINE
        with self._changed:
            while True:
                for at in range(at, len(self.entries)):  # noqa: B020 - goes on where it left off
                    if wanted(self.entries[at]):
                        return self.entries[at]
                at = len(self.entries)
                if self.ended:
                    raise EOFError(f"the stream ended before that; its last words: {self.entries[-5:]}")
                if not self._changed.wait(limit - time.monotonic()):
                    raise TimeoutError(f"never came; the last that did: {self.entries[-5:]}")

    def wait_end(self) -> None:
        """Wait until the other side has closed the stream."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.ended, DEADLINE):
                raise TimeoutError("the stream never ended")


# -- the model


def created() -> Json:
    return {"type": "response.created", "response": {"id": "resp"}}


def message_added() -> Json:
    item = {"type": "message", "role": "assistant", "id": "msg", "content": [{"type": "output_text", "text": ""}]}
    return {"type": "response.output_item.added", "item": item}


def text_delta(text: str) -> Json:
    return {"type": "response.output_text.delta", "delta": text}


def message_done(text: str) -> Json:
    item = {"type": "message", "role": "assistant", "id": "msg", "content": [{"type": "output_text", "text": text}]}
    return {"type": "response.output_item.done", "item": item}


def completed() -> Json:
    usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    return {"type": "response.completed", "response": {"id": "resp", "usage": usage}}


def calls(*calls: tuple[str, Json]) -> Iterable[list[Json]]:
    """An answer that calls these tools."""
    items = [
        {"type": "function_call", "call_id": f"call-{number}", "name": name, "arguments": json.dumps(arguments)}
        for number, (name, arguments) in enumerate(calls)
    ]
    yield [created(), *({"type": "response.output_item.done", "item": item} for item in items), completed()]


class Endpoint(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """POST /v1/responses. What it answers depends on the last thing the user said, so the order of requests is free.

    "hold …"     streams the start of an answer and goes on after `release`;
    a key of `scripts`   streams what that script yields;
    anything else        streams "You said: …".
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Responses)
        self.requests: Feed[Json] = Feed()
        self.scripts: dict[str, Script] = {}
        self._go = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def release(self) -> None:
        """Let every held answer go on."""
        self._go.set()

    def script(self, text: str) -> Iterable[Sequence[Json]]:
        """The answer to `text`."""
        if text in self.scripts:
            yield from self.scripts[text]()
            return
        if text.startswith("hold"):
            yield [created(), message_added(), text_delta("So far")]
            if not self._go.wait(DEADLINE):
                return
            yield [text_delta(" and on"), message_done("So far and on"), completed()]
            return
        words = f"You said: {text}".split(" ")
        yield [created(), message_added()]
        yield from ([text_delta(word if n == 0 else f" {word}")] for n, word in enumerate(words))
        yield [message_done(" ".join(words)), completed()]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A daemon that was killed has hung up."""

    def close(self) -> None:
        self.release()
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Responses(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Endpoint

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.requests.add(body)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for events in self.server.script(last_said(body)):
            data = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.write(b"0\r\n\r\n")


def last_said(body: Json) -> str:
    """The text of the last user message of a request."""
    said = [item for item in body["input"] if item.get("type") == "message" and item.get("role") == "user"]
    return "".join(part.get("text", "") for part in said[-1]["content"])


# -- the wires


class Wire(Protocol):
    def write(self, messages: Sequence[bytes]) -> None:
        """All of them in one go."""

    def read(self) -> Iterator[bytes]:
        """Message by message until the other side closes."""

    def close(self) -> None:
        """Hang up."""


class Pipes:
    """Standard input and output."""

    def __init__(self, stdin: IO[bytes], stdout: IO[bytes]) -> None:
        self._in, self._out = stdin, stdout

    def write(self, messages: Sequence[bytes]) -> None:
        self._in.write(b"".join(message + b"\n" for message in messages))
        self._in.flush()

    def read(self) -> Iterator[bytes]:
        return iter(self._out)

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._in.close()


class WebSocket:
    """The client's side of RFC 6455, as far as the daemon uses it."""

    def __init__(self, connection: socket.socket, headers: Sequence[str] = ()) -> None:
        self.socket = connection
        connection.settimeout(DEADLINE)
        self._in = connection.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        lines = ["GET / HTTP/1.1", "Host: localhost", "Connection: Upgrade", "Upgrade: websocket"]
        lines += ["Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", *headers, "", ""]
        connection.sendall("\r\n".join(lines).encode())
        self.status = int(self._in.readline().split()[1])
        while self._in.readline().strip():
            pass

    def write(self, messages: Sequence[bytes]) -> None:
        self.socket.sendall(b"".join(_frame(0x1, message) for message in messages))

    def read(self) -> Iterator[bytes]:
        message = b""
        while len(head := self._in.read(2)) == 2:
            length = head[1]
            if length == 126:
                (length,) = struct.unpack("!H", self._in.read(2))
            elif length == 127:
                (length,) = struct.unpack("!Q", self._in.read(8))
            payload = self._in.read(length)
            if head[0] & 0xF in (0x0, 0x1):
                message += payload
                if head[0] & 0x80:
                    yield message
                    message = b""
            elif head[0] & 0xF == 0x8:
                self.socket.sendall(_frame(0x8, payload))
                return

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)  # reading ends when the daemon has let go of us

    def dispose(self) -> None:
        self._in.close()
        self.socket.close()


def _frame(opcode: int, payload: bytes) -> bytes:
    mask, size = os.urandom(4), len(payload)
    first = 0x80 | opcode
    head = struct.pack("!BB", first, 0x80 | size) if size < 126 else struct.pack("!BBH", first, 0xFE, size)
    key = (mask * (size // 4 + 1))[:size]
    return head + mask + (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


# -- the client


class Refused(Exception):
    """A request was answered with an error."""

    def __init__(self, error: Json) -> None:
        super().__init__(error["message"])
        self.code: int = error["code"]
        self.message: str = error["message"]


class Client:
    """Speaks the protocol; a thread of its own reads all that comes."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.messages: Feed[Json] = Feed()
        self._ids = itertools.count(1)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            for line in self.wire.read():
                self.messages.add(json.loads(line))
        except (OSError, ValueError):
            pass  # whoever waits learns that it ended
        finally:
            self.messages.end()

    @property
    def now(self) -> int:
        """How much has been heard: a `since`."""
        return len(self.messages.entries)

    def ask(self, *requests: tuple[str, Json]) -> list[int]:
        """Write the requests in one go; returns their ids."""
        ids = [next(self._ids) for _ in requests]
        self.wire.write(
            [
                json.dumps({"id": id, "method": method, "params": params}).encode()
                for id, (method, params) in zip(ids, requests, strict=True)
            ]
        )
        return ids

    def answer(self, id: int | str, since: int = 0) -> Any:
        """The result of a request; raises Refused."""
        message = self.messages.find(lambda message: message.get("id") == id and "method" not in message, since)
        if "error" in message:
            raise Refused(message["error"])
        return message["result"]

    def call(self, method: str, **params: Any) -> Any:
        """Ask and wait for the result; raises Refused."""
        since = self.now
        (id,) = self.ask((method, params))
        return self.answer(id, since)

    def refusal(self, method: str, **params: Any) -> Refused:
        """The error that the request is answered with."""
        with pytest.raises(Refused) as refused:
            self.call(method, **params)
        return refused.value

    def hear(self, method: str, thread: str, turn: str | None = None, since: int = 0) -> Json:
        """The params of the first such notification of a thread, or of a turn."""

        def wanted(message: Json) -> bool:
            if message.get("method") != method:
                return False
            params = message["params"]
            own = params.get("turnId") or params.get("turn", {}).get("id")
            return params.get("threadId") == thread and (turn is None or own == turn)

        params: Json = self.messages.find(wanted, since)["params"]
        return params

    def initialize(self, **capabilities: Any) -> Any:
        info = {"name": "tester", "version": "1.0"}
        return self.call("initialize", clientInfo=info, capabilities=capabilities or None)

    def start_thread(self, **params: Any) -> Json:
        thread: Json = self.call("thread/start", **params)["thread"]
        return thread

    def start_turn(self, thread: str, text: str) -> str:
        """Start a turn; returns its id."""
        turn = self.call("turn/start", threadId=thread, input=[{"type": "text", "text": text}])["turn"]
        return str(turn["id"])

    def run_turn(self, thread: str, text: str) -> Json:
        """Run a turn to its end; returns it as completed."""
        since = self.now
        turn = self.start_turn(thread, text)
        ended: Json = self.hear("turn/completed", thread, turn, since)["turn"]
        return ended

    def hold_turn(self, thread: str) -> str:
        """Start a turn whose answer is being streamed when this returns."""
        since = self.now
        turn = self.start_turn(thread, "hold on")
        self.hear("item/agentMessage/delta", thread, turn, since)
        return turn

    def join(self) -> None:
        self.wire.close()
        self._thread.join(DEADLINE)


# -- the daemon


class Daemon:
    """`spindle app-server` in a process group of its own."""

    def __init__(self, home: Path, listen: str, prefix: Sequence[str] = ()) -> None:
        """`prefix`: a command that runs the daemon."""
        self.home, self.listen = home, listen
        self.clients: list[Client] = []
        self._sockets: list[WebSocket] = []
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "spindle", "app-server", "--listen", listen],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "CODEX_HOME": str(home), "SPINDLE_LOG": "info"},
            cwd=home,
            start_new_session=True,
        )
        self.log: Feed[str] = Feed()
        self._logging = threading.Thread(target=self._read_log)
        self._logging.start()
        if listen.startswith("ws://"):
            line = self.logged("listening on: ")
            self.address: Any = ("127.0.0.1", int(line.rpartition(":")[2]))
        elif listen.startswith("unix://"):
            self.logged("listening on: ")
            self.address = listen.removeprefix("unix://")

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.add(line.decode().rstrip("\n"))
        self.log.end()

    def logged(self, text: str) -> str:
        """Wait for a line of the log that has `text` in it."""
        return self.log.find(lambda line: text in line)

    def client(self, **capabilities: Any) -> Client:
        """A client that has initialized: the one on stdio, or a new connection."""
        client = self.raw_client()
        client.initialize(**capabilities)
        return client

    def raw_client(self) -> Client:
        """A client that has said nothing yet."""
        if self.listen == "stdio://":
            assert self.process.stdin is not None
            assert self.process.stdout is not None
            client = Client(Pipes(self.process.stdin, self.process.stdout))
        else:
            client = Client(self.websocket())
        self.clients.append(client)
        return client

    def connect(self) -> socket.socket:
        """A plain connection to the socket the daemon listens on."""
        connection = socket.socket(socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET)
        connection.settimeout(DEADLINE)
        connection.connect(self.address)
        return connection

    def refuses_connections(self) -> None:
        """Wait until nothing is accepted any more."""
        limit = time.monotonic() + DEADLINE
        family = socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET
        while time.monotonic() < limit:
            with socket.socket(family) as connection:
                try:
                    connection.connect(self.address)
                except (ConnectionError, FileNotFoundError):
                    return
        raise TimeoutError("it goes on accepting connections")

    def websocket(self, *headers: str) -> WebSocket:
        """A connection on which a WebSocket has been asked for."""
        wire = WebSocket(self.connect(), headers)
        self._sockets.append(wire)
        return wire

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """The exit code."""
        return self.process.wait(DEADLINE)

    def kill(self) -> None:
        """kill -9, and whatever it had started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(DEADLINE)

    def close(self) -> None:
        self.kill()
        for client in self.clients:
            client.join()
        for wire in self._sockets:
            wire.dispose()
        self._logging.join(DEADLINE)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


# -- commands


class Trace:
    """A FIFO that every process of the commands holds open: it ends when the last of them has ended."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._text = b""

    def until(self, text: bytes, times: int = 1) -> bytes:
        """Wait until the commands have written this, so many times; all they have written."""
        while self._text.count(text) < times:
            self._text += self._read()
        return self._text

    def end(self) -> None:
        """Wait until nobody has it open."""
        while self._read():
            pass

    def _read(self) -> bytes:
        readable, _, _ = select.select([self._fd], [], [], DEADLINE)
        assert readable, "the commands go on"
        return os.read(self._fd, 4096)

    def close(self) -> None:
        os.close(self._fd)


CONFIG = """\
model = "mock-model"
model_provider = "scripted"
approval_policy = "never"
sandbox_mode = "read-only"

[model_providers.scripted]
name = "Scripted"
base_url = "{url}"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
"""


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """The model's side."""
    endpoint = Endpoint()
    yield endpoint
    endpoint.close()


@pytest.fixture
def home(endpoint: Endpoint, tmp_path: Path) -> Path:
    """A Codex home whose model is `endpoint`."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "config.toml").write_text(CONFIG.format(url=endpoint.url), encoding="utf-8")
    return home


@pytest.fixture
def trace(tmp_path: Path) -> Iterator[Trace]:
    made = Trace(tmp_path / "trace")
    yield made
    made.close()


@pytest.fixture
def launch(home: Path) -> Iterator[Callable[..., Daemon]]:
    """launch(listen="stdio://", prefix=()) -> a daemon on `home`, ended with the test at the latest."""
    daemons: list[Daemon] = []

    def launch(listen: str = "stdio://", prefix: Sequence[str] = ()) -> Daemon:
        daemons.append(Daemon(home, listen, prefix))
        return daemons[-1]

    yield launch
    for daemon in daemons:
        daemon.close()


@pytest.fixture
def daemon(launch: Callable[..., Daemon]) -> Daemon:
    """A daemon on stdio."""
    return launch()


@pytest.fixture
def client(daemon: Daemon) -> Client:
    """The initialized client of `daemon`."""
    return daemon.client()


@pytest.fixture
def unix_daemon(launch: Callable[..., Daemon], tmp_path: Path) -> Daemon:
    """A daemon on a Unix socket."""
    return launch(f"unix://{tmp_path}/s")


@pytest.fixture
def ws_daemon(launch: Callable[..., Daemon]) -> Daemon:
    """A daemon on a WebSocket."""
    return launch("ws://127.0.0.1:0")
