"""Worker threads, limited by what they wait for, so that one kind of waiting does not hold up another.

What is not named here shares trio's default limit: git, skills, images, MCP servers, the disk work of single requests. The
flusher, the index and the state have limits of their own.
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
    """The application's own functions, which take as long as they like."""
    loading: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(20))
    """Opening threads: their configuration, their instructions and skills, their rollouts."""
    rollouts: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(20))
    """Opening, reading and closing the rollouts of loaded threads, and what goes with a line in them."""
