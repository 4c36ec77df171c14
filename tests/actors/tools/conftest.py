"""A turn as tools see it, with a client that gives prepared answers."""

from collections import deque
from typing import Any

import pytest
import trio

from spindle.actors.tools.interface import Call
from spindle.rpc.protocol.converter import structure, unstructure
from spindle.rpc.protocol.errors import RpcError
from spindle.rpc.protocol.settings import AskForApproval, DangerFullAccessPolicy


class Turn:
    """Records events. `answers` are given to questions in order; an event among them is never answered.

    `permissions` are the answers of hooks, in order; then None.
    """

    thread_id, turn_id, mode = "thread", "turn", "default"

    def __init__(self, cwd, approval="never", sandbox=None):
        self.cwd = str(cwd)
        self.approval: Any = structure(approval, AskForApproval)  # type: ignore[arg-type]
        self.sandbox = DangerFullAccessPolicy() if sandbox is None else sandbox
        self.events, self.entries, self.asked = [], [], []
        self.answers = deque[Any]()
        self.uses, self.permissions = [], deque[Any]()
        self.waiting = trio.Event()
        self.tasks: Any = None  # a nursery, where a test needs one

    def emit(self, params):
        self.events.append(params)

    def record(self, *entries):
        self.entries += [payload for _, payload in entries]

    async def keep(self, *entries):
        self.record(*entries)

    async def room(self):
        await trio.lowlevel.checkpoint()

    def settle(self, finish):
        finish()

    async def permission(self, use):
        self.uses.append(use)
        return self.permissions.popleft() if self.permissions else None

    async def review(self, action, *, strict=False):
        return None

    async def ask(self, params, waiting_on, about=None, *, repeats=None):
        assert waiting_on == "waitingOnApproval"
        self.asked.append(unstructure(params))
        answer = self.answers.popleft()
        if isinstance(answer, trio.Event):
            self.waiting.set()
            await answer.wait()
        if isinstance(answer, RpcError):
            raise answer
        return answer if isinstance(answer, dict) else {"decision": answer}

    @property
    def items(self):
        """(started or completed, the item) for each notification."""
        return [
            (event.METHOD.removeprefix("item/"), unstructure(event.item))
            for event in self.events
            if event.METHOD in ("item/started", "item/completed")
        ]

    @property
    def statuses(self):
        return [item["status"] for _, item in self.items]

    @property
    def methods(self):
        return [event.METHOD for event in self.events]


@pytest.fixture
def a_turn(tmp_path):
    """a_turn(approval, sandbox) -> a turn in a directory of its own."""
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    return lambda *given, **named: Turn(cwd, *given, **named)


@pytest.fixture
def a_call():
    """a_call(name, payload) -> a call of a tool."""
    return lambda name, payload, custom=False: Call(id="call-1", name=name, payload=payload, custom=custom)
