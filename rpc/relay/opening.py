"""The daemon's side of the hello."""

import json
from typing import Final

import trio

from .hello import LONGEST
from .verdict import Hello, UnreadableHello, read_hello

HELLO_SECONDS: Final = 10.0
"""Deadline of a hello, and of writing its answer."""
_READ_BYTES: Final = 64 * 1024


async def receive_hello(stream: trio.abc.ReceiveStream) -> Hello | None:
    """The hello; None if the peer closes before it is complete, or at the deadline. Raises UnreadableHello."""
    data = bytearray()
    with trio.move_on_after(HELLO_SECONDS):
        while not data.endswith(b"\n"):
            if b"\n" in data[-_READ_BYTES:]:
                raise UnreadableHello("more than one line before the answer")
            if len(data) > LONGEST:
                raise UnreadableHello(f"a hello of more than {LONGEST} bytes")
            chunk = await stream.receive_some(_READ_BYTES)
            if not chunk:
                return None
            data += chunk
        return await trio.to_thread.run_sync(read_hello, data)
    return None


async def answer_hello(stream: trio.abc.SendStream, **answer: object) -> bool:
    """Answer with one line; returns whether it was written before the deadline."""
    with trio.move_on_after(HELLO_SECONDS) as writing:
        await stream.send_all(json.dumps(answer).encode() + b"\n")
    return not writing.cancelled_caught
