"""Imports, ahead of their use, what the first thread and its first turn need.

Importing takes longer than all the rest of a first turn. It is done in small steps in a worker thread, while nothing is
asked for. Parts come before what imports them, so that each step is short.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from importlib import import_module
from typing import Final

import trio

THREAD: Final = (
    "spindle.rpc.protocol.items",
    "spindle.rpc.protocol.turns",
    "spindle.rpc.protocol.threads",
    "spindle.storage.config",
    "spindle.storage.rollout",
    "sqlite3",
    "spindle.storage.state.database",
    "spindle.storage.credentials",
    "spindle.actors.services.services",
    "spindle.actors.turn.loop",
    "spindle.actors.thread.core",
    "spindle.actors.thread.tools",
    "spindle.actors.thread.parts",
    "spindle.actors.thread.actor",
    "spindle.actors.registry.registry",
)
"""Starting a thread, and running a turn up to its request."""

MODEL: Final = (
    "urllib.request",
    "httpcore",
    "httpx",
    "spindle.rpc.model.body",
    "spindle.rpc.model.network",
    "spindle.rpc.model.responses",
    "encodings.idna",
)
"""A request to a model over HTTP."""


async def import_ahead(names: Sequence[str], until_quiet: Callable[[], Awaitable[object]]) -> None:
    """Import the modules one after the other. `until_quiet` is awaited before each."""
    for name in names:
        if name not in sys.modules:
            await until_quiet()
            await trio.to_thread.run_sync(import_module, name)
