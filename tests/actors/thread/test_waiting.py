"""Limits of what waits for a running turn, or in it."""

import pytest
import trio
from uuid_utils import uuid7

from spindle.actors.kernel.mailbox import answer
from spindle.actors.registry.messages import ToThread
from spindle.actors.thread.messages import Compact, RevertTurns, Review, RunScript
from spindle.actors.thread.turns import queue
from spindle.actors.turn.life import TurnState
from spindle.rpc.protocol.errors import OVERLOADED, RpcError
from spindle.rpc.protocol.reviews import CustomTarget


def compact(reply):
    return Compact(reply=reply, turn_id=str(uuid7()))


def review(reply):
    return Review(reply=reply, turn_id=str(uuid7()), target=CustomTarget("look"))


def revert(reply):
    return RevertTurns(reply=reply, before_turn_id="no such turn")


def script(reply):
    return RunScript(reply=reply, script="sleep 1000")


async def refused(runtime, thread, message):
    with pytest.raises(RpcError) as error:
        await answer(lambda reply: runtime._backend.registry.route(ToThread(thread.id, message(reply))))
    return error.value.code


@pytest.mark.parametrize("message", [compact, review, script])
async def test_the_number_of_requests_that_wait_for_a_turn_is_limited(opened, scripted, monkeypatch, message):
    monkeypatch.setattr(queue, "WAITING", 2)
    go = trio.Event()
    model = scripted(["so far", go])
    async with opened(model) as runtime, runtime.start_thread() as thread, thread.turn("hold"):
        await model.waiting.wait()
        for _ in range(2):
            await answer(lambda reply: runtime._backend.registry.route(ToThread(thread.id, message(reply))))
        assert await refused(runtime, thread, message) == OVERLOADED


async def test_the_number_of_waiting_reverts_is_limited(opened, scripted, monkeypatch, actor):
    monkeypatch.setattr(queue, "WAITING", 0)
    model = scripted(["so far", trio.Event()])
    async with opened(model) as runtime, runtime.start_thread() as thread, thread.turn("hold"):
        await model.waiting.wait()
        assert await refused(runtime, thread, revert) == OVERLOADED
        assert actor(runtime, thread.id).core.turn.state is TurnState.RUNNING


@pytest.mark.parametrize(("bound", "value"), [("PENDING", 1), ("PENDING_WEIGHT", 1000)])
async def test_the_input_that_waits_in_a_turn_is_limited(opened, scripted, monkeypatch, bound, value):
    monkeypatch.setattr(queue, bound, value)
    go = trio.Event()
    model = scripted(["so far", go], ["then"])
    async with opened(model) as runtime, runtime.start_thread() as thread, thread.turn("hold") as turn:
        await model.waiting.wait()
        await turn.steer("x" * 1000)
        with pytest.raises(RpcError) as error:
            await turn.steer("too much")
        assert error.value.code == OVERLOADED
        go.set()
        async for _ in turn:
            pass
    assert model.conversation()[-1] == "x" * 1000
