"""Calls of functions: arguments into values, results and failures to the model, approval, deadlines, progress."""

import enum
import json
import threading
from collections.abc import Sequence
from typing import Any

import pytest
import trio
from attrs import frozen
from trio.testing import wait_all_tasks_blocked

from spindle.actors.tasks.faults import explain
from spindle.actors.tools.functions.calls import Application, BoundTool, bound_tools
from spindle.actors.tools.functions.context import ToolContext
from spindle.actors.tools.functions.tool import tool
from spindle.actors.tools.interface import Permission, Refusal, ToolFailed, TurnCancelled
from spindle.rpc.protocol.errors import RpcError
from spindle.rpc.protocol.items import ImageOutput, TextOutput
from spindle.rpc.protocol.settings import DangerFullAccessPolicy, ReadOnlyPolicy


class Unit(enum.Enum):
    """Of temperatures."""

    C = "celsius"


def an_application(**more):
    return Application(explain, trio.CapacityLimiter(1), **more)


def a_tool(function, **options):
    return BoundTool(tool(function, **options), an_application())


@pytest.fixture
def run(a_turn, a_call):
    """run(function, arguments) -> (the answer, the item as completed)"""

    async def run(function, arguments):
        turn = a_turn()
        answer = await a_tool(function).run(a_call(function.__name__, json.dumps(arguments)), turn)
        return answer, turn.items[-1][1]

    return run


def test_a_name_that_a_model_cannot_call_is_refused():
    with pytest.raises(RpcError, match="dynamic tool name must match"):
        bound_tools([lambda: 1], an_application())


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
        ({}, "x: is missing"),
        ({"x": 1, "y": 2}, "y: is not known; known are x"),
        ({"x": "many"}, "x: must be an integer"),
        ([], "the value must be an object"),
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


# -- images


@pytest.mark.parametrize("several", [True, False])
async def test_parts_of_content_are_returned_as_they_are(run, several):
    image = ImageOutput(image_url="data:image/png;base64,AA==")

    def look() -> Any:
        return [TextOutput(text="here"), image] if several else image

    answer, item = await run(look, {})
    parts = [{"type": "input_text", "text": "here"}] * several
    assert answer == [*parts, {"type": "input_image", "image_url": image.image_url, "detail": "high"}]
    assert item["contentItems"][-1] == {"type": "inputImage", "imageUrl": image.image_url}


# -- the context and the application


async def test_the_context_has_the_call_and_deps_and_sends_progress(a_turn, a_call):
    seen: list[Any] = []

    async def look(x: int, call: ToolContext[dict[str, int]]) -> str:
        seen.append((call.thread_id, call.turn_id, call.call_id, call.deps))
        await call.emit_progress("half")
        return "done"

    turn, deps = a_turn(), {"a": 1}
    assert await BoundTool(tool(look), an_application(deps=deps)).run(a_call("look", '{"x": 1}'), turn) == "done"
    assert seen == [("thread", "turn", "call-1", deps)]
    assert turn.methods == ["item/started", "item/mcpToolCall/progress", "item/completed"]
    assert (turn.events[1].item_id, turn.events[1].message) == ("call-1", "half")


async def test_progress_waits_for_the_subscribers_that_turns_wait_for(a_turn, a_call):
    async def look(call: ToolContext[None]) -> None:
        await call.emit_progress("half")
        reached.set()

    turn, room, reached = a_turn(), trio.Event(), trio.Event()
    turn.room = room.wait
    async with trio.open_nursery() as nursery:
        nursery.start_soon(a_tool(look).run, a_call("look", "{}"), turn)
        await wait_all_tasks_blocked()
        assert not reached.is_set()
        room.set()
    assert reached.is_set()


async def test_progress_that_is_no_text_is_an_error_of_the_function(a_turn, a_call):
    async def look(call: ToolContext[None]) -> str:
        with pytest.raises(TypeError, match="the message of a progress must be a text, not int"):
            await call.emit_progress(7)  # type: ignore[arg-type]
        return "done"

    assert await a_tool(look).run(a_call("look", "{}"), a_turn()) == "done"


@pytest.mark.parametrize("timeout", [None, 60])
async def test_a_plain_function_sends_progress_from_its_thread(a_turn, a_call, timeout):
    def look(call: ToolContext[None]) -> None:
        trio.from_thread.run(call.emit_progress, "half")

    turn = a_turn()
    async with trio.open_nursery() as turn.tasks:
        await a_tool(look, timeout=timeout).run(a_call("look", "{}"), turn)
    assert turn.methods == ["item/started", "item/mcpToolCall/progress", "item/completed"]


async def test_progress_is_limited_and_its_last_report_is_sent_at_the_end(a_turn, a_call, autojump_clock):
    async def look(call: ToolContext[None]) -> None:
        for number in range(100):
            await call.emit_progress(f"{number} " + "x" * 2000)

    turn = a_turn()
    await a_tool(look).run(a_call("look", "{}"), turn)
    reports = [event.message for event in turn.events if event.METHOD == "item/mcpToolCall/progress"]
    assert [text.split()[0] for text in reports] == [*map(str, range(20)), "99"]
    assert {len(text) for text in reports} == {1001}  # with an ellipsis


@pytest.mark.parametrize(
    ("deps", "fits"), [({}, True), (None, False), ("text", False)],
)
def test_deps_of_another_type_are_refused(deps, fits):
    def look(call: ToolContext[dict]) -> None:  # type: ignore[type-arg]
        pass

    if fits:
        BoundTool(tool(look), an_application(deps=deps))
    else:
        with pytest.raises(TypeError, match=f"the tool look needs deps of the type dict, not {type(deps).__name__}"):
            BoundTool(tool(look), an_application(deps=deps))


def test_deps_of_a_type_that_cannot_be_checked_are_taken():
    def look(call: ToolContext[list[int]], other: int = 0) -> None:
        pass

    BoundTool(tool(look), an_application(deps=["x"]))


# -- errors


class Broken(Exception):
    """Of a function."""


@pytest.mark.parametrize(
    ("on_error", "told"),
    [
        ("message", "Broken: at line 7"),
        ("type", "Broken"),
        (lambda error: f"sorry: {error.args[0]}", "sorry: at line 7"),
        (lambda error: error.nothing, "AttributeError: 'Broken' object has no attribute 'nothing'"),
    ],
)
async def test_the_model_reads_of_an_error_what_the_option_says(a_turn, a_call, on_error, told):
    async def look() -> None:
        raise Broken("at line 7")

    turn = a_turn()
    assert await a_tool(look, on_error=on_error).run(a_call("look", "{}"), turn) == told
    assert turn.statuses == ["inProgress", "failed"]


async def test_an_error_can_fail_the_turn(a_turn, a_call):
    def look() -> None:
        raise Broken("at line 7")

    turn = a_turn()
    with pytest.raises(ToolFailed, match=r"^the tool look failed: Broken: at line 7$") as failure:
        await a_tool(look, on_error="raise").run(a_call("look", "{}"), turn)
    assert isinstance(failure.value.__cause__, Broken)
    assert turn.statuses == ["inProgress", "failed"]


# -- deadlines


async def test_an_async_function_is_cancelled_at_its_deadline(a_turn, a_call, autojump_clock):
    ended = []

    async def look() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(trio.current_time())

    turn, began = a_turn(), trio.current_time()
    assert await a_tool(look, timeout=2.5).run(a_call("look", "{}"), turn) == "timed out after 2.5 s"
    assert ended == [pytest.approx(began + 2.5)]
    assert turn.statuses == ["inProgress", "failed"]


async def test_a_plain_function_goes_on_after_its_deadline_and_a_task_of_the_thread_waits_for_it(a_turn, a_call, mock_clock):
    release, turn, answers, over = threading.Event(), a_turn(), [], []

    def look() -> str:
        release.wait(30)
        over.append(True)
        return "too late"

    async with trio.open_nursery() as thread:
        turn.tasks = thread
        async with trio.open_nursery() as nursery:

            async def call():
                answers.append(await a_tool(look, timeout=2).run(a_call("look", "{}"), turn))

            nursery.start_soon(call)
            await wait_all_tasks_blocked()
            assert answers == []
            mock_clock.jump(2)
        assert (answers, over) == (["timed out after 2 s"], [])
        assert len(thread.child_tasks) == 1
        thread.cancel_scope.cancel()
        release.set()
    assert over == [True]


async def test_a_plain_function_that_never_begins_times_out_too(a_turn, a_call, mock_clock):
    limiter, turn, answers = trio.CapacityLimiter(1), a_turn(), list[Any]()
    limiter.acquire_on_behalf_of_nowait("another")

    def look() -> None:
        raise AssertionError

    async def call():
        found = BoundTool(tool(look, timeout=2), Application(explain, limiter))
        answers.append(await found.run(a_call("look", "{}"), turn))

    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as turn.tasks:
            nursery.start_soon(call)
            await wait_all_tasks_blocked()
            turn.tasks.cancel_scope.cancel()
        await wait_all_tasks_blocked()
        assert answers == []
        mock_clock.jump(2)
    assert answers == ["timed out after 2 s"]


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_function_in_time_is_answered(a_turn, a_call, kind, mock_clock):
    def look(fail: bool) -> int:
        if fail:
            raise Broken("so")
        return 7

    async def look_later(fail: bool) -> int:
        await trio.lowlevel.checkpoint()
        return look(fail)

    turn, function = a_turn(), look if kind == "sync" else look_later
    async with trio.open_nursery() as turn.tasks:
        found = a_tool(function, timeout=2)
        assert await found.run(a_call(found.name, '{"fail": false}'), turn) == "7"
        assert await found.run(a_call(found.name, '{"fail": true}'), turn) == "Broken: so"


# -- approval


@pytest.fixture
def approved(a_turn, a_call):
    """approved(*answers, approval, sandbox, permissions, **options) -> (outputs, the turn); one call for each output."""

    async def approved(*answers, calls=1, approval="on-request", sandbox=None, permissions=(), **options):
        def look(x: int) -> str:
            """Looks."""
            return f"looked {x}"

        turn = a_turn(approval, ReadOnlyPolicy() if sandbox is None else sandbox)
        turn.answers.extend(answers)
        turn.permissions.extend(permissions)
        found = a_tool(look, **({"needs_approval": True} | options))
        outputs = [await found.run(a_call("look", f'{{"x": {number}}}'), turn) for number in range(calls)]
        return outputs, turn

    return approved


ACCEPT = {"action": "accept"}
SESSION = {"action": "accept", "_meta": {"persist": "session"}}
DECLINE = {"action": "decline"}


async def test_the_user_is_asked_as_for_a_tool_of_an_mcp_server(approved):
    outputs, turn = await approved(ACCEPT, DECLINE, Refusal("too far"), calls=3)
    assert outputs == ["looked 0", "the user declined the call", "the user declined the call: too far"]
    assert turn.asked[0] == {
        "threadId": "thread",
        "turnId": "turn",
        "serverName": "application",
        "mode": "form",
        "_meta": {
            "codex_approval_kind": "mcp_tool_call",
            "persist": ["session"],
            "tool_name": "look",
            "tool_description": "Looks.",
            "tool_params": {"x": 0},
            "tool_params_display": [{"name": "x", "value": 0, "display_name": "x"}],
        },
        "message": "Allow the tool look to run?",
        "requestedSchema": {"type": "object", "properties": {}},
    }
    assert turn.statuses == ["inProgress", "completed", "inProgress", "failed", "inProgress", "failed"]


async def test_an_approval_for_the_session_is_remembered(approved):
    outputs, turn = await approved(SESSION, calls=3)
    assert (outputs, len(turn.asked)) == (["looked 0", "looked 1", "looked 2"], 1)


@pytest.mark.parametrize("answer", [RpcError(-32000, "no"), {"action": "perhaps"}])
async def test_an_invalid_answer_declines(approved, answer):
    assert (await approved(answer))[0] == ["the user declined the call"]


async def test_cancel_cancels_the_turn(a_turn, a_call):
    def look() -> None:
        raise AssertionError

    turn = a_turn("on-request")
    turn.answers.append({"action": "cancel"})
    with pytest.raises(TurnCancelled):
        await a_tool(look, needs_approval=True).run(a_call("look", "{}"), turn)
    assert turn.statuses == ["inProgress", "failed"]


async def test_never_with_full_access_does_not_ask(approved):
    outputs, turn = await approved(approval="never", sandbox=DangerFullAccessPolicy())
    assert (outputs, turn.asked) == (["looked 0"], [])
    outputs, turn = await approved(DECLINE, approval="never")
    assert (outputs, len(turn.asked)) == (["the user declined the call"], 1)


async def test_hooks_decide_before_the_user(approved):
    permissions = [Permission(allowed=True), Permission(allowed=False, reason="not today")]
    outputs, turn = await approved(permissions=permissions, calls=2)
    assert (outputs, turn.asked) == (["looked 0", "not today"], [])
    assert [(use.tool, use.input) for use in turn.uses] == [("look", {"x": 0}), ("look", {"x": 1})]


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_function_decides_by_the_context_and_the_arguments(approved, kind):
    def large(context: ToolContext[Any], x: int) -> bool:
        assert context.call_id == "call-1"
        return x > 0

    async def large_later(context: ToolContext[Any], x: int) -> bool:
        await trio.lowlevel.checkpoint()
        return large(context, x)

    outputs, turn = await approved(DECLINE, calls=2, needs_approval=large if kind == "sync" else large_later)
    assert outputs == ["looked 0", "the user declined the call"]
    assert len(turn.asked) == 1


async def test_a_failing_function_that_decides_fails_the_call(approved):
    def broken(context: ToolContext[Any], x: int) -> bool:
        raise Broken("so")

    outputs, turn = await approved(needs_approval=broken)
    assert (outputs, turn.asked) == (["Broken: so"], [])
