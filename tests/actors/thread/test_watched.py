"""What instruments are called with while a thread works."""

import contextvars
import json

import pytest
import trio
from tests.actors.ledger import Ledger
from tests.actors.thread.agent_plays import FREE, Cast, spawn, wait
from trio.testing import wait_all_tasks_blocked

from spindle import Instrument, ModelError, ResponsesModel
from spindle.actors.thread.messages import Review
from spindle.rpc.model.interface import Provider, Usage
from spindle.rpc.protocol.reviews import CustomTarget

ASKING = [("sandbox_mode", "danger-full-access"), ("approval_policy", "untrusted")]
NAME = contextvars.ContextVar("name", default="nobody")


def call(id, name, **arguments):
    return {"type": "function_call", "call_id": id, "name": name, "arguments": json.dumps(arguments)}


def double(x: int) -> int:
    """Doubles."""
    return 2 * x


def fall_over() -> None:
    """Raises."""
    raise ValueError("over")


@pytest.fixture
def ledger():
    return Ledger()


async def test_a_healthy_turn(opened, scripted, ledger, tmp_path):
    model = scripted([call("d", "double", x=21), Usage(10, 4, 5, 1, 15)], ["It is ", "42.", Usage(20, 0, 3, 0, 23)])
    async with opened(model, instruments=[ledger]) as runtime, runtime.start_thread(tools=[double]) as thread:
        await thread.run("How much?")
    assert ledger.names == [
        "thread_loaded",
        "turn_started",
        *("request_started", "request_ended"),
        *("tool_started", "tool_ended"),
        *("request_started", "request_ended"),
        "turn_ended",
        "thread_closed",
    ]
    assert not ledger.open
    [(info,)] = ledger.of("thread_loaded")
    assert (info.thread_id, info.parent_thread_id, info.agent_nickname) == (thread.id, None, None)
    assert (info.model, info.model_provider, info.cwd, info.ephemeral) == (
        thread.info.model,
        thread.info.model_provider,
        str(tmp_path),
        False,
    )
    [(turn, ended)] = ledger.of("turn_ended")
    assert (turn.thread, turn.thread_id, turn.kind, turn.cwd) == (info, thread.id, "regular", str(tmp_path))
    assert [part.text for part in turn.input] == ["How much?"]
    assert (ended.status, ended.error, ended.last_message) == ("completed", None, "It is 42.")
    assert ended.usage == Usage(30, 4, 8, 1, 38)
    assert ended.seconds >= 0
    (first, answered), (second, said) = ledger.of("request_ended")
    assert [(one.thread_id, one.turn_id, one.purpose, one.attempt) for one in (first, second)] == [
        (thread.id, turn.turn_id, "answer", 1)
    ] * 2
    assert [first.request, second.request] == [request.raw for request in model.requests]
    assert (first.model, first.model_provider, first.server) == (turn.model, turn.model_provider, None)
    assert answered.response_id.startswith("resp_")
    assert answered.usage == Usage(10, 4, 5, 1, 15)
    assert (answered.error, answered.cancelled) == (None, False)
    assert 0 <= answered.seconds_to_first <= answered.seconds
    assert [item["type"] for item in answered.items] == ["function_call"]
    assert [item["content"][0]["text"] for item in said.items] == ["It is 42."]
    [(tool, output)] = ledger.of("tool_ended")
    assert (tool.thread_id, tool.turn_id, tool.call_id, tool.name) == (thread.id, turn.turn_id, "d", "double")
    assert (tool.namespace, tool.kind, tool.custom, tool.arguments) == (None, "function", False, '{"x": 21}')
    assert tool.description == "Doubles."
    assert (output.output, output.error, output.cancelled) == ("42", None, False)


async def test_a_request_that_is_repeated_is_another_one(opened, scripted, ledger, autojump_clock):
    lost = ModelError("lost", retryable=True)
    model = scripted(["Hal", lost], [lost], ["Hello."])
    model.stream_max_retries = 2
    async with opened(model, instruments=[ledger]) as runtime, runtime.start_thread() as thread:
        assert (await thread.run("hi")).text == "Hello."
    assert ledger.names[2:-2] == [
        *("request_started", "request_ended", "request_retried"),
        *("request_started", "request_ended", "request_retried"),
        *("request_started", "request_ended"),
    ]
    assert [(info.attempt, outcome.error) for info, outcome in ledger.of("request_ended")] == [(1, lost), (2, lost), (3, None)]
    retries = ledger.of("request_retried")
    assert [(info.attempt, error) for info, error, _ in retries] == [(1, lost), (2, lost)]
    assert [delay == pytest.approx(expected, rel=0.11) for (_, _, delay), expected in zip(retries, (0.2, 0.4), strict=True)]


async def test_a_request_that_fails_for_good(opened, scripted, ledger):
    refused = ModelError("refused", "unauthorized")
    async with opened(scripted([refused]), instruments=[ledger]) as runtime, runtime.start_thread() as thread:
        with pytest.raises(Exception, match="refused"):
            await thread.run("hi")
    [(_, outcome)] = ledger.of("request_ended")
    assert (outcome.error, outcome.response_id, outcome.usage) == (refused, None, None)
    [(_, ended)] = ledger.of("turn_ended")
    assert (ended.status, ended.error.message, ended.usage) == ("failed", "refused", None)
    assert "request_retried" not in ledger.names


async def test_the_server_of_a_provider_is_named_without_its_secrets(opened, ledger):
    provider = Provider(name="test", base_url="http://user:secret@127.0.0.1:9/v1?key=secret", request_max_retries=0)
    model = ResponsesModel(provider, environ={})
    model.stream_max_retries = 0
    async with opened(model, instruments=[ledger]) as runtime, runtime.start_thread() as thread:
        with pytest.raises(Exception, match=r"127\.0\.0\.1"):
            await thread.run("hi")
    [(info,)] = ledger.of("request_started")
    assert info.server == "http://127.0.0.1:9/v1/responses?key=…"


async def test_calls_that_fail_and_calls_of_unknown_tools_end_too(opened, scripted, ledger):
    model = scripted([call("f", "shell", command=17), call("u", "no_such_tool")], ["done"])
    async with opened(model, config=FREE, instruments=[ledger]) as runtime, runtime.start_thread() as thread:
        await thread.run("hi")
    ended = {info.call_id: (info, outcome) for info, outcome in ledger.of("tool_ended")}
    info, outcome = ended["f"]
    assert info.kind == "builtin"
    assert type(outcome.error).__name__ == "ToolRefused"
    assert outcome.output.startswith("failed to parse function arguments")
    info, outcome = ended["u"]
    assert (info.description, outcome.error) == ("", None)
    assert outcome.output == "unsupported call: no_such_tool"


async def test_an_interrupt_ends_what_has_begun_as_cancelled(opened, scripted, ledger):
    called = trio.Event()

    async def hang() -> None:
        called.set()
        await trio.sleep_forever()

    model = scripted([call("h", "hang")])
    async with (
        opened(model, instruments=[ledger]) as runtime,
        runtime.start_thread(tools=[hang]) as thread,
        thread.turn("hi"),
    ):
        await called.wait()
    assert not ledger.open
    [(_, outcome)] = ledger.of("tool_ended")
    assert (outcome.cancelled, outcome.error, outcome.output) == (True, None, None)
    [(_, ended)] = ledger.of("turn_ended")
    assert (ended.status, ended.error) == ("interrupted", None)


async def test_a_cancelled_request(opened, scripted, ledger):
    model = scripted(["Hel", trio.Event()])
    async with opened(model, instruments=[ledger]) as runtime, runtime.start_thread() as thread, thread.turn("hi"):
        await model.waiting.wait()
        await wait_all_tasks_blocked()
    [(_, outcome)] = ledger.of("request_ended")
    assert (outcome.cancelled, outcome.error, outcome.response_id) == (True, None, None)
    assert outcome.seconds_to_first is not None


async def test_a_question_and_its_answer(opened, scripted, ledger, tmp_path):
    async def answer(question):
        question.decline()

    model = scripted([call("t", "exec_command", cmd=f"touch {tmp_path}/made", login=False)], ["done"])
    async with (
        opened(model, config=ASKING, instruments=[ledger]) as runtime,
        runtime.start_thread(on_question=answer) as thread,
    ):
        await thread.run("hi")
    assert ledger.names[4:8] == ["tool_started", "question_asked", "question_answered", "tool_ended"]
    [(asked, outcome)] = ledger.of("question_answered")
    assert (asked.thread_id, asked.method) == (thread.id, "item/commandExecution/requestApproval")
    assert asked.params.item_id == "t"
    assert asked.turn_id == ledger.of("turn_started")[0][0].turn_id
    assert (outcome.result, outcome.error, outcome.withdrawn) == ({"decision": "decline"}, None, False)


async def test_a_question_without_an_answer_is_withdrawn(opened, scripted, ledger):
    model = scripted([call("t", "exec_command", cmd="touch made", login=False)])
    async with (
        opened(model, config=ASKING, instruments=[ledger]) as runtime,
        runtime.start_thread() as thread,
        thread.turn("hi") as turn,
    ):
        async for _ in turn:
            if "question_asked" in ledger.names:
                break
    [(_, outcome)] = ledger.of("question_answered")
    assert (outcome.result, outcome.error, outcome.withdrawn) == (None, None, True)


async def test_a_compaction_and_a_review_say_so(opened, scripted, ledger):
    model = scripted(["hi"], ["a summary"], ["a report"])
    async with opened(model, config=FREE, instruments=[ledger]) as runtime, runtime.start_thread() as thread:
        await thread.run("hi")
        await thread.compact()
        await thread._subscription.ask(lambda reply: Review(reply=reply, turn_id="review", target=CustomTarget("look")))
        async for event in thread.events():
            if event.METHOD == "turn/completed":
                break
    turns = {info.turn_id: info.kind for info, _ in ledger.of("turn_ended")}
    assert [*turns.values()] == ["regular", "compact", "review"]
    purposes = [(turns[info.turn_id], info.purpose) for info, _ in ledger.of("request_ended")]
    assert purposes == [("regular", "answer"), ("compact", "compaction"), ("review", "review")]


async def test_an_agent_names_its_parent_and_its_turn_runs_in_the_context_of_the_call(opened, scripted):
    class Seeing(Ledger):
        def tool_started(self, tool):
            super().tool_started(tool)
            NAME.set(f"the call {tool.call_id}")

        def turn_started(self, turn):
            super().turn_started(turn)
            seen.append(NAME.get())

    seen: list[str] = []
    ledger = Seeing()
    cast = Cast(scripted, root=[[spawn()], [wait()], ["all done"]], child=[["child's report"]])
    async with opened(cast, config=FREE, instruments=[ledger]) as runtime, runtime.start_thread() as thread:
        NAME.set("the program")
        assert (await thread.run("root go")).text == "all done"
    assert not ledger.open
    root, agent = [info for (info,) in ledger.of("thread_loaded")]
    assert (agent.parent_thread_id, root.thread_id) == (root.thread_id, thread.id)
    assert agent.agent_nickname
    assert seen == ["the program", "the call spawn"]


async def test_what_an_instrument_sets_is_seen_by_the_work(opened, scripted):
    class Setting(Instrument):
        def turn_started(self, turn):
            before["turn"] = NAME.get()
            NAME.set("the turn")

        def request_started(self, request):
            before["request"] = NAME.get()

        def tool_started(self, tool):
            before[tool.call_id] = NAME.get()
            NAME.set(f"the call {tool.call_id}")

        def question_asked(self, question):
            before["question"] = NAME.get()

    def plain() -> str:
        return NAME.get()

    async def waiting() -> str:
        await trio.lowlevel.checkpoint()
        return NAME.get()

    before: dict[str, str] = {}
    model = scripted([call("p", "plain"), call("w", "waiting")], ["done"])
    async with opened(model, instruments=[Setting()]) as runtime, runtime.start_thread(tools=[plain, waiting]) as thread:
        NAME.set("the program")
        await thread.run("hi")
    assert before == {"turn": "the program", "request": "the turn", "p": "the turn", "w": "the turn"}
    outputs = [json.loads(item)["output"] for item in model.requests[-1].input if b"function_call_output" in item]
    assert outputs == ["the call p", "the call w"]
    assert NAME.get() == "the program"


async def test_functions_run_in_the_context_of_the_turns_caller_without_instruments_too(opened, scripted):
    def plain() -> str:
        return NAME.get()

    model = scripted([call("p", "plain")], ["done"], [call("q", "plain")], ["done"])
    async with opened(model) as runtime, runtime.start_thread(tools=[plain]) as thread:
        for name in ("first", "second"):
            NAME.set(name)
            await thread.run("hi")
            outputs = [json.loads(item)["output"] for item in model.requests[-1].input if b"function_call_output" in item]
            assert outputs[-1] == name


@pytest.mark.parametrize(
    "method",
    [name for name in vars(Instrument) if not name.startswith("_")],
)
async def test_an_instrument_that_fails_disturbs_no_turn(opened, scripted, caplog, method, tmp_path):
    def fail(self, *given):
        raise ValueError("of the instrument")

    async def answer(question):
        question.accept()

    failing, ledger = type("Failing", (Instrument,), {method: fail})(), Ledger()
    lost = ModelError("lost", retryable=True)
    model = scripted([call("t", "exec_command", cmd=f"touch {tmp_path}/made", login=False)], [lost], ["done"])
    model.stream_max_retries = 1
    async with (
        opened(model, config=ASKING, instruments=[failing, ledger]) as runtime,
        runtime.start_thread(on_question=answer) as thread,
    ):
        assert (await thread.run("hi")).text == "done"
    assert (tmp_path / "made").exists()
    assert not ledger.open
    assert ledger.names.count("tool_ended") == ledger.names.count("question_answered") == 1
    lines = [line.getMessage() for line in caplog.records]
    assert lines == ["the instrument Failing has failed and is removed"] * (method != "propagate")
