"""Hooks at the beginning of a thread and before prompts, with programs that are run."""

import json
import os

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from spindle.actors.thread.messages import RunScript

from .hooked import (
    answer,
    conversation,
    go,
    methods,
    played,
    runs,
)


async def test_session_start_hooks_run_once_per_thread_and_again_on_resume(home, threads, tmp_path):
    log = tmp_path / "log"
    home(("SessionStart", f"cat >> {log}; echo >> {log}; echo remember this"))
    opening, model = threads()
    async with opening as runtime:
        async with runtime.start_thread(cwd=tmp_path) as thread:
            assert not log.exists()
            await go(thread, "one")
            await go(thread, "two")
        async with runtime.resume_thread(thread.id) as resumed:
            await go(resumed, "three")
    given = [json.loads(line) for line in log.read_text().splitlines()]
    assert [each["source"] for each in given] == ["startup", "resume"]
    assert given[0]["transcript_path"] == thread.info.thread.path
    assert given[0]["permission_mode"] == "bypassPermissions"
    assert conversation(model, 1) == [
        ("developer", "remember this"),
        ("user", "one"),
        ("assistant", "ok"),
        ("user", "two"),
    ]


async def test_a_thread_that_may_not_begin_asks_no_model(home, threads, lines, tmp_path):
    home(("SessionStart", answer(**{"continue": False}, stopReason="not today")))
    opening, model = threads()
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        told = await go(thread, "one")
        assert runs(told) == [("sessionStart", "stopped", [("stop", "not today")])]
        assert told[-1].turn.status == "completed"
        assert not model.requests
        assert "item/started" not in methods(told)
        assert not [line for line in lines(thread) if line.get("type") == "user_message"]
        await go(thread, "two")
        assert conversation(model) == [("user", "two")]


async def test_what_is_for_the_model_alone_outlives_a_beginning_that_is_refused(home, threads, tmp_path):
    os.mkfifo(tmp_path / "go")
    home(("SessionStart", f"read _ < {tmp_path}/go; " + answer(**{"continue": False})))
    opening, model = threads()
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        async with thread.turn("one") as turn:
            async for event in turn:
                if getattr(event, "METHOD", "") == "hook/started":
                    ask = runtime._backend.registry._actors[thread.id].mailbox.ask
                    await ask(lambda reply: RunScript(reply=reply, script="echo mine"))
                if getattr(event, "METHOD", "") == "item/completed":
                    await turn.steer("two")
                    await trio.to_thread.run_sync((tmp_path / "go").write_text, "\n")
        assert not model.requests
        await go(thread, "three")
    said = [(role, text.split("\n")[0]) for role, text in conversation(model)]
    assert said == [("user", "<user_shell_command>"), ("user", "three")]


@pytest.mark.parametrize("event", ["SessionStart", "UserPromptSubmit"])
async def test_a_turn_without_input_asks_no_model_for_a_command_of_the_user_s_own(home, threads, tmp_path, event):
    for name in ("go", "end"):
        os.mkfifo(tmp_path / name)
    home((event, f"read _ < {tmp_path}/go; " + answer(**{"continue": False})))
    opening, model = threads()
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        async with thread.turn("one") as turn:
            async for event in turn:
                if getattr(event, "METHOD", "") == "hook/started":
                    ask = runtime._backend.registry._actors[thread.id].mailbox.ask
                    await ask(lambda reply: RunScript(reply=reply, script=f"read _ < {tmp_path}/end"))
                if getattr(event, "METHOD", "") == "item/started" and event.item.type == "commandExecution":
                    await trio.to_thread.run_sync((tmp_path / "go").write_text, "\n")
                if getattr(event, "METHOD", "") == "hook/completed":
                    await wait_all_tasks_blocked()
                    await trio.to_thread.run_sync((tmp_path / "end").write_text, "\n")
        assert (turn.result.status, len(model.requests)) == ("completed", 0)


async def test_such_a_turn_can_be_interrupted(home, threads, tmp_path):
    os.mkfifo(tmp_path / "go")
    home(("UserPromptSubmit", f"read _ < {tmp_path}/go; " + answer(**{"continue": False})))
    opening, _ = threads()
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        async with thread.turn("one") as turn:
            async for event in turn:
                if getattr(event, "METHOD", "") == "hook/started":
                    ask = runtime._backend.registry._actors[thread.id].mailbox.ask
                    await ask(lambda reply: RunScript(reply=reply, script="sleep 1000"))
                if getattr(event, "METHOD", "") == "item/started":
                    await trio.to_thread.run_sync((tmp_path / "go").write_text, "\n")
                if getattr(event, "METHOD", "") == "hook/completed":
                    await wait_all_tasks_blocked()
                    await turn.interrupt()
        assert turn.result.status == "interrupted"


async def test_a_prompt_is_let_through_with_a_word_to_the_model(home, threads, tmp_path):
    home(("UserPromptSubmit", 'echo "given $(cat)"'))
    opening, model = threads()
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        told = await go(thread, "do it")
    [(_, text), (role, given)] = conversation(model)
    assert (text, role, json.loads(given.removeprefix("given "))["prompt"]) == ("do it", "developer", "do it")
    assert methods(told)[:5] == [*("turn/started", "hook/started", "hook/completed", "item/started", "item/completed")]


async def test_a_prompt_that_is_kept_back_is_nowhere(home, threads, lines, tmp_path):
    home(("UserPromptSubmit", "if grep -q secret; then echo no secrets >&2; exit 2; fi"))
    opening, model = threads()
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        told = await go(thread, "the secret")
        assert runs(told) == [("userPromptSubmit", "blocked", [("feedback", "no secrets")])]
        assert told[-1].turn.status == "completed"
        assert not model.requests
        await go(thread, "the weather")
        assert "secret" not in json.dumps(lines(thread))
    assert conversation(model) == [("user", "the weather")]


async def test_steered_input_that_is_kept_back_asks_for_no_answer(home, threads, tmp_path):
    home(("UserPromptSubmit", "if grep -q secret; then echo no secrets >&2; exit 2; fi"))
    hold = trio.Event()
    opening, model = threads(["let me ", hold, "see"])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread, thread.turn("first") as turn:
        await model.waiting.wait()
        await turn.steer("the secret")
        hold.set()
        told = await played(turn)
    assert [status for _, status, _ in runs(told)][-1] == "blocked"
    assert len(model.requests) == 1


async def test_prompt_hooks_ignore_the_results_of_the_users_commands(home, threads, tmp_path):
    home(("UserPromptSubmit", "if grep -q first; then exit 0; fi; echo no >&2; exit 2"))
    hold = trio.Event()
    opening, model = threads(["let me ", hold, "see"])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread, thread.turn("first") as turn:
        await model.waiting.wait()
        await turn.steer("second")
        await runtime._backend.registry._actors[thread.id].mailbox.ask(lambda reply: RunScript(reply=reply, script="echo mine"))
        async for event in turn:
            if getattr(event, "METHOD", "") == "item/completed" and event.item.type == "commandExecution":
                hold.set()
    roles = [(role, text.split("\n")[0]) for role, text in conversation(model)]
    assert roles == [("user", "first"), ("assistant", "let me see"), ("user", "<user_shell_command>")]
