"""What the processes of commands write, and when the last of them has exited."""

from __future__ import annotations

import os
import select
from pathlib import Path

from benchmarks.driving import DEADLINE


class Trace:
    """A FIFO that every process of the commands holds open, so that it ends with the last process."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._text = b""

    def until(self, text: bytes, times: int = 1) -> bytes:
        """Wait until the commands have written `text` so many times; returns everything they have written."""
        while self._text.count(text) < times:
            self._text += self._read()
        return self._text

    def end(self) -> None:
        """Wait until no process has it open."""
        while self._read():
            pass

    def _read(self) -> bytes:
        readable, _, _ = select.select([self._fd], [], [], DEADLINE)
        assert readable, "the commands still run"
        return os.read(self._fd, 4096)

    def close(self) -> None:
        os.close(self._fd)
