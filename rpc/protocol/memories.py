"""Memories: what Codex keeps of earlier threads, in files of the home."""

from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.shapes import U32


@frozen
class MemoryResetResponse:
    """There are no memories any more."""


@frozen
class MemoryStatusParams:
    """Ask whether the second form of memories can be used: with so many threads in it, 20 by default."""

    min_consolidated_threads: U32 | None = None


@frozen
class MemoryStatusResponse:
    """How many threads are in the second form of memories, and whether it can be used."""

    v2_consolidated_threads: int = field(metadata={"wire": "v2ConsolidatedThreads"})
    v2_ready: bool = field(metadata={"wire": "v2Ready"})


@frozen
class ThreadMemoryReadParams:
    """Read the summary of memories for a loaded thread."""

    thread_id: str


@frozen
class ThreadMemoryReadResponse:
    """The summary; None if the thread uses no memories, or there is none."""

    summary: str | None = None
