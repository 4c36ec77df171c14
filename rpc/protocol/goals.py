"""Goals: an objective for many turns of a thread, and its budget. From Codex 0.169."""

from typing import ClassVar, Literal, TypeAlias

from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.shapes import ABSENT, Absent
from spindle.rpc.protocol.wire import Notification

ThreadGoalStatus: TypeAlias = Literal["active", "paused", "blocked", "usageLimited", "budgetLimited", "complete"]
ThreadGoalMutationOrigin: TypeAlias = Literal["user", "automatic"]


@frozen(kw_only=True)
class ThreadGoal:
    """A goal. `time_used_seconds` and `tokens_used` count the turns that ran while the goal was active; times are Unix
    seconds.
    """

    thread_id: str
    objective: str
    status: ThreadGoalStatus
    token_budget: int | None = None
    tokens_used: int = 0
    time_used_seconds: int = 0
    created_at: int
    updated_at: int


@frozen
class ThreadGoalSetParams:
    """Set a goal or change a part of it. A `token_budget` of None lifts the budget, `ABSENT` leaves it."""

    thread_id: str
    origin: ThreadGoalMutationOrigin | None = None
    objective: str | None = None
    status: ThreadGoalStatus | None = None
    token_budget: int | Absent | None = ABSENT


@frozen
class ThreadGoalSetResponse:
    """The goal as it is now."""

    goal: ThreadGoal


@frozen
class ThreadGoalGetParams:
    """Read a thread's goal."""

    thread_id: str


@frozen
class ThreadGoalGetResponse:
    """The goal, or None."""

    goal: ThreadGoal | None = None


@frozen
class ThreadGoalClearParams:
    """Remove a thread's goal."""

    thread_id: str
    origin: ThreadGoalMutationOrigin | None = None


@frozen
class ThreadGoalClearResponse:
    """Whether there was a goal."""

    cleared: bool


@frozen(kw_only=True)
class ThreadGoalUpdatedNotification(Notification):
    """A goal was set or changed; `turn_id` is the turn that caused it."""

    METHOD: ClassVar[str] = "thread/goal/updated"

    thread_id: str
    turn_id: str | None = field(default=None)
    goal: ThreadGoal


@frozen
class ThreadGoalClearedNotification(Notification):
    """A thread's goal was removed."""

    METHOD: ClassVar[str] = "thread/goal/cleared"

    thread_id: str
