"""Hooks at the end of a turn, hooks that fail or are interrupted, and `notify`, with programs that are run."""

import json
import os

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from spindle import CommandApproval
from spindle.actors.thread.messages import Compact, Review, StartTurn
from spindle.actors.thread.turns.hooks import start_notify
from spindle.rpc.protocol.converter import unstructure
from spindle.rpc.protocol.errors import RpcError
from spindle.rpc.protocol.reviews import CustomTarget
from spindle.rpc.protocol.turns import TurnCompletedNotification, TurnStartParams
from spindle.rpc.protocol.user_input import TextInput

from .hooked import (
    ASKING,
    answer,
    conversation,
    execute,
    go,
    outputs,
    played,
    refuse,
    runs,
)


async def test_the_agent_continues_until_no_stop_hook_blocks(home, threads, lines, tmp_path):
    again = "if grep -q '\"stop_hook_active\":true'; then exit 0; fi; echo 'run the <tests>' >&2; exit 2"
    home(("Stop", again))
    opening, model = threads(["Done."], ["All green."])
    async with opening as runtime:
        async with runtime.start_thread(cwd=tmp_path) as thread:
            told = await go(thread, "go")
            assert [status for _, status, _ in runs(told)] == ["blocked", "completed"]
            run = f"stop:0:{tmp_path}/home/hooks.json"
            prompt = f'<hook_prompt hook_run_id="{run}">run the &lt;tests&gt;</hook_prompt>'
            assert conversation(model) == [("user", "go"), ("assistant", "Done."), ("user", prompt)]
            [shown] = [
                unstructure(event.item)
                for event in told
                if getattr(event, "METHOD", "") == "item/completed" and event.item.type == "hookPrompt"
            ]
            assert shown["fragments"] == [{"text": "run the <tests>", "hookRunId": run}]
            before = (await thread.read(include_turns=True)).turns
        async with runtime.resume_thread(thread.id) as resumed:
            assert [item.type for item in resumed.info.thread.turns[0].items] == [
                *("userMessage", "agentMessage", "hookPrompt", "agentMessage")
            ]
            assert resumed.info.thread.turns == before
            assert resumed.info.thread.preview == "go"
            message = lambda reply: Compact(reply=reply, turn_id="t")  # noqa: E731
            await runtime._backend.registry._actors[thread.id].mailbox.ask(message)
            async for event in resumed.events():
                if isinstance(event, TurnCompletedNotification):
                    break
            model.answers.append(["ok"])
            await go(resumed, "and now?")
    # a hook's words are not the user's: a compaction keeps them no more than the agent's
    assert conversation(model, -2)[0] == ("user", "go")
    assert not [text for _, text in conversation(model, -2) if "hook_prompt" in text]


async def test_without_a_reason_to_go_on_the_agent_stops(home, threads, tmp_path):
    home(("Stop", refuse("go on")), ("Stop", answer(**{"continue": False}, stopReason="enough")))
    opening, model = threads(["Done."])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        told = await go(thread, "go")
    assert len(model.requests) == 1
    assert told[-1].turn.status == "completed"


async def test_warnings_about_the_configuration_go_to_the_first_client(home, threads, tmp_path):
    home(("Stop", {"hooks": [{"type": "prompt"}]}))
    opening, _ = threads()
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        told = await go(thread, "go")
        warnings = [event.message for event in told if getattr(event, "METHOD", "") == "warning"]
        assert [text for text in warnings if "hook" in text] == [
            f"skipping prompt hook in {tmp_path}/home/hooks.json: prompt hooks are not supported yet"
        ]
        async with runtime.resume_thread(thread.id) as joined:
            again = await go(joined, "again")
        assert not [event for event in again if "skipping" in getattr(event, "message", "")]


async def test_a_program_that_fails_does_the_turn_no_harm(home, threads, tmp_path):
    home(*((event, "/no/such/program") for event in ("SessionStart", "UserPromptSubmit", "PreToolUse", "Stop")))
    opening, model = threads([execute("echo hi")])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        told = await go(thread, "go")
    assert {(status, *entries) for _, status, entries in runs(told)} == {
        ("failed", ("error", "hook exited with code 127"))
    }
    assert len(runs(told)) == 4
    assert outputs(model)["c1"].endswith("Output:\nhi\n")
    assert told[-1].turn.status == "completed"


EVENTS = ["SessionStart", "UserPromptSubmit", "PreToolUse", "PermissionRequest", "PostToolUse", "Stop"]


@pytest.mark.parametrize("event", EVENTS)
async def test_interrupting_a_turn_kills_the_hook_it_waits_for(home, threads, tmp_path, event):
    os.mkfifo(tmp_path / "fifo")
    fd = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    home((event, f"exec 3>{tmp_path}/fifo; echo up >&3; sleep 1000 & sleep 1000"))
    opening, _ = threads([execute("echo hi; true >/dev/null")], config=ASKING)
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        told = []
        async with thread.turn("go") as turn, trio.open_nursery() as nursery:

            async def listen():
                async for one in turn:
                    if isinstance(one, CommandApproval):
                        one.accept()
                    told.append(one)

            nursery.start_soon(listen)
            await trio.lowlevel.wait_readable(fd)
            await turn.interrupt()
        assert told[-1].turn.status == "interrupted"
        assert runs(told)[-1][1:] == ("failed", [("error", "hook was interrupted")])
        begun = [one.item.id for one in told if getattr(one, "METHOD", "") == "item/started"]
        assert begun == [one.item.id for one in told if getattr(one, "METHOD", "") == "item/completed"]
        assert os.read(fd, 100) == b"up\n"
        with trio.fail_after(10):
            while True:
                try:
                    if os.read(fd, 1) == b"":
                        break
                except BlockingIOError:
                    pass
                await trio.lowlevel.wait_readable(fd)
        os.close(fd)
        (tmp_path / "home" / "hooks.json").unlink()
    opening, fresh = threads()
    async with opening as runtime, runtime.resume_thread(thread.id) as resumed:
        await go(resumed, "and now?")
        said = [text for role, text in conversation(fresh) if role == "user"]
        # what had not been let through yet is not said
        assert ("go" in said) is (event != "UserPromptSubmit")
        if event == "PostToolUse":
            assert outputs(fresh)["c1"].endswith("Output:\nhi\n")


async def test_a_review_has_hooks_for_its_tools_alone(home, threads, tmp_path):
    log = tmp_path / "log"
    note = f"cat >> {log}; echo >> {log}"
    home(*((event, note) for event in EVENTS))
    opening, _ = threads([execute("echo hi")], ["{}"])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        message = lambda reply: Review(reply=reply, turn_id="r", target=CustomTarget("look"))  # noqa: E731
        await runtime._backend.registry._actors[thread.id].mailbox.ask(message)
        async for event in thread.events():
            if isinstance(event, TurnCompletedNotification):
                assert event.turn.status == "completed"
                break
    given = [json.loads(line) for line in log.read_text().splitlines()]
    assert [each["hook_event_name"] for each in given] == ["PreToolUse", "PostToolUse"]
    assert given[0]["session_id"] == thread.id


async def test_the_notify_program_gets_completed_turns(home, threads, tmp_path):
    program = tmp_path / "notify"
    program.write_text(f'#!/bin/sh\necho "$1 $2" >> {tmp_path}/told\n')
    program.chmod(0o755)
    home(config=f'notify = ["{program}", "word"]\n')
    hold = trio.Event()
    opening, model = threads(["one"], ["never ", hold], ["two"])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        await go(thread, "first")
        async with thread.turn("second") as turn:
            await model.waiting.wait()
            await turn.interrupt()
            await played(turn)
        last = await go(thread, "third")
    told = [line.split(" ", 1) for line in (tmp_path / "told").read_text().splitlines()]
    assert [word for word, _ in told] == ["word", "word"]
    by_turn = {given["turn-id"]: given for _, word in told for given in [json.loads(word)]}
    assert by_turn[last[-1].turn.id] == {
        "type": "agent-turn-complete",
        "thread-id": thread.id,
        "turn-id": last[-1].turn.id,
        "cwd": str(tmp_path),
        "client": "spindle",
        "input-messages": ["first", "second", "third"],
        "last-assistant-message": "two",
    }


async def test_input_that_arrives_while_the_notify_program_runs_is_answered(home, threads, tmp_path, monkeypatch):
    reached, go_on = trio.Event(), trio.Event()

    async def slow(*given):
        reached.set()
        await go_on.wait()
        await start_notify(*given)

    monkeypatch.setattr("spindle.actors.thread.turns.task.start_notify", slow)
    home(config='notify = ["/bin/true"]\n')
    opening, model = threads(["one"], ["two"])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread, trio.open_nursery() as nursery:
        answered = trio.Event()

        async def second():
            params = TurnStartParams(thread_id=thread.id, input=[TextInput("second")])
            mailbox = runtime._backend.registry._actors[thread.id].mailbox
            late = await mailbox.ask(lambda reply: StartTurn(reply=reply, params=params))
            assert late.id != turn.id
            async for event in thread.events():
                if isinstance(event, TurnCompletedNotification):
                    break
            answered.set()

        async with thread.turn("first") as turn:
            await reached.wait()
            with pytest.raises(RpcError, match="no active turn to steer"):
                await turn.steer("too late")
            nursery.start_soon(second)
            await wait_all_tasks_blocked()
            go_on.set()
            await played(turn)
        await answered.wait()
    assert conversation(model)[-1] == ("user", "second")


async def test_a_program_of_notify_that_is_missing_does_no_harm(home, threads, tmp_path, caplog):
    home(config='notify = ["/no/such/program"]\n')
    opening, _ = threads()
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        told = await go(thread, "first")
    assert told[-1].turn.status == "completed"
    assert "/no/such/program could not be started" in caplog.text
