"""The thread and the turn that a task works for, for the log.

Tasks that it starts, and its work in worker threads, have the same ids. A task that outlives the thread has none; see
`boundary.start_apart`.
"""

from __future__ import annotations

from contextvars import ContextVar

_ids: ContextVar[tuple[str | None, str | None]] = ContextVar("spindle_log_ids", default=(None, None))


def ids_of_task() -> tuple[str | None, str | None]:
    """(thread id, turn id) of the current task; None where there is none."""
    return _ids.get()


def log_as(thread_id: str | None, turn_id: str | None = None) -> None:
    """From now on, what the current task logs belongs to this thread and this turn."""
    _ids.set((thread_id, turn_id))
