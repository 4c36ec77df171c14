"""Showing output while it comes: in pieces large enough that a flood costs little, soon enough that a line is seen at once.

The first piece goes out as it comes; what follows within `QUIET` seconds is gathered. Before more is read the host may
make the reader wait, and then the command waits too, because its pipe is full: memory holds one piece.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import trio

QUIET: Final = 0.02
PIECE: Final = 64 * 1024
"""Characters after which a piece goes out at once."""
_LAST: Final = 16
MOST: Final = 10_000
"""Pieces shown of one command, as in the reference; the item has the whole output within its cap."""


class Deltas:
    """Gathers text and hands it to `emit`; then waits for `room`."""

    def __init__(self, emit: Callable[[str], None], room: Callable[[], Awaitable[None]]) -> None:
        self._emit, self._room = emit, room
        self._pending: list[str] = []
        self._size = 0
        self._next = -1.0
        self._shown = 0
        self._hurried = False
        self._waiting = trio.CancelScope()

    def hurry(self) -> None:
        """Wait for no room any more, for little is to come; if it is much after all, not all of it is shown."""
        self._hurried = True
        self._shown = max(self._shown, MOST - _LAST)
        self._waiting.cancel()

    @property
    def due(self) -> float:
        """When the gathered text has to go out, on trio's clock; infinity if there is none."""
        return self._next if self._pending else float("inf")

    async def add(self, text: str) -> None:
        """Take more text."""
        if text and self._shown < MOST:
            self._pending.append(text)
            self._size += len(text)
        if self._pending and (self._size >= PIECE or trio.current_time() >= self._next):
            await self.flush()

    async def flush(self) -> None:
        """Send what there is now."""
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
