"""Goals. Functions of a connection, for `StateStore.read` and `change`.

`changed` and `spent` decide the result of a change, without I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import evolve

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.goals import ThreadGoal, ThreadGoalSetParams, ThreadGoalStatus
from spindle.rpc.protocol.shapes import Absent

if TYPE_CHECKING:
    import sqlite3

LONGEST_OBJECTIVE: Final = 4000
"""In characters."""
_MOST: Final = 2**63 - 1
"""The largest integer of SQLite; a provider may report any number of tokens."""


class GoalError(Exception):
    """The request about a goal is impossible; the message is for clients."""


@frozen
class StoredGoal:
    """A goal and its used time in milliseconds; clients see whole seconds."""

    goal: ThreadGoal
    time_used_ms: int = 0


def changed(before: StoredGoal | None, params: ThreadGoalSetParams, thread_id: str, now: int) -> StoredGoal:
    """The goal after `thread/goal/set`. `now` is in Unix seconds. Raises GoalError."""
    objective = None if params.objective is None else _objective(params.objective)
    budget = params.token_budget
    if isinstance(budget, int) and budget <= 0:
        raise GoalError("goal budgets must be positive when provided")
    if before is None:
        if objective is None:
            raise GoalError(f"cannot update goal for thread {thread_id}: no goal exists")
        goal = ThreadGoal(
            thread_id=thread_id, objective=objective, status=params.status or "active", created_at=now, updated_at=now
        )
    else:
        goal = evolve(before.goal, updated_at=now)
        if objective is not None:
            goal = evolve(goal, objective=objective)
        if params.status is not None:
            goal = evolve(goal, status=_status(goal.status, params.status))
    if not isinstance(budget, Absent):
        goal = evolve(goal, token_budget=budget)
    return StoredGoal(_limited(goal), 0 if before is None else before.time_used_ms)


def spent(before: StoredGoal, tokens: int, milliseconds: int, now: int) -> StoredGoal | None:
    """The goal after work that used `tokens` and `milliseconds`; None if it was not active and does not change."""
    if before.goal.status != "active":
        return None
    used = before.time_used_ms + milliseconds
    goal = evolve(
        before.goal,
        tokens_used=min(before.goal.tokens_used + tokens, _MOST),
        time_used_seconds=used // 1000,
        updated_at=now,
    )
    return StoredGoal(_limited(goal), used)


def get_goal(connection: sqlite3.Connection, thread_id: str) -> StoredGoal | None:
    """A thread's goal, or None."""
    row = connection.execute(
        "SELECT objective, status, token_budget, tokens_used, time_used_ms, created_at, updated_at"
        " FROM goals WHERE thread_id = ?",
        (thread_id,),
    ).fetchone()
    if row is None:
        return None
    objective, status, budget, tokens, milliseconds, created_at, updated_at = row
    goal = ThreadGoal(
        thread_id=thread_id,
        objective=objective,
        status=status,
        token_budget=budget,
        tokens_used=tokens,
        time_used_seconds=milliseconds // 1000,
        created_at=created_at,
        updated_at=updated_at,
    )
    return StoredGoal(goal, milliseconds)


def set_goal(connection: sqlite3.Connection, params: ThreadGoalSetParams, thread_id: str, now: int) -> ThreadGoal:
    """Apply `thread/goal/set`. Raises GoalError."""
    return _keep(connection, changed(get_goal(connection, thread_id), params, thread_id, now))


def spend(
    connection: sqlite3.Connection, thread_id: str, tokens: int, milliseconds: int, now: int
) -> ThreadGoal | None:
    """Charge work to an active goal; None if there is none."""
    before = get_goal(connection, thread_id)
    after = None if before is None else spent(before, tokens, milliseconds, now)
    return None if after is None else _keep(connection, after)


def clear_goal(connection: sqlite3.Connection, thread_id: str) -> bool:
    """Remove a thread's goal; False if it has none."""
    return connection.execute("DELETE FROM goals WHERE thread_id = ?", (thread_id,)).rowcount > 0


def _keep(connection: sqlite3.Connection, stored: StoredGoal) -> ThreadGoal:
    goal = stored.goal
    connection.execute(
        "INSERT OR REPLACE INTO goals VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            goal.thread_id,
            goal.objective,
            goal.status,
            goal.token_budget,
            goal.tokens_used,
            stored.time_used_ms,
            goal.created_at,
            goal.updated_at,
        ),
    )
    return goal


def _objective(text: str) -> str:
    if not text.strip():
        raise GoalError("goal objective must not be empty")
    if len(text.strip()) > LONGEST_OBJECTIVE:
        raise GoalError(f"goal objective must be at most {LONGEST_OBJECTIVE} characters")
    return text.strip()


def _status(before: ThreadGoalStatus, wanted: ThreadGoalStatus) -> ThreadGoalStatus:
    """The status after a change: pausing a goal does not hide that its budget is used up."""
    return before if (before, wanted) == ("budgetLimited", "paused") else wanted


def _limited(goal: ThreadGoal) -> ThreadGoal:
    over = goal.token_budget is not None and goal.tokens_used >= goal.token_budget
    return evolve(goal, status="budgetLimited") if over and goal.status == "active" else goal
