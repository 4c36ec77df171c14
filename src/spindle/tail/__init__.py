"""`spindle tail THREAD`: the last turns of a thread, and then what is added, whichever program runs it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import orjson

from spindle.rpc.lenient import Json
from spindle.storage.home import Home, HomeError
from spindle.tail.finding import NotFound, find
from spindle.tail.following import Added, Follower, ItemAdded, Rewritten, TurnBegun, TurnOver
from spindle.tail.text import lines_of

PAUSE: Final = 0.25
"""Seconds between two looks at the file; more after a look that has taken long."""


def main(thread: str, home: str | None, *, turns: int, json: bool, until_idle: bool) -> int:
    """Follow the thread until Ctrl-C, or until no turn runs; returns the exit code."""
    try:
        where = Home.resolve(os.environ) if home is None else Home(Path(home))
        thread_id = find(where, thread)
        show(Follower(where, thread_id, turns), json_lines(thread_id) if json else lines_of, until_idle=until_idle)
    except (HomeError, NotFound, OSError) as error:
        if isinstance(error, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left is for nobody
            return 0
        print(f"spindle: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass  # the way to end it
    return 0


def show(
    follower: Follower,
    form: Callable[[Added], Iterator[str]],
    *,
    until_idle: bool,
    sleep: Callable[[float], object] = time.sleep,
) -> None:
    """Print what is there and what is added. Raises OSError."""
    while True:
        began = time.monotonic()
        over = until_idle and not follower.running  # asked before the look: the turn may end after it
        for added in follower.look():
            over = False
            for line in form(added):
                print(line)
        sys.stdout.flush()
        if over:
            return
        sleep(max(PAUSE, 4 * (time.monotonic() - began)))


def json_lines(thread_id: str) -> Callable[[Added], Iterator[str]]:
    """What is added as notifications of the protocol, one a line."""

    def form(added: Added) -> Iterator[str]:
        match added:
            case TurnBegun(turn):
                yield _line("turn/started", threadId=thread_id, turn=_bare(turn) | {"status": "inProgress"})
            case ItemAdded(turn_id, item):
                yield _line("item/completed", threadId=thread_id, turnId=turn_id, item=item)
            case TurnOver(turn):
                yield _line("turn/completed", threadId=thread_id, turn=_bare(turn))
            case Rewritten():
                pass

    return form


def _bare(turn: Json) -> Json:
    return turn | {"items": []}


def _line(method: str, **params: object) -> str:
    return orjson.dumps({"method": method, "params": params}).decode()
