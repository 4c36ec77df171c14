"""The live view in a terminal. `q` or Ctrl-C ends it."""

from __future__ import annotations

import os
import sys
import termios
import tty
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import trio
from rich.console import Console
from rich.live import Live
from rich.text import Text

from spindle.storage.home import Home
from spindle.top.lines import Line, Style, lines
from spindle.top.overview import look

PERIOD: Final = 1.0
"""Seconds between two looks."""
_STYLES: Final[dict[Style, str]] = {
    "head": "reverse",
    "process": "bold",
    "active": "green",
    "user": "yellow",
    "problem": "red",
    "plain": "",
}


async def show(home: Home, console: Console) -> None:
    """Show the overview until `q` is typed or the task is cancelled. Raises OSError."""
    with Live(console=console, screen=True, auto_refresh=False) as live, _keys():
        while True:
            shown = list(lines(await look(home)))
            live.update(page(shown, console.width, console.height), refresh=True)
            with trio.move_on_after(PERIOD):
                await _q_typed()
                return


def page(shown: list[Line], width: int, height: int) -> Text:
    """As many lines as fit, each cut at the width; the last one says how many do not fit."""
    if len(shown) > height:
        shown = [*shown[: height - 1], ("plain", f"… {len(shown) - height + 1} more lines; `spindle top --once` prints all")]
    text = Text(no_wrap=True, overflow="crop", end="")
    for number, (style, line) in enumerate(shown):
        text.append("\n" if number else "")
        text.append(line if len(line) <= width else line[: width - 1] + "…", _STYLES[style])
    return text


async def _q_typed() -> None:
    if not sys.stdin.isatty():
        await trio.sleep_forever()
    typed = b" "
    while typed not in (b"q", b"Q", b""):  # nothing: the terminal is gone
        await trio.lowlevel.wait_readable(sys.stdin)
        typed = os.read(sys.stdin.fileno(), 1)


@contextmanager
def _keys() -> Generator[None]:
    """Keys arrive as they are typed, and are not shown."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
