"""The progress of a call, as notifications of its item: a limited number a second."""

from __future__ import annotations

from collections import deque
from typing import Final

import trio

from spindle.actors.tools.interface import Notifier
from spindle.rpc.protocol.turns import McpToolCallProgressNotification
from spindle.rpc.protocol.values import readable

_REPORTS: Final = 20
_REPORT_SECONDS: Final = 1.0
"""The most notifications of a call in so many seconds."""
REPORT_CHARACTERS: Final = 1000


class Progress:
    """Sends the progress of the call with the item `item_id`."""

    def __init__(self, host: Notifier, item_id: str) -> None:
        self._host, self._item_id = host, item_id
        self._sent: deque[float] = deque(maxlen=_REPORTS)
        self._latest: str | None = None

    def report(self, text: str) -> None:
        """Send `text`. Above the limit only the last one is sent, by `finish`."""
        now = trio.current_time()
        if len(self._sent) == _REPORTS and now - self._sent[0] < _REPORT_SECONDS:
            self._latest = text
            return
        self._sent.append(now)
        self._latest = None
        self._send(text)

    def finish(self) -> None:
        """The call ends: send what was held back."""
        if self._latest is not None:
            self._send(self._latest)
            self._latest = None

    def _send(self, text: str) -> None:
        shown = readable(text, REPORT_CHARACTERS)
        self._host.emit(McpToolCallProgressNotification(self._host.thread_id, self._host.turn_id, self._item_id, shown))
