"""thread/sample, thread/sample/cancel, thread/prediction/request, thread/prepareApprovedPlan and turn/settings/update."""

import pytest
import trio
from tests.actors.talks import Refused

from spindle.rpc.model.interface import ModelError
from spindle.rpc.protocol.errors import INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST
from spindle.testing import call

UNKNOWN = "01a22f29-0000-7000-8000-000000000000"


class Source:
    """A client with a thread that has one turn."""

    def __init__(self, client, id, turn):
        self.client, self.id, self.turn = client, id, turn

    def ask(self, prompt="what?", **params):
        given = {"threadId": self.id, "expectedTurnId": self.turn, "prompt": prompt, **params}
        return self.client.ask("thread/sample", **given)

    async def sample(self, *args, **params):
        return await self.client.answer(self.ask(*args, **params))

    async def refused(self, *args, **params):
        with pytest.raises(Refused) as error:
            await self.sample(*args, **params)
        return error.value.code, str(error.value)


@pytest.fixture
async def source(talk):
    """source(runtime, **params of the start) -> a client with a thread that has one turn."""

    async def begin(runtime, **params):
        client = await talk(runtime)
        id = (await client.call("thread/start", **params))["thread"]["id"]
        turn = (await client.call("turn/start", threadId=id, input=[{"type": "text", "text": "hi"}]))["turn"]["id"]
        await client.wait_for("turn/completed", id)
        return Source(client, id, turn)

    return begin


async def refusal(client, method, **params):
    with pytest.raises(Refused) as error:
        await client.call(method, **params)
    return error.value.code, str(error.value)


async def test_a_sample_is_an_answer_to_the_history_and_leaves_no_trace(opened, source, scripted, lines):
    model = scripted(["first"], ["sampled"], ["second"])
    async with opened(model) as runtime:
        one = await source(runtime)
        before = await one.client.call("thread/read", threadId=one.id, includeTurns=True)
        notified = len(one.client.notified(one.id))
        found = await one.sample()
        assert (found["text"], found["sourceTurnId"]) == ("sampled", one.turn)
        assert model.conversation() == ["hi", "first", "what?"]
        assert model.requests[-1].raw.tools == ()
        assert await one.client.call("thread/read", threadId=one.id, includeTurns=True) == before
        assert len(one.client.notified(one.id)) == notified
        await one.client.call("turn/start", threadId=one.id, input=[{"type": "text", "text": "more"}])
        await one.client.wait_for("turn/completed", one.id, 2)
        assert model.conversation() == ["hi", "first", "more"]


async def test_a_history_that_is_not_in_memory_is_read(opened, source, scripted, talk):
    model = scripted(["first"], ["sampled"])
    async with opened(model) as runtime:
        one = await source(runtime)
    async with opened(model) as runtime:
        again = Source(await talk(runtime), one.id, one.turn)
        assert await again.refused() == (INVALID_REQUEST, "thread/sample requires a loaded source")
        await again.client.call("thread/resume", threadId=one.id)
        assert (await again.sample())["text"] == "sampled"
        assert model.conversation() == ["hi", "first", "what?"]


async def test_an_answer_that_calls_a_tool_has_no_text_and_calls_nothing(opened, source, scripted, tmp_path):
    marker = tmp_path / "called"
    model = scripted(["first"], call("exec_command", cmd=f"touch {marker}"))
    async with opened(model) as runtime:
        one = await source(runtime, sandbox="danger-full-access", approvalPolicy="never")
        assert (await one.sample())["text"] is None
        assert not marker.exists()


async def test_a_failed_request_is_an_error_of_the_sample_alone(opened, source, scripted):
    model = scripted(["first"], ModelError("out of order"), ["later"])
    async with opened(model) as runtime:
        one = await source(runtime)
        assert await one.refused() == (INTERNAL_ERROR, "out of order")
        assert (await one.sample())["text"] == "later"


async def test_a_sample_is_cancelled_by_the_id_of_its_request(opened, source, scripted):
    model = scripted(["first"], [trio.Event()], ["later"])
    async with opened(model) as runtime:
        one = await source(runtime)
        asked = one.ask()
        await model.waiting.wait()
        for id in ("x", asked + 1000, asked):
            assert await one.client.call("thread/sample/cancel", requestId=id) == {}
        with pytest.raises(Refused, match="sample canceled"):
            await one.client.answer(asked)
        assert (await one.sample())["text"] == "later"


async def test_a_running_turn_is_sampled_only_if_that_is_allowed(opened, source, scripted):
    release = trio.Event()
    model = scripted(["first"], [release, "late"], ["beside"])
    async with opened(model) as runtime:
        one = await source(runtime)
        started = await one.client.call("turn/start", threadId=one.id, input=[{"type": "text", "text": "more"}])
        await model.waiting.wait()
        running = started["turn"]["id"]
        assert await one.refused(expectedTurnId=running) == (INVALID_REQUEST, "sample source must be idle")
        earlier = (INVALID_REQUEST, "sample source turn must be the latest finished turn")
        assert await one.refused(allowInProgressTurn=True) == earlier
        found = await one.sample(expectedTurnId=running, allowInProgressTurn=True)
        assert found["text"] == "beside"
        assert model.conversation()[:3] == ["hi", "first", "more"]
        assert model.conversation()[-1] == "what?"
        release.set()
        await one.client.wait_for("turn/completed", one.id, 2)


async def test_what_cannot_be_sampled_says_why(opened, source):
    async with opened() as runtime:
        one = await source(runtime)
        prompt = "thread/sample requires expectedTurnId and a prompt of at most 4000 bytes"
        for wrong in ({"prompt": " "}, {"prompt": "x" * 4001}, {"expectedTurnId": ""}):
            assert await one.refused(**{"prompt": "p", **wrong}) == (INVALID_REQUEST, prompt)
        assert (await one.refused(expectedTurnId=UNKNOWN))[1] == "sample source turn must be the latest finished turn"
        assert (await one.refused(threadId=UNKNOWN))[1] == "thread/sample requires a loaded source"
        fleeting = await source(runtime, ephemeral=True)
        assert (await fleeting.refused())[1] == "sample source must be a persistent root thread"
        empty = (await one.client.call("thread/start"))["thread"]["id"]
        assert (await one.refused(threadId=empty))[1] == f"no rollout found for thread id {empty}"


async def test_what_no_reference_has_is_refused_as_there(opened, talk):
    async with opened() as runtime:
        client = await talk(runtime)
        code, text = await refusal(client, "thread/prediction/request", threadId="x", sourceTurnId="y")
        assert (code, text) == (-32601, "thread/prediction/request is not implemented yet")
        id = (await client.call("thread/start"))["thread"]["id"]
        for thread, why in (
            (id, "turn settings updates require the step_model_switching feature"),
            (UNKNOWN, f"thread not found: {UNKNOWN}"),
        ):
            assert await refusal(client, "turn/settings/update", threadId=thread, turnId="x") == (INVALID_REQUEST, why)


# -- plans


async def test_an_approved_plan_is_in_the_history_of_the_first_turn(opened, talk, scripted):
    model = scripted()
    async with opened(model) as runtime:
        client = await talk(runtime)
        id = (await client.call("thread/start"))["thread"]["id"]
        answer = await client.call("thread/prepareApprovedPlan", threadId=id, markdown="# The plan\n1. Do it")
        assert answer == {"prompt": "Implement the plan."}
        await client.call("turn/start", threadId=id, input=[{"type": "text", "text": answer["prompt"]}])
        await client.wait_for("turn/completed", id)
        assert any("# The plan\n1. Do it" in text for text in model.requests[0].texts)


async def test_a_plan_in_a_file_that_the_thread_may_read_is_named(opened, talk, scripted, tmp_path):
    file = tmp_path / "plan.md"
    file.write_text("# plan")
    model = scripted()
    async with opened(model) as runtime:
        client = await talk(runtime)
        id = (await client.call("thread/start"))["thread"]["id"]
        ask = {"threadId": id, "attachmentPath": str(file)}
        named = {"prompt": f"Read the approved plan at {file} and implement it."}
        assert await client.call("thread/prepareApprovedPlan", **ask, markdown="# plan") == named
        inside = {"prompt": "Implement the plan."}
        assert await client.call("thread/prepareApprovedPlan", **ask, markdown="# other") == inside
        file.unlink()
        assert await client.call("thread/prepareApprovedPlan", **ask, markdown="# plan") == inside


async def test_plans_that_cannot_be_given_say_why(opened, talk):
    async with opened() as runtime:
        client = await talk(runtime)
        id = (await client.call("thread/start"))["thread"]["id"]
        for wrong, code, why in (
            ({"markdown": " \n"}, INVALID_REQUEST, "The approved plan is empty."),
            ({"attachmentPath": "a.md"}, INVALID_PARAMS, "`attachmentPath` must be absolute on the app server"),
            ({"threadId": UNKNOWN}, INVALID_REQUEST, f"thread not found: {UNKNOWN}"),
            (
                {"markdown": "x" * 40_001},
                INVALID_REQUEST,
                "The plan is too large for the thread's history, and the thread cannot read it from a file.",
            ),
            (
                {"markdown": "x" * (2**20 + 1)},
                INVALID_PARAMS,
                "Input exceeds the maximum length of 1048576 characters.",
            ),
        ):
            given = {"threadId": id, "markdown": "# plan", **wrong}
            assert await refusal(client, "thread/prepareApprovedPlan", **given) == (code, why)
