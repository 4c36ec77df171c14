"""Threads for trio applications: a block that is the subscription, turns that are streams of typed events.

async with open_runtime() as runtime:
    async with start_thread(runtime, cwd=".") as thread:
        async with thread.turn("Explain this repository") as turn:
            async for event in turn:
                ...

Nothing here waits, shielded from cancellation, for more than one thing: that a turn which has been interrupted is recorded
(`TurnHandle.close`). What the runtime's own end waits for is said at `open_runtime`.
"""

from spindle.actors.embedding.approvals import ApprovalAnswer, ApprovalQuestion, Approve
from spindle.actors.embedding.failures import (
    ApprovalRequired,
    SubscriberLagged,
    ThreadClosed,
    TurnFailed,
    TurnInterrupted,
)
from spindle.actors.embedding.streams import Events
from spindle.actors.embedding.threads import (
    CLIENT,
    ThreadHandle,
    archive_thread,
    fork_thread,
    resume_thread,
    start_thread,
)
from spindle.actors.embedding.turns import TurnHandle

__all__ = [
    "CLIENT",
    "ApprovalAnswer",
    "ApprovalQuestion",
    "ApprovalRequired",
    "Approve",
    "Events",
    "SubscriberLagged",
    "ThreadClosed",
    "ThreadHandle",
    "TurnFailed",
    "TurnHandle",
    "TurnInterrupted",
    "archive_thread",
    "fork_thread",
    "resume_thread",
    "start_thread",
]
