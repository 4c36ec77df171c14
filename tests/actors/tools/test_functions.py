"""Python functions as tools: schemas from signatures, arguments into values, results and failures to the model."""

import enum
import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pytest
import trio
from attrs import frozen
from trio.testing import wait_all_tasks_blocked

from spindle.actors.tasks.faults import explain
from spindle.actors.tools.functions import FunctionTool, function_tools
from spindle.rpc.protocol.errors import RpcError


class Unit(enum.Enum):
    """Of temperatures."""

    C = "celsius"


@frozen
class Place:
    """Where."""

    city: str
    near: "Sequence[Place]" = ()


async def weather(place: Place, unit: Unit = Unit.C, days: int | None = None) -> dict[str, Any]:
    """Tells the weather."""
    await trio.lowlevel.checkpoint()
    return {"city": place.city, "unit": unit, "near": [one.city for one in place.near], "days": days}


def a_tool(function):
    return FunctionTool(function, explain, trio.CapacityLimiter(1))


@pytest.fixture
def run(a_turn, a_call):
    """run(function, arguments) -> (the answer, the item as completed)"""

    async def run(function, arguments):
        turn = a_turn()
        answer = await a_tool(function).run(a_call(function.__name__, json.dumps(arguments)), turn)
        return answer, turn.items[-1][1]

    return run


@pytest.mark.parametrize(
    ("kind", "schema"),
    [
        (str, {"type": "string"}),
        (bool, {"type": "boolean"}),
        (float | None, {"anyOf": [{"type": "number"}, {"type": "null"}]}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (Mapping[str, bool], {"type": "object", "additionalProperties": {"type": "boolean"}}),
        (dict, {"type": "object", "additionalProperties": {}}),
        (Literal["a", 2], {"enum": ["a", 2]}),
        (Unit, {"enum": ["celsius"]}),
        (Any, {}),
    ],
)
def test_a_type_becomes_a_json_schema(kind, schema):
    def tool(x):
        pass

    tool.__annotations__ = {"x": kind}
    parameters = a_tool(tool).offer["parameters"]
    assert parameters == {
        "type": "object",
        "properties": {"x": schema},
        "required": ["x"],
        "additionalProperties": False,
    }


def test_the_offer_is_name_docstring_and_what_has_no_default():
    @frozen
    class Flat:
        """A class that does not contain itself."""

        city: str
        code: int = 0

    async def look(where: Flat, days: int = 1) -> None:
        """Looks there."""

    look.__annotations__["where"] = Flat
    offer = a_tool(look).offer
    assert (offer["type"], offer["name"], offer["description"], offer["strict"]) == (
        "function",
        "look",
        "Looks there.",
        False,
    )
    assert offer["parameters"]["required"] == ["where"]
    assert offer["parameters"]["properties"]["where"] == {
        "type": "object",
        "properties": {"city": {"type": "string"}, "code": {"type": "integer"}},
        "required": ["city"],
        "additionalProperties": False,
    }


def test_a_signature_without_a_schema_is_refused():
    def untyped(x):
        pass

    def many(*x: int) -> None:
        pass

    def bytes_(x: bytes) -> None:
        pass

    def pair(x: tuple[int, str]) -> None:
        pass

    def keyed(x: dict[int, str]) -> None:
        pass

    for function, text in [
        (untyped, "has no type"),
        (many, "cannot be passed by name"),
        (bytes_, "has no JSON schema"),
        (pair, "must be of one type"),
        (keyed, "must be strings"),
        (weather, "contains itself"),
    ]:
        with pytest.raises(TypeError, match=text):
            a_tool(function)


def test_names_are_checked_as_those_of_dynamic_tools():
    def tool() -> None:
        pass

    with pytest.raises(RpcError, match="duplicate dynamic tool name: tool"):
        function_tools([tool, tool], explain, trio.CapacityLimiter(1))


async def test_arguments_become_values_and_the_result_is_json(run):
    @frozen
    class Flat:
        city: str

    async def look(where: Sequence[Flat], unit: Unit = Unit.C, days: int | None = None) -> dict[str, Any]:
        assert isinstance(where[0], Flat)
        assert unit is Unit.C
        return {"cities": [one.city for one in where], "unit": unit, "days": days}

    look.__annotations__["where"] = Sequence[Flat]
    answer, item = await run(look, {"where": [{"city": "Oslo"}], "unit": "celsius"})
    assert json.loads(answer) == {"cities": ["Oslo"], "unit": "celsius", "days": None}
    assert (item["type"], item["status"], item["tool"]) == ("dynamicToolCall", "completed", "look")
    assert item["contentItems"] == [{"type": "inputText", "text": answer}]


async def test_a_plain_function_runs_in_a_worker_thread_and_text_is_returned_unchanged(run):
    def where() -> str:
        return str(threading.current_thread() is threading.main_thread())

    assert (await run(where, {}))[0] == "False"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({}, "required field missing @ $.x"),
        ({"x": 1, "y": 2}, "extra fields found (y) @ $"),
        ({"x": "many"}, "invalid value for type, expected int @ $.x"),
        ([], "they must be an object"),
    ],
)
async def test_arguments_that_do_not_fit_fail_the_call(run, arguments, why):
    def twice(x: int) -> int:
        return 2 * x

    answer, item = await run(twice, arguments)
    assert answer.startswith("the arguments do not fit: ")
    assert why in answer
    assert item["status"] == "failed"


async def test_an_exception_is_answered_and_fails_the_call(run, caplog):
    def breaks() -> None:
        raise ValueError("not so")

    answer, item = await run(breaks, {})
    assert (answer, item["status"]) == ("ValueError: not so", "failed")
    assert "the function breaks failed" in caplog.text


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt: "),
        (GeneratorExit(), "GeneratorExit: "),
        (BaseException("worse"), "BaseException: worse"),
        (BaseExceptionGroup("of a nursery", [SystemExit(3)]), "SystemExit: 3"),
        (ExceptionGroup("of a nursery", [ValueError("not so")]), "ValueError: not so"),
        (ValueError("half a pair: \ud800"), "ValueError: half a pair: ?"),
    ],
)
async def test_anything_a_function_raises_fails_only_its_call(run, kind, raised, told):
    def breaks() -> None:
        raise raised

    async def breaks_later() -> None:
        await trio.lowlevel.checkpoint()
        raise raised

    answer, item = await run(breaks if kind == "sync" else breaks_later, {})
    assert (answer, item["status"]) == (told, "failed")


async def test_an_interrupt_cancels_an_async_function_and_completes_its_item(a_turn, a_call):
    ended = trio.Event()

    async def waits() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    turn = a_turn()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(a_tool(waits).run, a_call("waits", "{}"), turn)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert ended.is_set()
    assert turn.statuses == ["inProgress", "failed"]
