"""A model behind the Responses API: the events that it streams, a server for them, and the settings that name the server."""

from __future__ import annotations

import abc
import http.server
import json
import socket
import socketserver
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .client import Json

CONFIG = """\
{more}
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

END = b"0\r\n\r\n"
"""The last chunk of a body."""


def configure(home: Path, url: str, more: str = "") -> None:
    """Write the `config.toml` of a home whose model is at `url`. `more`: further lines."""
    (home / "config.toml").write_text(CONFIG.format(url=url, more=more), encoding="utf-8")


def created() -> Json:
    """The first event of an answer."""
    return {"type": "response.created", "response": {"id": "resp"}}


def message_added() -> Json:
    """The agent begins a message."""
    return {"type": "response.output_item.added", "item": _message("")}


def text_delta(text: str) -> Json:
    """A piece of the message."""
    return {"type": "response.output_text.delta", "delta": text}


def item_done(**item: Any) -> Json:
    """An item of the answer is complete."""
    return {"type": "response.output_item.done", "item": item}


def message_done(text: str) -> Json:
    """The message is complete."""
    return item_done(**_message(text))


def completed() -> Json:
    """The last event of an answer."""
    usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    return {"type": "response.completed", "response": {"id": "resp", "usage": usage}}


def _message(text: str) -> Json:
    return {"type": "message", "role": "assistant", "id": "msg", "content": [{"type": "output_text", "text": text}]}


def chunk(*events: Json) -> bytes:
    """The events as one chunk of a body."""
    data = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


def pieces(count: int) -> list[str]:
    """A message in `count` pieces."""
    return [f"word{number} " for number in range(count)]


def spoken(pieces: Sequence[str]) -> list[Json]:
    """The events of an answer with this message."""
    return [created(), message_added(), *map(text_delta, pieces), message_done("".join(pieces)), completed()]


class ModelServer(abc.ABC, socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Serves `POST /v1/responses` on a free port of the loopback interface, from its start until `close`."""

    daemon_threads = True
    request_queue_size = 128
    poll = 0.5
    """Seconds until `close` is noticed."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Responses)
        self._thread = threading.Thread(target=self.serve_forever, args=(self.poll,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The base URL of the provider."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    @abc.abstractmethod
    def answer(self, body: bytes) -> Iterable[bytes]:
        """The chunks that answer a request, without the last one."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore it: a daemon that was killed has closed its connection."""

    def close(self) -> None:
        """Stop serving."""
        self.shutdown()
        self._thread.join()
        self.server_close()


class Speaker(ModelServer):
    """Answers every request with `text`, in `count` pieces."""

    def __init__(self, count: int = 4) -> None:
        self.text = "".join(pieces(count))
        self._answer = [chunk(event) for event in spoken(pieces(count))]
        super().__init__()

    def answer(self, body: bytes) -> Iterable[bytes]:
        """See ModelServer."""
        return self._answer


class _Responses(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ModelServer

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for data in self.server.answer(body):
            self.wfile.write(data)
        self.wfile.write(END)
