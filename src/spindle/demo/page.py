"""The page that the demo writes: steps, each with a deadline."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from rich.console import Console

DEADLINE = 15.0
"""Deadline of a step, in seconds. All steps together take two or three."""


class Failed(Exception):
    """A check of the demo failed."""


def check(truth: object, otherwise: str) -> None:
    """Raise Failed unless `truth` is true."""
    if not truth:
        raise Failed(otherwise)


class Page:
    """Standard output: coloured on a terminal, plain elsewhere."""

    def __init__(self) -> None:
        self.current = "start"
        self.daemon_log = ""
        self._begin = time.perf_counter()
        self._in_line = False
        self._console: Console | None = None
        if sys.stdout.isatty():
            from rich.console import Console

            self._console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)

    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self._begin

    def say(self, text: str, style: str = "") -> None:
        """Write the text unchanged."""
        self._in_line = not text.endswith("\n") if text else self._in_line
        if self._console is not None:
            self._console.print(text, style=style or None, end="")
        else:
            sys.stdout.write(text)
            sys.stdout.flush()

    def line(self, mark: str, text: str, style: str) -> None:
        """Write a line with the time, a mark and a text. Ends an unfinished line first."""
        if self._in_line:
            self.say("\n")
        self.say(f"{self.elapsed():5.2f} s ", "dim")
        self.say(f"{mark:>2} ", style)
        self.say(f"{text}\n")

    @contextmanager
    def step(self, name: str) -> Generator[Callable[[str], None], None, None]:
        """A step of the demo, with a deadline. The block gets a function that writes the line of a finished step."""
        self.current = name
        try:
            with trio.fail_after(DEADLINE):
                yield lambda text: self.line("ok", f"{name:22}{text}", "bold green")
        except trio.TooSlowError as error:
            raise Failed(f"not within {DEADLINE:.0f} s") from error
