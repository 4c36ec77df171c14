"""The spans of a turn: names, kinds, parents, attributes and errors, by the semantic conventions for generative AI."""

import json
from typing import Any

import pytest
import trio
from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode
from tests.actors.thread.agent_plays import FREE, Cast, spawn, wait

from spindle import ModelError
from spindle.rpc.model.interface import Usage

ASKING = [("sandbox_mode", "danger-full-access"), ("approval_policy", "untrusted")]


def call(id, name, **arguments):
    return {"type": "function_call", "call_id": id, "name": name, "arguments": json.dumps(arguments)}


def double(x: int) -> int:
    """Doubles."""
    return 2 * x


async def test_a_turn_with_a_call(opened, scripted, telemetry):
    model = scripted([call("d", "double", x=21), Usage(10, 4, 5, 1, 15)], ["42", Usage(20, 0, 3, 0, 23)])
    model.shown = "https://model.example/v1/responses"
    async with opened(model, naming={"agent_name": "calculator"}) as runtime, runtime.start_thread(tools=[double]) as thread:
        await thread.run("How much?")
    name = thread.info.model
    assert telemetry.tree() == [("invoke_agent calculator", [f"chat {name}", "execute_tool double", f"chat {name}"])]
    turn = telemetry.one("invoke_agent")
    assert turn.kind is SpanKind.INTERNAL
    assert turn.status.status_code is StatusCode.UNSET
    assert turn.attributes == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": thread.info.model_provider,
        "gen_ai.request.model": name,
        "gen_ai.agent.name": "calculator",
        "gen_ai.agent.id": thread.id,
        "gen_ai.conversation.id": thread.id,
        "gen_ai.usage.input_tokens": 30,
        "gen_ai.usage.output_tokens": 8,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.reasoning.output_tokens": 1,
        "spindle.turn.id": turn.attributes["spindle.turn.id"],
    }
    first, last = telemetry.named("chat")
    assert first.kind is SpanKind.CLIENT
    attributes = dict(first.attributes)
    assert 0 <= attributes.pop("gen_ai.response.time_to_first_chunk") < 60
    assert attributes.pop("gen_ai.response.id").startswith("resp_")
    assert attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": thread.info.model_provider,
        "gen_ai.request.model": name,
        "gen_ai.request.stream": True,
        "gen_ai.conversation.id": thread.id,
        "gen_ai.response.finish_reasons": ("tool_call",),
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.reasoning.output_tokens": 1,
        "server.address": "model.example",
        "server.port": 443,
    }
    assert last.attributes["gen_ai.response.finish_reasons"] == ("stop",)
    tool = telemetry.one("execute_tool")
    assert tool.kind is SpanKind.INTERNAL
    assert tool.attributes == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "double",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "d",
        "gen_ai.tool.description": "Doubles.",
        "gen_ai.conversation.id": thread.id,
    }


async def test_a_turn_is_a_child_of_the_applications_span_and_functions_see_theirs(opened, scripted, telemetry):
    seen: list[Any] = []

    def plain() -> None:
        seen.append(trace.get_current_span())

    async def waiting() -> None:
        await trio.lowlevel.checkpoint()
        seen.append(trace.get_current_span())
        with telemetry.tracer.start_as_current_span("in the function"):
            pass

    model = scripted([call("p", "plain"), call("w", "waiting")], ["done"])
    async with opened(model) as runtime, runtime.start_thread(tools=[plain, waiting]) as thread:
        with telemetry.tracer.start_as_current_span("of the application"):
            await thread.run("go")
            current: Any = trace.get_current_span()
            assert current.name == "of the application"
    name = thread.info.model
    [(root, [(turn, inside)])] = telemetry.tree()
    assert (root, turn) == ("of the application", "invoke_agent spindle")
    assert [f"chat {name}", f"chat {name}"] == [one for one in inside if one[0] == "c"]
    assert ("execute_tool waiting", ["in the function"]) in inside
    assert {span.name for span in seen} == {"execute_tool plain", "execute_tool waiting"}


async def test_the_turn_of_an_agent_is_a_child_of_the_call_that_started_it(opened, scripted, telemetry):
    cast = Cast(scripted, root=[[spawn()], [wait()], ["all done"]], child=[["child's report"]])
    async with opened(cast, config=FREE) as runtime, runtime.start_thread() as thread:
        await thread.run("root go")
    spawned = telemetry.one("execute_tool spawn_agent")
    root, agent = telemetry.named("invoke_agent")
    assert agent.parent.span_id == spawned.context.span_id
    assert spawned.parent.span_id == root.context.span_id
    assert agent.attributes["spindle.parent_thread.id"] == thread.id
    assert agent.name == f"invoke_agent {agent.attributes['gen_ai.agent.name']}" != "invoke_agent spindle"
    assert agent.attributes["gen_ai.conversation.id"] != thread.id


async def test_a_question_is_a_span_with_its_wait(opened, scripted, telemetry, tmp_path):
    async def accept(question):
        question.accept()

    model = scripted([call("t", "exec_command", cmd=f"touch {tmp_path}/made", login=False)], ["done"])
    async with opened(model, config=ASKING) as runtime, runtime.start_thread(on_question=accept) as thread:
        await thread.run("go")
    question, tool = telemetry.one("spindle.question"), telemetry.one("execute_tool")
    assert question.parent.span_id == tool.context.span_id
    assert question.attributes == {
        "gen_ai.conversation.id": thread.id,
        "spindle.question.method": "item/commandExecution/requestApproval",
        "spindle.question.decision": "accept",
    }
    assert tool.attributes["spindle.tool.kind"] == "builtin"


async def test_a_failed_request_says_what_failed(opened, scripted, telemetry):
    refused = ModelError("no such key", "unauthorized", status=401)
    async with opened(scripted([refused])) as runtime, runtime.start_thread() as thread:
        with pytest.raises(Exception, match="no such key"):
            await thread.run("go")
    request, turn = telemetry.one("chat"), telemetry.one("invoke_agent")
    assert request.attributes["error.type"] == "401"
    assert (request.status.status_code, request.status.description) == (StatusCode.ERROR, "no such key")
    assert turn.attributes["error.type"] == "unauthorized"
    assert (turn.status.status_code, turn.status.description) == (StatusCode.ERROR, "no such key")
    assert turn.attributes["spindle.turn.status"] == "failed"


async def test_a_repeated_request_is_another_span_and_the_turn_has_the_retry(opened, scripted, telemetry, autojump_clock):
    lost = ModelError("lost", {"responseStreamDisconnected": {"httpStatusCode": None}}, retryable=True)
    model = scripted(["Hal", lost], ["Hello."])
    model.stream_max_retries = 1
    async with opened(model) as runtime, runtime.start_thread() as thread:
        await thread.run("go")
    first, second = telemetry.named("chat")
    assert first.attributes["error.type"] == "responseStreamDisconnected"
    assert "spindle.request.attempt" not in first.attributes
    assert second.attributes["spindle.request.attempt"] == 2
    turn = telemetry.one("invoke_agent")
    [event] = turn.events
    assert event.name == "spindle.request.retry"
    assert event.attributes["error.type"] == "responseStreamDisconnected"
    assert event.attributes["spindle.retry.delay"] == pytest.approx(0.2, rel=0.11)
    assert turn.status.status_code is StatusCode.UNSET


async def test_what_a_model_repeats_by_itself_is_an_event_of_the_request(opened, scripted, telemetry):
    class Repeating(scripted):
        def stream(self, request):
            request.retried(ModelError("busy", "serverOverloaded", status=503), 0.5)
            return super().stream(request)

    async with opened(Repeating(["Hello."])) as runtime, runtime.start_thread() as thread:
        await thread.run("go")
    request = telemetry.one("chat")
    [event] = request.events
    assert event.name == "spindle.request.retry"
    assert event.attributes == {"error.type": "503", "spindle.request.attempt": 1, "spindle.retry.delay": 0.5}
    assert "error.type" not in request.attributes
    assert telemetry.one("invoke_agent").events == ()


async def test_an_interrupt_is_no_error(opened, scripted, telemetry):
    called = trio.Event()

    async def hang() -> None:
        called.set()
        await trio.sleep_forever()

    model = scripted([call("h", "hang")])
    async with opened(model) as runtime, runtime.start_thread(tools=[hang]) as thread, thread.turn("go"):
        await called.wait()
    turn, tool = telemetry.one("invoke_agent"), telemetry.one("execute_tool")
    assert turn.attributes["spindle.turn.status"] == "interrupted"
    assert tool.attributes["spindle.cancelled"] is True
    for span in (turn, tool):
        assert span.status.status_code is StatusCode.UNSET
        assert "error.type" not in span.attributes


async def test_a_call_that_is_refused_names_the_class_of_the_error_and_not_its_text(opened, scripted, telemetry):
    model = scripted([call("s", "shell", command="my secret")], ["done"])
    async with opened(model, config=FREE) as runtime, runtime.start_thread() as thread:
        await thread.run("go")
    tool = telemetry.one("execute_tool")
    assert tool.attributes["error.type"] == "ToolRefused"
    assert (tool.status.status_code, tool.status.description) == (StatusCode.ERROR, None)


async def test_a_turn_that_is_not_sampled_records_nothing(opened, scripted, telemetry):
    telemetry.tracers.sampler = ALWAYS_OFF
    model = scripted([call("d", "double", x=21)], ["42"])
    async with opened(model, content=True) as runtime, runtime.start_thread(tools=[double]) as thread:
        assert (await thread.run("go")).text == "42"
    assert telemetry.spans == []


async def test_a_compaction_says_what_it_is(opened, scripted, telemetry):
    async with opened(scripted(["hi"], ["a summary"])) as runtime, runtime.start_thread() as thread:
        await thread.run("go")
        await thread.compact()
    assert [span.attributes.get("spindle.turn.kind") for span in telemetry.named("invoke_agent")] == [None, "compact"]
    assert [span.attributes.get("spindle.request.purpose") for span in telemetry.named("chat")] == [None, "compaction"]
