"""A chat in the browser: each tab subscribes to a thread, and all tabs of a thread see the same, live.

    python examples/web_chat/server.py

Open the address that it prints. With --offline the built-in offline model answers; else the provider in config.toml.
"""

import json
import secrets
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import h11
import trio
import wsproto
from wsproto.connection import ConnectionState
from wsproto.events import AcceptConnection, TextMessage

import spindle

PAGE = Path(__file__).with_name("index.html").read_bytes()


async def messages_of(stream: trio.SocketStream, wire: wsproto.WSConnection) -> AsyncGenerator[Any]:
    """What the page sends: JSON in the text messages of a WebSocket."""
    text = ""
    while len(text) < 1_000_000 and wire.state is ConnectionState.OPEN and (data := await stream.receive_some()):
        wire.receive_data(data)
        for event in wire.events():
            if isinstance(event, TextMessage):
                text += event.data
                if event.message_finished:
                    yield json.loads(text)
                    text = ""


async def serve_tab(
    runtime: spindle.Runtime, stream: trio.SocketStream, wire: wsproto.WSConnection, thread_id: str | None
) -> None:
    """A tab is one subscription of a thread, which is closed when its last tab has left."""
    asked, sending = dict[int, spindle.Question](), trio.Lock()

    async def send(**message: object) -> None:
        async with sending:
            with trio.fail_after(30):  # a tab that reads nothing is not waited for
                await stream.send_all(wire.send(TextMessage(json.dumps(message))))

    opening = runtime.resume_thread(thread_id) if thread_id else runtime.start_thread(approval_policy="untrusted")
    async with opening as thread, trio.open_nursery() as nursery, aclosing(messages_of(stream, wire)) as messages:

        async def show() -> None:
            async for event in thread.events():
                if isinstance(event, spindle.Question):
                    asked[event.id] = event
                await send(**event.to_json(), text=str(event) if isinstance(event, spindle.Question) else None)

        now = thread.info.thread
        items = [item.to_json() for turn in now.turns for item in turn.items]
        threads = [(one.id, one.name or one.preview) for one in (await runtime.threads().page()).threads]
        await send(thread=now.id, items=items, threads=threads, running=now.status.type == "active")
        nursery.start_soon(show)
        async for message in messages:
            try:
                match message:
                    case {"say": str(text)}:
                        await thread.start_turn(text)  # joins a turn that runs; goes on without this tab
                    case {"accept": int(id), "answers": answers}:
                        question = asked[id]
                        question.accept(answers) if isinstance(question, spindle.UserQuestion) else question.accept()
                    case {"decline": int(id)}:
                        asked[id].decline("the user said no")
                    case _:  # the page sends nothing else
                        await thread.interrupt()
            except spindle.Error as error:  # such as: no turn runs any more
                await send(error=str(error))
        nursery.cancel_scope.cancel()


async def serve(runtime: spindle.Runtime, host: str, token: str, stream: trio.SocketStream) -> None:
    """One connection: it gets the page, or is the socket of a tab. Without the token, or from another page, neither."""
    http = h11.Connection(h11.SERVER)
    try:
        with trio.fail_after(10):
            while (request := http.next_event()) is h11.NEED_DATA:
                http.receive_data(await stream.receive_some())
        if not isinstance(request, h11.Request):
            return  # browsers open connections in advance, and may not use them
        url, headers = urlsplit(request.target.decode()), {name: value.decode() for name, value in request.headers}
        query = dict(parse_qsl(url.query))
        ours = headers[b"host"] == host and headers.get(b"origin") in (None, f"http://{host}")
        if not ours or not secrets.compare_digest(query.get("token", "").encode(), token.encode()):
            await stream.send_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        elif url.path == "/":
            head = f"HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {len(PAGE)}\r\n\r\n"
            await stream.send_all(head.encode() + PAGE)
        else:
            wire = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
            wire.initiate_upgrade_connection(list(request.headers), request.target)
            await stream.send_all(wire.send(AcceptConnection()))
            await serve_tab(runtime, stream, wire, query.get("thread"))
    except* Exception as errors:  # whatever is wrong with one connection, the others go on
        print("a connection has ended:", repr(errors.exceptions[0]), file=sys.stderr)


async def main(model: spindle.Model | None, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
    async with spindle.open_runtime(model=model) as runtime, trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        host, token = "127.0.0.1:{1}".format(*listeners[0].socket.getsockname()), secrets.token_urlsafe()
        nursery.start_soon(trio.serve_listeners, partial(serve, runtime, host, token), listeners)
        task_status.started(f"http://{host}/?token={token}")
        print(f"open http://{host}/?token={token}")


if __name__ == "__main__":
    trio.run(main, spindle.OfflineModel() if "--offline" in sys.argv else None)
