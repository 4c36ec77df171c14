"""Small mistakes in programs like those of examples/. mypy and pyright check this; each `type: ignore` has to hide an error."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from typing import assert_never

import spindle
from spindle import events
from spindle.testing import AgentClock, ScriptedModel, call, fail


async def of_a_web_chat(runtime: spindle.Runtime, thread_id: str) -> None:
    """A misspelt option, classes of events and questions that there are not, an answer that does not fit."""
    runtime.start_thread(aproval_policy="untrusted")  # type: ignore[call-arg]
    runtime.start_thread(approval_policy="untrustd")  # type: ignore[arg-type]
    runtime.start_thread(sandbox="workspace_write")  # type: ignore[arg-type]
    runtime.resume_thread(thread=thread_id)  # type: ignore[call-arg]
    runtime.threads(serach="x")  # type: ignore[call-arg]
    async with runtime.resume_thread(thread_id) as thread:
        await thread.start_turn(7)  # type: ignore[arg-type]
        await thread.interupt()  # type: ignore[attr-defined]
        async for event in thread.events():
            match event:
                case events.AgentMessageDelta():  # type: ignore[attr-defined]
                    pass
                case spindle.CommandApproval():
                    event.accept("yes")  # type: ignore[call-arg]
                case spindle.UserQuestion():
                    event.accept()  # type: ignore[call-arg]
                case events.ServerRequestResolvedNotification():
                    event.requestId  # type: ignore[attr-defined]  # noqa: B018
                case events.AgentMessageDeltaNotification(delta=text):
                    await thread.steer(text)
                case _:
                    pass


async def forgets_a_kind(question: spindle.Question) -> None:
    """A kind of question is not handled."""
    match question:
        case spindle.CommandApproval() | spindle.FileApproval() | spindle.PermissionRequest():
            question.accept()
        case spindle.UserQuestion():
            question.decline()
        case _:
            assert_never(question)  # type: ignore[arg-type]


async def accepts_every_kind(question: spindle.Question) -> None:
    """Questions of the agent cannot be accepted without answers."""
    question.accept()  # type: ignore[call-arg]


def answers_at_once(question: spindle.Question) -> None:
    """A callback that is not async."""
    question.decline()


async def of_a_release(runtime: spindle.Runtime) -> int:
    """A wrong callback, and a result with another type."""
    runtime.start_thread(on_question=answers_at_once)  # type: ignore[arg-type]
    async with runtime.start_thread(tools=[answers_at_once], on_question=forgets_a_kind) as thread:
        return (await thread.run("?", output_type=str)).output  # type: ignore[return-value]


async def of_a_batch(runtime: spindle.Runtime, error: spindle.ProviderError) -> float:
    """What may be None is looked at before it is used."""
    async with runtime.start_thread(ephemeral=True) as thread:
        (await thread.run("?")).usage.total_tokens  # type: ignore[union-attr]  # noqa: B018
    return error.retry_after  # type: ignore[return-value]


async def of_tests(clock: AgentClock) -> None:
    """Wrong pieces of a script."""
    model = ScriptedModel(7)  # type: ignore[arg-type]
    model.script(fail("429"))  # type: ignore[arg-type]
    model.script(call(city="Oslo"))  # type: ignore[call-arg]
    clock.jump("1 h")  # type: ignore[arg-type]
