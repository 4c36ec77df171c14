"""A model in a process of its own, so that its answers cost the measured server and its client nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"

Answer = Callable[[str, str, bytes], tuple[bytes, bool]]
"""From a request's method, path and body to what is sent, and whether nothing more is said then."""


def chunk(event: Mapping[str, Any]) -> bytes:
    """An event of the Responses API as a chunk of the body."""
    data = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


def serve(answer: Answer) -> None:
    """Serve until standard input ends, having told the port on standard output; then exit."""
    asyncio.run(_serve(answer))


async def _serve(answer: Answer) -> None:
    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length = head.lower().partition("\r\ncontent-length:")[2].split("\r\n")[0]
                method, path = head.split(" ", 2)[:2]
                data, hangs = answer(method, path, await reader.readexactly(int(length or 0)))
                writer.write(data)
                await writer.drain()
                if hangs:
                    await reader.read()
        writer.close()

    server = await asyncio.start_server(exchange, "127.0.0.1", 0, backlog=512, limit=2**24)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)


class ModelProcess:
    """`program --model`, which has to `serve`. Its standard error can be read."""

    def __init__(self, program: str) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([sys.executable, program, "--model"], stdin=pipe, stdout=pipe, stderr=pipe)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://127.0.0.1:{self.port}"
