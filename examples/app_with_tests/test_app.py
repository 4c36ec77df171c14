"""The tests of app.py. Models play scripts, an hour takes no time, and nothing leaves the machine."""

import pytest
import trio
from app import Cluster, Report, handle

import spindle
from spindle.testing import AgentClock, ScriptedModel, call, faults, hang, nothing_left

READ, RESTART = call("read_log", service="shop"), call("restart", service="shop", call_id="restart")
REPORT = '{"service": "shop", "cause": "out of memory", "restarted": %s}'
RESTARTED, LEFT = (Report("shop", "out of memory", restarted) for restarted in (True, False))


@pytest.fixture
def cluster() -> Cluster:
    return Cluster({"shop": "out of memory"})


async def agree(question: spindle.Question) -> None:
    assert isinstance(question, spindle.Elicitation)
    assert (question.tool, question.arguments) == ("restart", {"service": "shop"})
    question.accept()


async def asleep(question: spindle.Question) -> None:
    await trio.sleep_forever()


# A strict model: each answer is used, each call is of a tool that there is.
async def test_restarts_what_is_approved(runtime: spindle.Runtime, model: ScriptedModel, cluster: Cluster) -> None:
    model.script(READ, RESTART, REPORT % "true")
    assert await handle(runtime, cluster, "The shop is down", agree) == RESTARTED
    assert model.requests[0].prompt == "The shop is down"
    assert model.requests[2].tool_outputs["restart"] == "shop has been restarted 1 times"


async def test_restarts_nothing_without_an_answer(
    runtime: spindle.Runtime, model: ScriptedModel, cluster: Cluster, agent_clock: AgentClock
) -> None:
    model.script(RESTART, REPORT % "false")
    assert await handle(runtime, cluster, "The shop is down", asleep) == LEFT
    assert "does not answer" in model.requests[1].tool_outputs["restart"]
    assert 300 <= agent_clock.current_time() < 301


async def test_gives_up_in_time_and_leaves_nothing(
    runtime: spindle.Runtime, model: ScriptedModel, cluster: Cluster, agent_clock: AgentClock
) -> None:
    model.script(hang())
    async with nothing_left(runtime):
        assert await handle(runtime, cluster, "The shop is down", agree, minutes=30) is None
    assert 1800 <= agent_clock.current_time() < 1801


async def test_needs_no_model_to_survive(runtime: spindle.Runtime, model: ScriptedModel, cluster: Cluster) -> None:
    with faults.model_unreachable(model):
        assert await handle(runtime, cluster, "The shop is down", agree) is None
    model.script("all is well", REPORT % "false")  # the first answer does not fit, so it is asked once more
    assert await handle(runtime, cluster, "The shop is down", agree) == LEFT
