"""The metrics: what is measured, with which units, boundaries and attributes."""

import json

import pytest

from spindle import ModelError
from spindle.rpc.model.interface import Usage


def call(id, name, **arguments):
    return {"type": "function_call", "call_id": id, "name": name, "arguments": json.dumps(arguments)}


def double(x: int) -> int:
    """Doubles."""
    return 2 * x


async def test_what_a_turn_measures(opened, scripted, telemetry):
    model = scripted([call("d", "double", x=21), Usage(10, 4, 5, 1, 15)], ["42", Usage(20, 0, 3, 0, 23)])
    model.shown = "http://localhost:8080/v1/responses"
    async with opened(model) as runtime, runtime.start_thread(tools=[double]) as thread:
        await thread.run("go")
    of_requests = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": thread.info.model_provider,
        "gen_ai.request.model": thread.info.model,
        "server.address": "localhost",
        "server.port": 8080,
    }
    tokens = {point.attributes["gen_ai.token.type"]: point for point in telemetry.points("gen_ai.client.token.usage")}
    assert {name: (point.count, point.sum) for name, point in tokens.items()} == {"input": (2, 30), "output": (2, 8)}
    assert tokens["input"].attributes == of_requests | {"gen_ai.token.type": "input"}
    assert tokens["input"].explicit_bounds == tuple(4**n for n in range(14))
    [durations] = telemetry.points("gen_ai.client.operation.duration")
    assert (durations.count, durations.attributes) == (2, of_requests)
    seconds = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
    assert durations.explicit_bounds == seconds
    [first] = telemetry.points("gen_ai.client.operation.time_to_first_chunk")
    assert (first.count, first.attributes, first.explicit_bounds) == (2, of_requests, seconds)
    [turns] = telemetry.points("gen_ai.invoke_agent.duration")
    assert turns.count == 1
    assert turns.attributes["gen_ai.agent.name"] == "spindle"
    assert turns.explicit_bounds == (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6)
    [tools] = telemetry.points("gen_ai.execute_tool.duration")
    assert (tools.count, tools.attributes["gen_ai.tool.name"], tools.explicit_bounds) == (1, "double", seconds)


async def test_the_units(opened, scripted, telemetry):
    async with opened(scripted(["ok", Usage(1, 0, 1, 0, 2)])) as runtime, runtime.start_thread() as thread:
        await thread.run("go")
    data = telemetry.reader.get_metrics_data()
    units = {metric.name: metric.unit for scope in data.resource_metrics[0].scope_metrics for metric in scope.metrics}
    assert units.pop("gen_ai.client.token.usage") == "{token}"
    assert set(units.values()) == {"s"}
    assert len(units) == 3  # no tool was called


async def test_failures_are_measured_by_their_type_and_use_no_tokens(opened, scripted, telemetry):
    async with opened(scripted([ModelError("refused", status=403)])) as runtime, runtime.start_thread() as thread:
        with pytest.raises(Exception, match="refused"):
            await thread.run("go")
    [request] = telemetry.points("gen_ai.client.operation.duration")
    assert request.attributes["error.type"] == "403"
    [turn] = telemetry.points("gen_ai.invoke_agent.duration")
    assert turn.attributes["error.type"] == "_OTHER"
    assert telemetry.points("gen_ai.client.token.usage") == []
