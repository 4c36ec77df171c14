"""A model in a process of its own, so that its work does not slow the measured server or its client."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Self

from .client import DEADLINE, Json
from .model import END, chunk

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"

Answer = Callable[[str, str, bytes], tuple[bytes, bool]]
"""From the method, path and body of a request to the bytes of the answer. True: they do not end it, and no more follow."""


def response(*events: Json, ends: bool = True) -> bytes:
    """A whole answer, with each event in a chunk of its own. With `ends=False` its end is missing."""
    return _HEAD + b"".join(map(chunk, events)) + (END if ends else b"")


def serve(answer: Answer) -> None:
    """Write the port to standard output, serve until standard input ends, and exit."""
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
    """Runs `program --model`, which has to call `serve`. Its standard error can be read. As a block, it ends with it."""

    def __init__(self, program: str) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([sys.executable, program, "--model"], stdin=pipe, stdout=pipe, stderr=pipe)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    @property
    def url(self) -> str:
        """The base URL of the provider."""
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.end()

    def end(self) -> None:
        """Close its input and wait for its end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(DEADLINE)
