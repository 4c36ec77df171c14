"""Runtimes in homes of their own, with models that play a script."""

from typing import Any

import orjson
import pytest

from spindle import open_runtime
from spindle.actors.delivery.events import Event
from spindle.actors.delivery.outbox import Overflow
from spindle.actors.delivery.subscribers import Subscriber
from spindle.actors.kernel.mailbox import answer
from spindle.actors.registry.messages import ToThread
from spindle.actors.thread.messages import StartTurn
from spindle.rpc.model.interface import Usage
from spindle.rpc.model.playing import Say
from spindle.rpc.protocol.turns import TurnStartParams
from spindle.rpc.protocol.user_input import TextInput
from spindle.testing import ScriptedModel

from .talks import Talk


class Scripted(ScriptedModel):
    """The kit's model for many short scripts: after its end it says "ok", and it reports no usage, or `tokens` of it."""

    def __init__(self, *answers, tokens=None):
        usage = None if tokens is None else Usage(tokens, 0, 0, 0, tokens)
        super().__init__(*answers, strict=False, usage=usage)

    def answer(self, request):
        """The next answer. A text in it is one delta."""
        answer = super().answer(request)
        return [Say((one,)) if isinstance(one, str) else one for one in answer] if isinstance(answer, list) else answer

    @property
    def texts(self):
        """The texts of each request's messages."""
        return [request.texts for request in self.requests]

    def conversation(self, index=-1):
        """What user and model have said, in a request."""
        return self.requests[index].conversation

    @staticmethod
    def message(text):
        """A message as an item."""
        content = [{"type": "output_text", "text": text}]
        return {"type": "message", "role": "assistant", "id": "m", "content": content}


class Witness:
    """Receives what every connection receives: `notifications` has all of it, as (method, params)."""

    def __init__(self, runtime):
        self.subscriber = Subscriber(Overflow.CLOSE)
        self.notifications = []
        self._taken = 0
        runtime._backend.audience.join(self.subscriber)

    async def next(self, method):
        """The next notification of this kind."""
        while True:
            while self._taken < len(self.notifications):
                said, params = self.notifications[self._taken]
                self._taken += 1
                if said == method:
                    return params
            await self._listen()

    async def until(self, method, times=1):
        """Everything up to a notification of this kind, or to so many of them."""
        while sum(said == method for said, _ in self.notifications) < times:
            await self._listen()
        return self.notifications

    async def statuses(self):
        """The statuses of threads up to a close."""
        await self.until("thread/closed")
        return [params.status.type for method, params in self.notifications if method == "thread/status/changed"]

    async def _listen(self):
        for event in await self.subscriber.outbox.take():
            assert isinstance(event, Event)
            self.notifications.append((event.method, event.params))


@pytest.fixture
def scripted():
    """The class of scripted models."""
    return Scripted


@pytest.fixture
def witness():
    """witness(runtime) -> what every connection receives."""
    return Witness


@pytest.fixture
async def talk(nursery):
    """talk(runtime, cwd=None) -> an initialized client that pipelines, on a connection (and in a directory) of its own."""
    history: list[Any] = []

    async def begin(runtime, cwd=None):
        client = Talk(runtime, history, len({each.client for each in history}), cwd)
        nursery.start_soon(client.run)
        await client.initialize()
        return client

    return begin


@pytest.fixture
def opened(tmp_path):
    """opened(model, **options) -> a runtime to enter, in a home of its own."""

    def open_(model=None, **options):
        options = {"home": tmp_path / "home", "cwd": tmp_path, **options}
        return open_runtime(model=Scripted() if model is None else model, **options)

    return open_


@pytest.fixture
def lines():
    """lines(thread or path) -> the payloads of its rollout, each with the line's type as `line`."""

    def read(thread):
        path = getattr(getattr(thread, "info", None), "thread", None)
        with open(thread if path is None else path.path, "rb") as file:
            return [{"line": line["type"], **line["payload"]} for line in map(orjson.loads, file)]

    return read


@pytest.fixture
def recorded(lines):
    """recorded(thread, type) -> the payloads of this type in its rollout."""
    return lambda thread, kind: [line for line in lines(thread) if line.get("type") == kind]


@pytest.fixture
def events_of():
    """events_of(events, turn id) -> of a stream, the events of a turn up to its completion."""

    async def collect(events, turn_id):
        seen = []
        async for event in events:
            own = event.turn.id if hasattr(event, "turn") else getattr(event, "turn_id", None)
            if own == turn_id:
                seen.append(event)
            if event.METHOD == "turn/completed" and own == turn_id:
                return seen
        raise AssertionError("the thread has ended")

    return collect


@pytest.fixture
def start_turn():
    """start_turn(runtime, thread id, text) -> a turn that ends with no block of ours."""

    async def start(runtime, thread_id, text):
        params = TurnStartParams(thread_id=thread_id, input=[TextInput(text)])

        def send(reply):
            runtime._backend.registry.route(ToThread(thread_id, StartTurn(reply=reply, params=params)))

        return await answer(send)

    return start


@pytest.fixture
def stored_turns():
    """stored_turns(runtime, thread id) -> its turns as they are read from the rollout."""

    async def read(runtime, thread_id):
        async with runtime.resume_thread(thread_id) as thread:
            return thread.info.thread.turns

    return read


@pytest.fixture
def actor():
    """actor(runtime, thread id) -> the actor of a loaded thread."""
    return lambda runtime, thread_id: runtime._backend.registry._actors[thread_id]


@pytest.fixture
def crash():
    """crash(actor) -> ends it with a TypeError, in a task that it cannot go on without."""

    async def fall_over():
        raise TypeError("a task that the thread cannot go on without")

    return lambda actor: actor.nursery.start_soon(fall_over)
