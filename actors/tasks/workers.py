"""Limits on worker threads, one for each thing they wait for, so that one kind of work does not block another.

Everything else shares trio's default limit: git, skills, images, MCP servers, the disk work of single requests. The flusher,
the index and the state store have limits of their own.
"""

from __future__ import annotations

import trio
from attrs import define, field

FUNCTIONS = 40
"""Synchronous functions of the application that run at once, unless `open_runtime` is given another number."""


@define(eq=False)
class Workers:
    """The limits of one runtime."""

    functions: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(FUNCTIONS))
    """The application's own functions, which may take any time."""
    loading: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(20))
    """Loading threads: their configuration, instructions, skills and rollouts."""
    searches: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(4))
    """Searching files by name, for clients: long work of the processor."""
    rollouts: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(20))
    """Opening, reading, writing and closing the rollouts of loaded threads."""
