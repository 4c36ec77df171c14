"""An MCP server over streamable HTTP, on loopback, in the test's own trio run."""

from collections import deque
from collections.abc import Iterable
from typing import Any

import attrs
import h11
import orjson
import trio

from .played import ECHO, READY


@attrs.define
class Request:
    method: str
    target: str
    headers: dict[str, str]
    json: Any
    body: bytes = b""


@attrs.define
class Answer:
    """`body` is sent piece by piece; an event among the pieces is waited for."""

    status: int = 200
    body: Iterable[Any] = attrs.Factory(list)
    kind: str = "application/json"
    headers: dict[str, str] = attrs.Factory(dict)


def as_json(message, **headers):
    return Answer(body=[orjson.dumps({"jsonrpc": "2.0", **message})], headers=headers)


def as_events(*pieces):
    body = [
        piece if isinstance(piece, trio.Event) else b"event: message\ndata: " + orjson.dumps(piece) + b"\n\n"
        for piece in pieces
    ]
    return Answer(body=body, kind="text/event-stream")


class WebServer:
    """An MCP server: a normal handshake, calls answered from `calls`, GET from `stream`; `requests` has all requests."""

    def __init__(self):
        self.requests = []
        self.calls: deque[Any] = deque()
        self.stream = Answer(405)
        self.first = None
        self.last = Answer(204)
        self.side = Answer(202)
        self.tools = [ECHO]
        self.gone = trio.Event()
        self.port = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/mcp"

    def answer(self, request):
        if request.method == "GET":
            return self.stream
        if request.method == "DELETE":
            self.gone.set()
            return self.last
        message = request.json
        if self.first is not None:
            first, self.first = self.first, None
            return first
        if "id" not in message or "method" not in message:
            return self.side
        if message["method"] == "initialize":
            return as_json({"id": message["id"], "result": READY}, **{"mcp-session-id": "s-1"})
        if message["method"] == "tools/list":
            return as_events({"id": message["id"], "result": {"tools": self.tools}})
        play = self.calls.popleft()
        return play(message) if callable(play) else play

    async def serve(self, stream):
        connection = h11.Connection(h11.SERVER)
        try:
            async with stream:
                while await self._exchange(stream, connection):
                    connection.start_next_cycle()
        except (trio.BrokenResourceError, h11.ProtocolError):
            pass

    async def _exchange(self, stream, connection):
        head: Any = None
        body = b""
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await stream.receive_some(65536))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return False
        headers = {name.decode(): value.decode() for name, value in head.headers}
        request = Request(head.method.decode(), head.target.decode(), headers, _json(body), body)
        self.requests.append(request)
        answer = self.answer(request)
        sent = {
            "content-type": answer.kind,
            **({} if answer.status in (202, 204) else {"transfer-encoding": "chunked"}),
        }
        await stream.send_all(
            connection.send(
                h11.Response(
                    status_code=answer.status,
                    headers=[(name, value.encode("latin-1")) for name, value in (sent | answer.headers).items()],
                )
            )
        )
        for piece in answer.body:
            if isinstance(piece, trio.Event):
                await piece.wait()
            else:
                await stream.send_all(connection.send(h11.Data(data=piece)))
        await stream.send_all(connection.send(h11.EndOfMessage()) or b"")
        return True

    def sent(self, method):
        return [request for request in self.requests if request.json and request.json.get("method") == method]


def _json(body):
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def result(text):
    return lambda message: as_json({"id": message["id"], "result": {"content": [{"type": "text", "text": text}]}})
