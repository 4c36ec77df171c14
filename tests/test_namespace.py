"""The public names: they are there, documented, cheap to import, and typed so that wrong uses are found.

The functions `typed_…` are for mypy, and are not run. A `type: ignore` in them that is not needed is an error.
"""

from __future__ import annotations

import ast
import inspect
import pydoc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, assert_never, assert_type, get_args

import pytest
import trio

import spindle
from spindle import events, items
from spindle.actors.tools.interface import ToolHost
from spindle.rpc.protocol.threads import ThreadStatusChangedNotification
from spindle.rpc.protocol.wire import Item, Notification

ROOT = Path(__file__).parents[1]
CLASSES = [name for name in spindle.__all__ if inspect.isclass(getattr(spindle, name))]
ALIASES = {"Event", "OnQuestion", "Question"}


def test_each_public_name_is_there_and_listed() -> None:
    assert set(spindle.__all__) == {*spindle._NAMES, "events", "items"}
    assert set(spindle.__all__) <= set(dir(spindle))
    assert all(getattr(spindle, name) is not None for name in spindle.__all__)
    with pytest.raises(AttributeError, match="no attribute 'opn_runtime'"):
        getattr(spindle, "opn_runtime")  # noqa: B009 - type checkers refuse it otherwise


def test_help_shows_each_name() -> None:
    shown = pydoc.plain(pydoc.render_doc(spindle))
    overview = spindle.__doc__ or ""
    for name in spindle.__all__:
        assert name in shown
        assert name in overview or name.endswith("Notification"), name


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys, spindle; print([name for name in sys.modules if name.startswith('spindle.') or name == 'typing'])"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, cwd=ROOT / "src", check=True)
    assert done.stdout == "[]\n"


def parts(name: str) -> Iterator[tuple[str, Any]]:
    """A public name, and the public methods and properties of its class."""
    value = getattr(spindle, name)
    yield name, value
    if inspect.isclass(value) and value.__module__.startswith("spindle.actors"):
        for member, function in inspect.getmembers(value):
            if not member.startswith("_") and (inspect.isfunction(function) or isinstance(function, property)):
                yield f"{name}.{member}", function


@pytest.mark.parametrize("name", sorted(set(spindle.__all__) - ALIASES))
def test_each_public_name_has_a_docstring(name: str) -> None:
    for part, value in parts(name):
        assert (inspect.getdoc(value) or "").strip(), part


def test_every_error_is_an_error_of_spindle() -> None:
    errors = [name for name in CLASSES if issubclass(getattr(spindle, name), BaseException)]
    assert {"ConfigError", "HomeError", "InvalidOption", "ModelError", "RpcError", "TurnFailed"} <= set(errors)
    assert [name for name in errors if not issubclass(getattr(spindle, name), spindle.Error)] == []


def test_the_union_of_events_is_the_module_of_events() -> None:
    union = {kind.__name__ for kind in get_args(events.Event)}
    assert union | {"Event", "Question"} == set(events.__all__)
    for kind in get_args(events.Event):
        assert callable(kind.to_json)
        assert kind.METHOD
    assert {kind.__name__ for kind in get_args(get_args(items.Item)[0])} <= set(items.__all__)
    assert all(issubclass(kind, Item) for kind in get_args(get_args(items.Item)[0]))


def emitted() -> set[str]:
    """The notifications that the threads' code makes, but not to announce them to all clients."""
    found: set[str] = set()
    folders = ("thread", "turn", "tools", "settings", "services")
    for path in (file for folder in folders for file in (ROOT / "actors" / folder).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        announced = {
            id(part)
            for call in ast.walk(tree)
            if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "announce"
            for part in ast.walk(call)
        }
        found |= {
            call.func.id
            for call in ast.walk(tree)
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and id(call) not in announced
            if call.func.id.endswith("Notification")
        }
    return found


def test_the_union_has_what_threads_emit_and_nothing_else() -> None:
    kept = {"ThreadStartedNotification"}  # made once for all clients, and announced below that
    notifications = {kind.__name__ for kind in get_args(events.Event) if issubclass(kind, Notification)}
    assert notifications == emitted() - kept


ASKING = [("sandbox_mode", "danger-full-access"), ("approval_policy", "untrusted")]


async def test_a_turn_yields_only_events_of_the_union(tmp_path: Path) -> None:
    call = {"type": "function_call", "call_id": "c", "name": "exec_command", "arguments": '{"cmd": "touch x"}'}
    seen = list[spindle.Event]()
    model = spindle.OfflineModel([spindle.ScriptedAnswer(chunks=["Let me ", "see."], items=[call]), "done"])
    opening = spindle.open_runtime(home=tmp_path / "home", cwd=tmp_path, model=model, config=ASKING)
    async with opening as runtime, runtime.start_thread() as thread, thread.turn("go") as turn:
        with trio.fail_after(10):
            async for event in turn:
                seen.append(event)
                if isinstance(event, spindle.CommandApproval):
                    event.accept()
    assert all(isinstance(event, get_args(spindle.Event)) for event in seen)
    shown = [event.to_json() for event in seen]
    assert [each["method"] for each in shown] == [event.METHOD for event in seen]
    assert {"item/started", "item/commandExecution/requestApproval", "serverRequest/resolved", "turn/completed"} <= {
        each["method"] for each in shown
    }
    [item] = [event.item for event in seen if isinstance(event, events.ItemCompletedNotification) and event.item.id == "c"]
    assert item.to_json()["type"] == "commandExecution"


def test_a_notification_takes_no_more_memory_for_it() -> None:
    event = events.AgentMessageDeltaNotification("t", "u", "i", "x")
    assert not hasattr(event, "__dict__")
    slots: tuple[str, ...] = type(event).__slots__
    assert slots == ("thread_id", "turn_id", "item_id", "delta", "__weakref__")


# -- for type checkers


def typed_answers(question: spindle.Question) -> None:
    """Every kind of question, and each decision of it."""
    match question:
        case spindle.CommandApproval():
            assert_type(question.command, str)
            question.accept_always()
        case spindle.FileApproval():
            question.accept_for_session()
            question.accept_always()  # type: ignore[attr-defined]
        case spindle.PermissionRequest():
            question.accept({"network": {"enabled": True}})
        case spindle.UserQuestion():
            question.accept({"id": "yes"})
            question.accept()  # type: ignore[call-arg]
            question.accept_for_session()  # type: ignore[attr-defined]
        case spindle.Elicitation():
            question.accept(content={"name": "me"})
            question.accept(contents={})  # type: ignore[call-arg]
        case _:
            assert_never(question)
    question.decline("why")
    question.decline(because="why")  # type: ignore[call-arg]
    question.acept()  # type: ignore[union-attr]
    question.accept()  # type: ignore[call-arg]  # a UserQuestion takes answers


def typed_incomplete(question: spindle.Question) -> None:
    """A kind is missing."""
    match question:
        case spindle.CommandApproval() | spindle.FileApproval() | spindle.PermissionRequest() | spindle.UserQuestion():
            question.cancel()
        case _:
            assert_never(question)  # type: ignore[arg-type]


async def typed_streams(thread: spindle.ThreadHandle, turn: spindle.Turn) -> None:
    """What streams yield."""
    async for event in turn:
        assert_type(event, spindle.Event)
        match event:
            case events.AgentMessageDeltaNotification(delta=text):
                assert_type(text, str)
            case events.ItemCompletedNotification(item=items.CommandExecutionItem() as item):
                assert_type(item.command, str)
            case spindle.DynamicToolCall():
                event.answer("found")
                event.accept()  # type: ignore[attr-defined]
            case _:
                pass
        assert_type(event.to_json(), dict[str, Any])
        event.METHOD  # noqa: B018
        event.method  # type: ignore[union-attr]  # noqa: B018
    assert_type(await anext(thread.events()), spindle.Event)
    events.AgentMesageDeltaNotification  # type: ignore[attr-defined]  # noqa: B018


async def typed_callbacks(runtime: spindle.Runtime) -> None:
    """Which functions may answer."""

    async def ask(question: spindle.Question) -> None:
        question.decline()

    def at_once(question: spindle.Question) -> None:
        question.decline()

    async def only_commands(question: spindle.CommandApproval) -> None:
        question.decline()

    runtime.start_thread(on_question=ask)
    runtime.start_thread(on_question=at_once)  # type: ignore[arg-type]
    runtime.start_thread(on_question=only_commands)  # type: ignore[arg-type]
    runtime.start_thread(approve=ask)  # type: ignore[call-arg]
    runtime.registry  # type: ignore[attr-defined]  # noqa: B018


def typed_emit(host: ToolHost) -> None:
    """Nothing is emitted that is no event."""
    host.emit(events.WarningNotification("t", "w"))
    host.emit(ThreadStatusChangedNotification)  # type: ignore[arg-type]
