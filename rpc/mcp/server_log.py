"""A server's lines in our log: each on one line, cut, and limited in number."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

import trio

from spindle.rpc.protocol.values import one_line

log = logging.getLogger("spindle.mcp")

LINES: Final = 100
SECONDS: Final = 60.0
"""At most `LINES` lines of a server are logged in `SECONDS` seconds; the others are counted."""
CHARACTERS: Final = 500
"""The most characters of a logged line."""


class ServerLog:
    """The log of the server `name`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._since = 0.0
        self._lines = self._dropped = 0

    def log_line(self, text: str, level: int = logging.DEBUG) -> None:
        """Log a line of the server's: "MCP server NAME: TEXT"."""
        if self._has_room(level):
            log.log(level, "MCP server %s: %s", self._name, one_line(text, CHARACTERS))

    def log_lines(self, lines: Iterable[bytes]) -> None:
        """Log lines at level DEBUG. Cheap when that level is off."""
        for line in lines:
            if not self._has_room(logging.DEBUG):
                break
            log.debug("MCP server %s: %s", self._name, one_line(line[:CHARACTERS].decode("utf-8", "replace"), CHARACTERS))

    def fault(self, reason: str) -> None:
        """Log a fault of the server."""
        self.log_line(reason, logging.WARNING)

    def _has_room(self, level: int) -> bool:
        if not log.isEnabledFor(level):
            return False
        now = trio.current_time()
        if now - self._since >= SECONDS:
            if self._dropped:
                log.warning("MCP server %s: %d more lines were not logged", self._name, self._dropped)
            self._since, self._lines, self._dropped = now, 0, 0
        self._lines += 1
        if self._lines <= LINES:
            return True
        self._dropped += 1
        return False
