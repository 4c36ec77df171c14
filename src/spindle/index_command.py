"""`spindle index`: update the index of the home's threads in the foreground.

A server does the same in the background. The command shows the progress, for example before the first start of a server
on a large home.
"""

from __future__ import annotations

import logging
import os
import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from spindle.storage.home import Home, HomeError
from spindle.storage.index import IndexUnavailable, ThreadIndex


def main() -> int:
    """Index the home that `CODEX_HOME` or the default names; returns the exit code."""
    try:
        home = Home.resolve(os.environ)
    except HomeError as error:
        print(f"spindle: {error}", file=sys.stderr)
        return 1
    console = Console(stderr=True)
    index = ThreadIndex(home)
    try:
        if console.is_terminal:
            read = _with_bar(index, console)
        else:
            logging.getLogger("spindle").setLevel(logging.INFO)
            read = _update(index)
    except (IndexUnavailable, OSError) as error:
        print(f"spindle: the index could not be updated: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("spindle: stopped; the threads indexed so far are kept", file=sys.stderr)
        return 130
    finally:
        index.close()
    count, seconds = read
    print(f"{count} new rollouts read in {seconds:.1f} s", file=sys.stderr)
    return 0


def _update(index: ThreadIndex, bar: Progress | None = None) -> tuple[int, float]:
    """Returns the number of rollouts read, and the seconds it took."""
    count, began = 0, time.monotonic()
    task = bar.add_task("Reading rollouts", total=None) if bar is not None else None

    def progress(done: int, total: int) -> None:
        nonlocal count
        count = done
        if bar is not None and task is not None:
            bar.update(task, completed=done, total=total)

    index.catch_up(progress=progress)
    return count, time.monotonic() - began


def _with_bar(index: ThreadIndex, console: Console) -> tuple[int, float]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        return _update(index, bar)
