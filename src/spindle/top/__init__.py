"""`spindle top`: which runtimes a home has, what their threads do, and who waits for whom."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import trio
from rich.console import Console

from spindle.rpc.protocol.converter import encode
from spindle.rpc.protocol.values import one_line
from spindle.storage.home import Home, HomeError
from spindle.top.lines import lines
from spindle.top.overview import look

_LONGEST = 1000


def main(home: str | None, *, once: bool, json: bool) -> int:
    """Show the home, by default that of the environment; returns the exit code. Without a terminal, it is shown once."""
    console, code = Console(), 0
    try:
        where = Home.resolve(os.environ) if home is None else Home(Path(home))
        if not where.path.is_dir():
            raise HomeError(f"{where.path} is not a folder")
        if json or once or not console.is_terminal:
            trio.run(_print, where, json)
        else:
            from spindle.top.screen import show

            trio.run(show, where, console)
    except* KeyboardInterrupt:
        pass  # the way to end it
    except* (HomeError, OSError) as group:
        code = 1
        for error in group.exceptions:
            print(f"spindle: {error}", file=sys.stderr)
    return code


async def _print(home: Home, json: bool) -> None:
    overview = await look(home)
    if json:
        print(encode(overview).decode())
        return
    for _, line in lines(overview):
        print(one_line(line, _LONGEST))
