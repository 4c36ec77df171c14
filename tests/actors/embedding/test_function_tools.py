"""Functions as tools in whole turns: what they are given, what they may do, and how they end a turn."""

import contextvars
import json

import pytest
import trio

import spindle
from spindle.rpc.protocol.turns import McpToolCallProgressNotification

TENANT: contextvars.ContextVar[str] = contextvars.ContextVar("TENANT", default="none")


def call(name, id="c", **arguments):
    return {"type": "function_call", "call_id": id, "name": name, "arguments": json.dumps(arguments)}


def outputs(model, index=-1):
    """What the model was given as outputs of calls in a request."""
    items = [json.loads(item) for item in model.requests[index].input]
    return [item["output"] for item in items if item["type"] == "function_call_output"]


class Store:
    """Of an application."""

    def __init__(self, **prices: int) -> None:
        self.prices = prices

    @spindle.tool
    async def price(self, what: str) -> int:
        """The price of something."""
        await trio.lowlevel.checkpoint()
        return self.prices[what]

    def names(self) -> list[str]:
        """What there is."""
        return sorted(self.prices)


async def test_an_object_is_a_set_of_tools(opened, scripted):
    model = scripted([call("price", "a", what="tea"), call("names", "b"), call("price", "c", what="gold")], ["done"])
    async with opened(model) as runtime, runtime.start_thread(tools=[Store(tea=3, coffee=4)]) as thread:
        with trio.fail_after(10):
            assert (await thread.run("go")).output == "done"
    assert outputs(model) == ["3", '["coffee","tea"]', "KeyError: 'gold'"]


@pytest.mark.parametrize("way", ["start", "resume", "fork"])
async def test_a_function_has_deps_and_the_variables_of_the_turns_caller(opened, scripted, way):
    async def look(context: spindle.ToolContext[Store]) -> str:
        await context.emit_progress("looking")
        return f"{context.deps.names()} for {TENANT.get()} in {context.thread_id}"

    def look_too() -> str:
        return TENANT.get()

    model = scripted(["hi"], [call("look", "a"), call("look_too", "b")], ["done"])
    async with opened(model) as runtime:
        async with runtime.start_thread() as first:
            await first.run("hello")
        given = {"tools": [look, look_too], "deps": Store(tea=3)}
        TENANT.set("earlier")
        match way:
            case "start":
                block = runtime.start_thread(**given)
            case "resume":
                block = runtime.resume_thread(first.id, **given)
            case _:
                block = runtime.fork_thread(first.id, **given)
        with trio.fail_after(10):
            async with block as thread:
                TENANT.set("acme")
                async with thread.turn("go") as turn:
                    TENANT.set("later")
                    events = [event async for event in turn]
    assert outputs(model) == [f"['tea'] for acme in {thread.id}", "acme"]
    [progress] = [event for event in events if isinstance(event, McpToolCallProgressNotification)]
    assert (progress.item_id, progress.message, progress.turn_id) == ("a", "looking", turn.id)


async def test_a_tool_may_run_another_thread_and_change_its_own(opened, scripted):
    async def ask(question: str) -> str:
        async with runtime.start_thread() as other:
            await thread.rename(f"asks {other.id}")
            return f"{(await thread.read()).name}: {(await other.run(question)).output}"

    model = scripted([call("ask", question="why?")], ["because"], ["done"])
    async with opened(model) as runtime, runtime.start_thread(tools=[ask]) as thread:
        with trio.fail_after(10):
            assert (await thread.run("go")).output == "done"
    [output] = outputs(model)
    assert output.startswith("asks ")
    assert output.endswith(": because")


async def test_an_error_may_fail_the_turn_when_the_other_calls_are_recorded(opened, scripted):
    def broken() -> None:
        raise ValueError("no such row")

    async def works() -> str:
        await trio.lowlevel.checkpoint()
        return "well"

    model = scripted([call("broken", "a"), call("works", "b")], ["next"])
    tools = [spindle.tool(broken, on_error="raise"), works]
    async with opened(model) as runtime, runtime.start_thread(tools=tools) as thread:
        with trio.fail_after(10):
            with pytest.raises(spindle.TurnFailed, match=r"^the tool broken failed: ValueError: no such row"):
                await thread.run("go")
            assert (await thread.run("again")).output == "next"
    assert outputs(model) == ["the tool broken failed: ValueError: no such row", "well"]


async def test_a_function_replaces_a_tool_of_its_name(opened, scripted):
    def update_plan(plan: list[str]) -> str:
        """Ours."""
        return f"{len(plan)} steps"

    model = scripted([call("update_plan", plan=["a", "b"])], ["done"])
    async with opened(model) as runtime, runtime.start_thread(tools=[update_plan]) as thread:
        with trio.fail_after(10):
            await thread.run("go")
    assert outputs(model) == ["2 steps"]
    offers = [json.loads(offer) if isinstance(offer, bytes) else offer for offer in model.requests[0].raw.tools]
    assert [offer["description"] for offer in offers if offer.get("name") == "update_plan"] == ["Ours."]


async def test_tools_are_checked_at_the_call(opened, scripted):
    def raw(x: bytes) -> None:
        pass

    def needs(context: spindle.ToolContext[Store]) -> None:
        pass

    async with opened(scripted()) as runtime:
        with pytest.raises(TypeError, match="raw: the parameter x: bytes has no JSON schema"):
            runtime.start_thread(tools=[raw])
        with pytest.raises(TypeError, match="the tool needs needs deps of the type"):
            runtime.start_thread(tools=[needs])
        with pytest.raises(TypeError, match="both tools of the name names"):
            runtime.start_thread(tools=[Store(), Store().names])


# -- approval


@pytest.fixture
def asked(opened, scripted):
    """asked(on_question) -> (the outputs of three calls of a tool that needs approval, the questions)"""

    async def asked(on_question):
        def pay(amount: int) -> str:
            """Pays."""
            return f"paid {amount}"

        questions = []

        async def answer(question):
            questions.append(question)
            on_question(question)

        model = scripted(*([call("pay", f"c{number}", amount=number)] for number in range(3)), ["done"])
        tools = [spindle.tool(pay, needs_approval=True)]
        async with opened(model) as runtime, runtime.start_thread(tools=tools, on_question=answer) as thread:
            with trio.fail_after(10):
                await thread.run("go")
        return outputs(model), questions

    return asked


@pytest.mark.parametrize(
    ("answer", "expected", "times"),
    [
        (lambda question: question.accept(), ["paid 0", "paid 1", "paid 2"], 3),
        (lambda question: question.accept_for_session(), ["paid 0", "paid 1", "paid 2"], 1),
        (lambda question: question.decline(), ["the user declined the call"] * 3, 3),
        (lambda question: question.decline("too much"), ["the user declined the call: too much"] * 3, 3),
    ],
)
async def test_a_program_answers_for_a_tool_that_needs_approval(asked, answer, expected, times):
    answered, questions = await asked(answer)
    assert (answered, len(questions)) == (expected, times)
    assert isinstance(questions[0], spindle.Elicitation)
    assert (questions[0].tool, questions[0].arguments) == ("pay", {"amount": 0})
    assert str(questions[0]) == "to call the tool `pay(amount=0)`"


async def test_to_cancel_a_call_interrupts_the_turn(asked):
    with pytest.raises(spindle.TurnInterrupted):
        await asked(lambda question: question.cancel())


async def test_without_an_answer_run_names_the_tool(opened, scripted):
    @spindle.tool(needs_approval=True)
    def pay() -> None:
        raise AssertionError

    async with opened(scripted([call("pay")])) as runtime, runtime.start_thread(tools=[pay]) as thread:
        with trio.fail_after(10), pytest.raises(spindle.ApprovalRequired, match="to call the tool `pay"):
            await thread.run("go")
