"""The output of a command: decoded, kept within a bound, and sent to clients in few pieces."""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import trio

OUTPUT_CAP: Final = 1024 * 1024
"""Bytes kept of a command's output: half from the beginning, half from the end."""

_SMALL: Final = 4096
QUIET: Final = 0.02
PIECE: Final = 64 * 1024
"""Characters after which a piece is sent at once."""
_LAST: Final = 16
MOST: Final = 10_000
"""Most pieces sent for one command, as in Codex; the item has all output within `OUTPUT_CAP`."""


def new_decoder() -> codecs.IncrementalDecoder:
    """An incremental UTF-8 decoder; invalid bytes become U+FFFD."""
    return codecs.getincrementaldecoder("utf-8")(errors="replace")


def _whole_end(data: bytes) -> bytes:
    """`data` without an incomplete character at its end."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 == 0x80:
            continue
        length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
        return data[:-back] if length > back else data
    return data


def _whole_start(data: bytes) -> bytes:
    """`data` without an incomplete character at its start."""
    start = 0
    while start < min(3, len(data)) and data[start] & 0xC0 == 0x80:
        start += 1
    return data[start:]


class HeadTail:
    """The beginning and the end of a byte stream, at most `cap` bytes; omitted bytes are counted."""

    def __init__(self, cap: int = OUTPUT_CAP) -> None:
        self._head_cap = cap // 2
        self._tail_cap = cap - self._head_cap
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self.omitted = 0

    def __len__(self) -> int:
        """Bytes kept."""
        return len(self._head) + self._tail_size

    def push(self, data: bytes) -> None:
        """Append `data`; drops bytes from the middle beyond the cap."""
        room = self._head_cap - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if not data:
            return
        if len(data) >= self._tail_cap:
            self.omitted += self._tail_size + len(data) - self._tail_cap
            data = data[len(data) - self._tail_cap :]
            self._tail.clear()
            self._tail_size = 0
        self._tail_size += len(data)
        if self._tail and len(data) + len(self._tail[-1]) <= _SMALL:
            data = self._tail.pop() + data  # many small pieces cost more than their bytes
        self._tail.append(data)
        while self._tail_size > self._tail_cap:
            excess = self._tail_size - self._tail_cap
            first = self._tail.popleft()
            if len(first) > excess:
                self._tail.appendleft(first[excess:])
            dropped = min(excess, len(first))
            self._tail_size -= dropped
            self.omitted += dropped

    def text(self) -> str:
        """The kept bytes, decoded; without characters that the gap cut."""
        tail = b"".join(self._tail)
        if not self.omitted:
            return (bytes(self._head) + tail).decode("utf-8", "replace")
        return _whole_end(bytes(self._head)).decode("utf-8", "replace") + _whole_start(tail).decode("utf-8", "replace")

    def take(self) -> str:
        """Return `text()`, and clear."""
        text = self.text()
        self._head.clear()
        self._tail.clear()
        self._tail_size = self.omitted = 0
        return text


class Deltas:
    """Gathers text into pieces and passes them to `emit`.

    The first piece is sent at once; text of the next `QUIET` seconds is gathered, so a flood costs little. After each piece it
    waits for `room`. The reader then stops, the pipe fills up, and the command waits: memory holds one piece.
    """

    def __init__(self, emit: Callable[[str], None], room: Callable[[], Awaitable[None]]) -> None:
        self._emit, self._room = emit, room
        self._pending: list[str] = []
        self._size = 0
        self._next = -1.0
        self._shown = 0
        self._hurried = False
        self._waiting = trio.CancelScope()

    def hurry(self) -> None:
        """The command has exited: stop waiting for `room`, and send at most `_LAST` more pieces."""
        self._hurried = True
        self._shown = max(self._shown, MOST - _LAST)
        self._waiting.cancel()

    @property
    def due(self) -> float:
        """When the gathered text is due, on trio's clock; infinity without any."""
        return self._next if self._pending else float("inf")

    async def add(self, text: str) -> None:
        """Add text; sends a piece if it is due."""
        if text and self._shown < MOST:
            self._pending.append(text)
            self._size += len(text)
        if self._pending and (self._size >= PIECE or trio.current_time() >= self._next):
            await self.flush()

    async def flush(self) -> None:
        """Send the gathered text now."""
        if not self._pending:
            return
        piece = "".join(self._pending)
        self._pending.clear()
        self._size = 0
        self._shown += 1
        self._next = trio.current_time() + QUIET
        self._emit(piece)
        if not self._hurried:
            with trio.CancelScope() as self._waiting:
                await self._room()
