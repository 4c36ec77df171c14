"""What type checkers know of options, questions and events. They check this; each `type: ignore` has to hide an error."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from typing import assert_never, assert_type

import spindle
from spindle import events, items


async def decide(question: spindle.Question) -> None:
    """A `match` over the kinds is complete, and each has the answers of its kind."""
    match question:
        case spindle.CommandApproval(command=command, cwd=cwd):
            assert_type(command, str)
            assert_type(cwd, str)
            question.accept_always()
            question.accept({"a": "b"})  # type: ignore[call-arg]
        case spindle.FileApproval(files=files):
            assert_type(files[0], str)
            question.accept_for_session()
            question.accept_always()  # type: ignore[attr-defined]
        case spindle.PermissionRequest():
            question.accept({"network": {"enabled": True}})
            question.accept("network")  # type: ignore[arg-type]
        case spindle.UserQuestion():
            question.accept({"id": "answer"})
            question.accept({"id": 7})  # type: ignore[dict-item]
            question.accept()  # type: ignore[call-arg]
            question.accept_for_session()  # type: ignore[attr-defined]
        case spindle.Elicitation(tool=tool):
            assert_type(tool, str | None)
            question.accept({"name": "value"})
            question.command  # type: ignore[attr-defined]  # noqa: B018
        case _:
            assert_never(question)
    question.decline("no")
    question.cancel()
    question.decline(7)  # type: ignore[arg-type]
    question.acept()  # type: ignore[union-attr]


async def incomplete(question: spindle.Question) -> None:
    """A kind that is left out is an error."""
    match question:
        case spindle.CommandApproval() | spindle.FileApproval() | spindle.PermissionRequest() | spindle.UserQuestion():
            question.cancel()
        case _:
            assert_never(question)  # type: ignore[arg-type]


def at_once(question: spindle.Question) -> None:
    """No callback: it is not async."""
    question.cancel()


async def options(runtime: spindle.Runtime) -> None:
    """Misspelt options and wrong values are errors."""
    spindle.open_runtime(home="home", config={"model": "m"}, on_question=decide)
    spindle.open_runtime(hom="home")  # type: ignore[call-arg]
    spindle.open_runtime(model="gpt-5")  # type: ignore[arg-type]
    spindle.open_runtime(on_question=at_once)  # type: ignore[arg-type]
    spindle.open_runtime(instruments=spindle.Instrument())  # type: ignore[arg-type]
    runtime.start_thread(on_question=at_once)  # type: ignore[arg-type]
    runtime.start_thread(sandbox="workspace_write")  # type: ignore[arg-type]
    runtime.start_thread(approval_policy="nevver")  # type: ignore[arg-type]
    runtime.start_thread(sanbox="read-only")  # type: ignore[call-arg]
    spindle.start_thread(runtime, sandbox="workspace-write", approval_policy="never")
    spindle.start_thread(runtime, sanbox="read-only")  # type: ignore[call-arg]
    spindle.resume_thread(runtime, 7)  # type: ignore[arg-type]
    runtime.threads(sort="name")  # type: ignore[arg-type]
    runtime.threads(serch="x")  # type: ignore[call-arg]
    runtime.registry  # type: ignore[attr-defined]  # noqa: B018


async def turns(thread: spindle.ThreadHandle) -> None:
    """The same of a turn, of its input, and of what it yields."""
    await thread.run("go", effort=17)  # type: ignore[call-overload]
    await thread.run("go", output_schema=7)  # type: ignore[call-overload]
    await thread.run(7)  # type: ignore[call-overload]
    await thread.start_turn("go", efort="low")  # type: ignore[call-arg]
    thread.turn("go", sandbox="read-only")  # type: ignore[call-arg]
    async with thread.turn([items.TextInput("go"), items.LocalImageInput("a.png")]) as turn:
        assert_type(turn.result, spindle.TurnResult[str] | None)
        async for event in turn:
            assert_type(event, spindle.Event)
            match event:
                case spindle.AgentMessageDeltaNotification(delta=delta):
                    assert_type(delta, str)
                case events.ItemCompletedNotification(item=items.CommandExecutionItem(exit_code=code)):
                    assert_type(code, int | None)
                case spindle.CommandApproval():
                    event.decline()
                case _:
                    event.delta  # type: ignore[union-attr]  # noqa: B018


def failed(error: spindle.ProviderError) -> None:
    """Errors are typed."""
    assert_type(error.status, int | None)
    assert_type(error.retry_after, float | None)
    assert_type(error.result, spindle.TurnResult[str])
