"""Imports, ahead of their use, what the first thread and its first turn need.

Importing takes longer than all the rest of a first turn. Parts come before what imports them, so that each step is short.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Final

import trio

THREAD: Final = (
    "spindle.rpc.protocol.items",
    "spindle.rpc.protocol.turns",
    "spindle.rpc.protocol.threads",
    "sqlite3",
    "spindle.storage.state.database",
    "spindle.storage.credentials",
    "spindle.storage.threads.listing",
    "spindle.storage.rollout.outliner",
    "spindle.actors.tools.sandbox.sandbox",
    "spindle.actors.tools.commands.rule_book",
    "spindle.actors.tools.commands.process",
    "spindle.actors.services.services",
    "spindle.actors.tools.commands.sessions",
    "spindle.actors.turn.loop",
    "spindle.actors.tools.commands.shell_tools",
    "spindle.actors.thread.state",
    "spindle.actors.thread.core",
    "spindle.actors.tools.agents.tools",
    "spindle.actors.tools.patch.tool",
    "spindle.actors.thread.agents.parent",
    "spindle.actors.thread.tools",
    "spindle.actors.thread.parts",
    "spindle.actors.thread.actor",
    "spindle.actors.registry.registry",
)
"""Starting a thread, and running a turn up to its request."""

MODEL: Final = (
    "http.client",
    "urllib.request",
    "h11",
    "httpcore",
    "httpx",
    "spindle.rpc.model.body",
    "spindle.rpc.model.network",
    "spindle.rpc.model.responses",
    "encodings.idna",
)
"""A request to a model over HTTP."""

WATCHED: Final = ("spindle.actors.thread.watched", "spindle.actors.turn.watched")
"""What a runtime with instruments needs."""


PAUSE: Final = 0.02
"""Seconds between two checks whether an answer is still awaited."""


def _nothing() -> bool:
    return False


async def import_ahead(names: Sequence[str], awaited: Callable[[], bool] = _nothing) -> None:
    """Import the modules in a worker thread, one after the other, but none while an answer is awaited.

    `awaited` says so, and is called in the worker thread too. Cancelling waits for the module that is being imported.
    """
    left = deque(name for name in names if name not in sys.modules)

    def proceed() -> None:
        while left and not awaited():
            trio.from_thread.check_cancelled()
            import_module(left.popleft())

    while left:
        while awaited():  # noqa: ASYNC110 - an event would cost something with each answer
            await trio.sleep(PAUSE)
        await trio.to_thread.run_sync(proceed)
