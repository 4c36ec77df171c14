"""Models that play a script or a function, as an application uses them."""

from contextlib import suppress

import pytest
import trio
import trio.testing

from spindle import TurnFailed, open_runtime
from spindle.testing import FunctionModel, ScriptedModel, call, disconnect, fail, hang, pause, say, think, usage


async def deltas(turn):
    return [event.delta async for event in turn if event.METHOD == "item/agentMessage/delta"]


async def test_a_script_is_played_and_its_requests_are_decoded(runtime, model, weather):
    model.script([think("Outside?"), call("weather", city="Oslo", call_id="c")], think("Rain.") + say("Take a coat."))
    async with runtime.start_thread(tools=[weather]) as thread:
        assert (await thread.run("Do I need a coat?", effort="high")).text == "Take a coat."
        shown = (await thread.read(include_turns=True)).turns[0]
    assert [item.type for item in shown.items] == [
        "userMessage", "reasoning", "dynamicToolCall", "reasoning", "agentMessage",
    ]  # fmt: skip
    first, second = model.requests
    assert (first.prompt, second.prompt) == ("Do I need a coat?", "Do I need a coat?")
    assert (first.tool_outputs, second.tool_outputs) == ({}, {"c": "rain in Oslo"})
    assert first.tools["weather"]["parameters"]["properties"] == {"city": {"type": "string"}}
    assert first.effort == "high"
    assert first.output_schema is None
    assert first.thread_id == thread.id
    assert first.conversation == ["Do I need a coat?"]
    assert any(message.context and "<cwd>" in message.text for message in first.messages)


async def test_the_schema_of_the_output_is_decoded(runtime, model):
    schema = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    model.script("{}")
    async with runtime.start_thread() as thread:
        await thread.run("go", output_schema=schema)
    assert model.requests[0].output_schema == schema


async def test_text_is_streamed_as_it_is_said(runtime, model):
    model.script(say("one two"), say("onetwo", chunks=2), say("ab", chunks=["a", "b"]), say("a") + say("b"))
    async with runtime.start_thread() as thread:
        seen = []
        for _ in range(4):
            async with thread.turn("go") as turn:
                seen.append(await deltas(turn))
    assert seen == [["one", " two"], ["one", "two"], ["a", "b"], ["a", "b"]]
    with pytest.raises(ValueError, match="chunks"):
        say("ab", chunks=["a"])


async def test_times_pass_on_the_clock_of_the_run(runtime, model, agent_clock):
    model.script(pause(60) + say("a b", pace=10))
    async with runtime.start_thread() as thread:
        began = trio.current_time()
        await thread.run("go")
        assert 80 <= trio.current_time() - began < 85


async def test_a_tool_that_takes_text_gets_it(runtime, model):
    model.script(call("apply_patch", "*** Begin Patch\n*** Add File: made\n+new\n*** End Patch\n"), "done")
    async with runtime.start_thread(sandbox="danger-full-access", approval_policy="never") as thread:
        await thread.run("go")
        assert "Success" in next(iter(model.requests[1].tool_outputs.values()))


@pytest.mark.parametrize(
    ("status", "given", "info", "words"),
    [
        (401, {"message": "no such key"}, "other", "401 Unauthorized: no such key"),
        (429, {}, {"responseTooManyFailedAttempts": {"httpStatusCode": 429}}, "429"),
        (429, {"type": "usage_limit_reached"}, "usageLimitExceeded", "usage limit"),
        (503, {"code": "slow_down"}, "serverOverloaded", "overloaded"),
    ],
)
async def test_a_refusal_is_that_of_the_provider(runtime, model, status, given, info, words):
    model.script(fail(status, **given))
    async with runtime.start_thread() as thread:
        with pytest.raises(TurnFailed, match=words) as caught:
            await thread.run("go")
    error = caught.value.result.error
    assert error is not None
    assert error.codex_error_info == info


async def test_a_lost_connection_is_repeated_as_often_as_the_model_allows(runtime, model, agent_clock):
    model.stream_max_retries = 1
    model.script(say("half") + disconnect(), "whole", disconnect(), disconnect("gone"))
    async with runtime.start_thread() as thread:
        assert (await thread.run("go")).text == "whole"
        with pytest.raises(TurnFailed, match="gone"):
            await thread.run("again")


async def test_a_hanging_answer_ends_with_its_event_or_its_turn(runtime, model):
    go = trio.Event()
    model.script(say("one ") + hang(until=go) + say("two"), say("one") + hang())
    async with runtime.start_thread() as thread, trio.open_nursery() as nursery:

        async def let_go():
            await model.waiting.wait()
            go.set()

        nursery.start_soon(let_go)
        assert (await thread.run("go")).text == "one two"
        async with thread.turn("go") as turn:
            async for event in turn:
                if event.METHOD == "item/agentMessage/delta":
                    await turn.interrupt()
    assert turn.result.status == "interrupted"


async def test_the_usage_of_an_answer_is_estimated_or_given(runtime, model):
    model.script("a", say("b") + usage(100, 20, cached=10))
    seen = []
    async with runtime.start_thread() as thread:
        for _ in range(2):
            async with thread.turn("go") as turn:
                seen += [
                    event.token_usage.last async for event in turn if event.METHOD == "thread/tokenUsage/updated"
                ]
    assert seen[0].total_tokens > 100
    assert (seen[-1].input_tokens, seen[-1].cached_input_tokens, seen[-1].total_tokens) == (100, 10, 120)


@pytest.fixture
def answering(runtime, model):
    """answering(answers...) -> runs a turn with this script, and returns what is wrong at its end."""

    async def run(*answers):
        model.script(*answers)
        async with runtime.start_thread() as thread:
            with suppress(TurnFailed):
                await thread.run("what now?")
        with pytest.raises(AssertionError) as wrong:
            model.assert_done()
        model.problems.clear()
        model.answers.clear()
        return str(wrong.value)

    return run


async def test_a_request_beyond_the_script_says_what_was_asked(answering):
    said = await answering(call("update_plan", plan=[], call_id="p"))
    assert "no answer for request 2" in said
    assert "the prompt 'what now?'" in said
    assert "the output of update_plan (p): 'Plan updated'" in said


async def test_answers_that_are_left_are_listed(answering):
    said = await answering("one", call("weather", city="Oslo") + say("two"), hang())
    assert "2 more answer(s) after request 1:\ncall('weather', city='Oslo') + say('two')\nhang()" in said


async def test_a_call_of_a_tool_that_is_not_offered_lists_those_that_are(answering):
    said = await answering(call("wether", city="Oslo"))
    assert "call('wether', city='Oslo'): the thread does not offer this tool. It offers: apply_patch" in said


@pytest.mark.spindle(model=ScriptedModel(call("nothing"), strict=False))
async def test_a_model_that_is_not_strict_lets_it_pass(runtime, model):
    async with runtime.start_thread() as thread:
        assert (await thread.run("go")).text == "ok"
    assert "unsupported call" in next(iter(model.requests[1].tool_outputs.values()))


@pytest.mark.parametrize("kind", ["sync", "async", "generator", "in a script"])
async def test_a_function_answers(runtime, home, kind):
    def answer(request):
        return request.prompt.upper()

    async def answer_later(request):
        await trio.lowlevel.checkpoint()
        return say(request.prompt.upper())

    async def answer_by_and_by(request):
        yield think("loud?")
        for word in request.prompt.split():
            await trio.lowlevel.checkpoint()
            yield word.upper()

    functions = {"sync": answer, "async": answer_later, "generator": answer_by_and_by}
    other = ScriptedModel(answer) if kind == "in a script" else FunctionModel(functions[kind])
    async with open_runtime(home=home, model=other) as own, own.start_thread() as thread:
        assert (await thread.run("shout")).text == "SHOUT"
        assert other.requests[0].prompt == "shout"


async def test_what_is_no_answer_fails_the_turn(runtime, model):
    model.script(lambda request: 5)
    async with runtime.start_thread() as thread:
        with pytest.raises(TurnFailed, match="5 is no answer of a model"):
            await thread.run("go")


async def test_each_answer_that_hangs_can_be_waited_for(runtime, model):
    asked = trio.Event()

    def hanging_too(request):
        asked.set()
        return hang()

    model.script(hang(), hang(), hanging_too)
    async with runtime.start_thread() as one, runtime.start_thread() as other:
        first = await one.start_turn("go")
        await model.waiting.wait()
        await first.interrupt()
        await first.wait()
        assert not model.waiting.is_set()
        second = await one.start_turn("go")
        await model.waiting.wait()
        third = await other.start_turn("go")
        await asked.wait()
        await trio.testing.wait_all_tasks_blocked()
        await second.interrupt()
        await second.wait()
        assert model.waiting.is_set()
        await third.interrupt()
        await third.wait()
        assert not model.waiting.is_set()


def test_the_status_of_an_answer_is_no_refusal():
    for status in (99, 200, 600):
        with pytest.raises(ValueError, match="is no refusal"):
            fail(status)


def test_what_is_no_function_is_refused():
    with pytest.raises(TypeError, match="'hello' is no function"):
        FunctionModel("hello")  # type: ignore[arg-type]
