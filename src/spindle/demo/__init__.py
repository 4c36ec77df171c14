"""`spindle demo`: a daemon, two clients, and the life of threads on one page.

The daemon is a child process with a temporary home. The clients use its Unix socket, as any client does. The demo checks
everything that the page says. The first failed check ends it with exit code 1.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import trio

from spindle.demo.page import Failed, Page
from spindle.demo.story import show


def main() -> int:
    """Run the demo; returns 0 only if every check passed."""
    page = Page()
    failures: list[Exception] = []
    code = 0
    try:
        with tempfile.TemporaryDirectory(prefix="spindle-demo-", ignore_cleanup_errors=True) as folder:
            trio.run(show, page, Path(folder).resolve())
    except* KeyboardInterrupt:
        code = 130
    except* BrokenPipeError:
        code = 1  # the reader of the page has exited
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except* Exception as group:
        code = 1
        failures.extend(leaves(group))
    for reason in dict.fromkeys(str(failure) if isinstance(failure, Failed) else repr(failure) for failure in failures):
        page.line("FAILED", f"{page.current}: {reason}", "bold red")
    if failures and page.daemon_log:
        page.say(f"\nthe log of the daemon:\n{page.daemon_log}")
    if code == 0:
        page.say(f"\nEverything above was checked. {page.elapsed():.1f} s.\n", "bold")
    return code


def leaves(group: BaseExceptionGroup[Exception]) -> Iterator[Exception]:
    """The exceptions of a group and of its inner groups."""
    for inner in group.exceptions:
        if isinstance(inner, BaseExceptionGroup):
            yield from leaves(inner)
        else:
            yield inner
