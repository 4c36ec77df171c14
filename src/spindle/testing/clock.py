"""A clock for tests of agents: it jumps over sleeps, and is the real time while something really works."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any, Final

import trio
from trio.testing import active_thread_count

from spindle.actors.tools.commands.process import Process, Warden
from spindle.rpc.mcp.session import McpSession
from spindle.rpc.model.connections import Connections, Exchange

_WAITS: Final = frozenset(
    wait.__code__
    for wait in (
        Warden.start,
        Process.wait,
        Process.wait_tree,
        McpSession.request,
        Connections.post,
        Connections.get,
        Exchange.chunk,
        Exchange.rest,
        trio.Process.wait,
    )
)
"""Where a task waits for something that works outside of trio."""
_NEVER: Final = 999_999_999.0


class AgentClock(trio.abc.Clock, trio.abc.Instrument):
    """A clock for `trio.run`, as trio's MockClock with autojump, for programs that start threads and processes.

    Time stands still while tasks run. When all tasks are blocked and only a deadline can wake one, the clock jumps to that
    deadline at once. While a worker thread (`trio.to_thread`), a command, a request to an MCP server or to a provider, or a
    `trio.Process` that is waited for works, time passes as it really does. So a timeout of 60 s does not end a command of
    0.2 s, and a sleep of an hour takes no time. Commands in the background work until they end.

    `wait_all_tasks_blocked` has precedence, as with MockClock. What a program waits for on sockets of its own does not hold up
    the clock.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._deadline = math.inf
        self._working = False
        self._waiting_since: float | None = None
        self._looking = False

    def current_time(self) -> float:
        """Seconds since the clock was made."""
        return self._now + (0.0 if self._waiting_since is None else time.perf_counter() - self._waiting_since)

    def jump(self, seconds: float) -> None:
        """Advance the clock. Raises ValueError for a negative number."""
        if seconds < 0:
            raise ValueError("time cannot go back")
        self._now += seconds

    # -- called by trio

    def start_clock(self) -> None:
        """The run begins."""
        trio.lowlevel.add_instrument(self)

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """No task is runnable: until this deadline only something outside can wake one."""
        self._deadline = deadline
        self._working = deadline < math.inf and working()
        left = max(0.0, deadline - self.current_time())
        return left if self._working or not left else _NEVER

    def before_io_wait(self, timeout: float) -> None:
        """The wait begins. A short timeout without work means that a task waits until all are blocked."""
        if timeout <= 0:
            return
        if self._working:
            self._waiting_since = time.perf_counter()
        elif self._deadline < math.inf and timeout > 1:
            # wake up at once, to see what input has arrived; without any, nothing but the deadline can come
            self._looking = True
            trio.lowlevel.current_trio_token().run_sync_soon(_nothing)

    def after_io_wait(self, timeout: float) -> None:
        """The wait has ended. Deadlines are looked at next."""
        if self._waiting_since is not None:
            self._now, self._waiting_since = self.current_time(), None
        statistics = trio.lowlevel.current_statistics()
        # the one task is trio's own, and runs what was sent to it: only `_nothing`
        alone = statistics.tasks_runnable == 1 and statistics.run_sync_soon_queue_size == 1
        if self._looking and alone:
            self._now = max(self._now, self._deadline)
        self._looking = False
        self._deadline, self._working = math.inf, False


def working() -> bool:
    """Whether a worker thread works, or a task waits for work outside of trio."""
    return active_thread_count() > 0 or any(
        frame.f_code in _WAITS for task in tasks() for frame, _ in task.iter_await_frames()
    )


def tasks(root: trio.lowlevel.Task | None = None) -> Iterator[trio.lowlevel.Task]:
    """A task and all below it, by default every task of the run."""
    todo: list[Any] = [root or trio.lowlevel.current_root_task()]
    while todo:
        task = todo.pop()
        yield task
        todo += [child for nursery in task.child_nurseries for child in nursery.child_tasks]


def _nothing() -> None:
    """Only wakes the run."""
