"""Threads for trio applications: a block is the subscription, a turn is a stream of typed events.

async with open_runtime() as runtime:
    async with start_thread(runtime, cwd=".") as thread:
        async with thread.turn("Explain this repository") as turn:
            async for event in turn:
                ...

Only one wait is shielded from cancellation: until an interrupted turn is recorded (`TurnHandle.close`). `open_runtime` says
what the end of a runtime waits for.
"""

from spindle.actors.embedding.approvals import ApprovalAnswer, ApprovalQuestion, Approve
from spindle.actors.embedding.failures import (
    ApprovalRequired,
    InvalidOption,
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
    "InvalidOption",
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
