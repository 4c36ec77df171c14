"""Hooks in the turns of a thread, with programs that are run: what they keep back, answer, add, and leave behind."""

import json
import os
import sys
from pathlib import Path

import orjson
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from spindle.actors.delivery.questions import Question
from spindle.actors.thread.messages import Compact, Review, RunScript, StartTurn
from spindle.actors.thread.turns.hooks import tell_done
from spindle.rpc.protocol.converter import unstructure
from spindle.rpc.protocol.errors import RpcError
from spindle.rpc.protocol.items import TextInput
from spindle.rpc.protocol.reviews import CustomTarget
from spindle.rpc.protocol.turns import TurnCompletedNotification, TurnStartParams

FREE = [("sandbox_mode", "danger-full-access"), ("approval_policy", "never")]
ASKING = [("sandbox_mode", "danger-full-access"), ("approval_policy", "untrusted")]
TINY = Path(__file__).parents[1] / "tools" / "mcp" / "tiny_server.py"


def call(name, arguments, id="c1", **more):
    return {"type": "function_call", "call_id": id, "name": name, "arguments": json.dumps(arguments), **more}


def execute(script, id="c1"):
    return call("exec_command", {"cmd": script, "login": False}, id)


def patch(path="new.txt", id="c1"):
    text = f"*** Begin Patch\n*** Add File: {path}\n+new\n*** End Patch\n"
    return {"type": "custom_tool_call", "call_id": id, "name": "apply_patch", "input": text}


def answer(**members):
    """A script that answers so, having read what it is given."""
    return f"cat >/dev/null; echo '{json.dumps(members)}'"


def refuse(reason):
    return f"cat >/dev/null; echo '{reason}' >&2; exit 2"


def outputs(model, index=-1):
    items = [orjson.loads(item) for item in model.requests[index].input]
    return {item["call_id"]: item["output"] for item in items if item["type"].endswith("_output")}


def conversation(model, index=-1):
    """(role, text) of what was said and told, without the surroundings."""
    items = [orjson.loads(item) for item in model.requests[index].input]  # and what came after the request
    said = [(item["role"], part["text"]) for item in items if item["type"] == "message" for part in item["content"]]
    said = said[: len(model.heard[index])]
    return [(role, text) for role, text in said if not text.startswith(("<permissions", "<environment"))]


@pytest.fixture
def home(tmp_path):
    """home(hooks, config="") writes the configuration: (event, command or group) pairs."""

    def write(*hooks, config=""):
        events: dict[str, list[object]] = {}
        for event, hook in hooks:
            group = hook if isinstance(hook, dict) else {"hooks": [{"type": "command", "command": hook}]}
            events.setdefault(event, []).append(group)
        (tmp_path / "home").mkdir(exist_ok=True)
        (tmp_path / "home" / "hooks.json").write_text(json.dumps({"hooks": events}))
        (tmp_path / "home" / "config.toml").write_text(config)

    return write


@pytest.fixture
def threads(opened, scripted, tmp_path):
    """threads(*answers, config) -> a runtime to enter and its model."""

    def open_(*answers, config=FREE):
        model = scripted(*answers)
        return opened(model, config=[*config, ("features.apply_patch_freeform", True)]), model

    return open_


async def played(turn, *answers):
    """All that is told of a turn; questions are answered in turn, and one more is a failure."""
    left, told = list(answers), []
    async for event in turn:
        if isinstance(event, Question):
            event.answer(left.pop(0))
        told.append(event)
    assert not left
    return told


def runs(told):
    return [
        (event.run.event_name, event.run.status, [(entry.kind, entry.text) for entry in event.run.entries])
        for event in told
        if getattr(event, "METHOD", "") == "hook/completed"
    ]


def methods(told):
    return [getattr(event, "METHOD", "question") for event in told]


async def go(thread, text, *answers):
    async with thread.turn(text) as turn:
        return await played(turn, *answers)


async def test_a_thread_s_beginning_is_told_of_once_and_again_when_it_is_resumed(home, threads, tmp_path):
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
                    ask = runtime.registry._actors[thread.id].mailbox.ask
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
                    ask = runtime.registry._actors[thread.id].mailbox.ask
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
                    ask = runtime.registry._actors[thread.id].mailbox.ask
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


async def test_what_a_command_of_the_user_s_own_has_come_to_is_not_looked_at(home, threads, tmp_path):
    home(("UserPromptSubmit", "if grep -q first; then exit 0; fi; echo no >&2; exit 2"))
    hold = trio.Event()
    opening, model = threads(["let me ", hold, "see"])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread, thread.turn("first") as turn:
        await model.waiting.wait()
        await turn.steer("second")
        await runtime.registry._actors[thread.id].mailbox.ask(lambda reply: RunScript(reply=reply, script="echo mine"))
        async for event in turn:
            if getattr(event, "METHOD", "") == "item/completed" and event.item.type == "commandExecution":
                hold.set()
    roles = [(role, text.split("\n")[0]) for role, text in conversation(model)]
    assert roles == [("user", "first"), ("assistant", "let me see"), ("user", "<user_shell_command>")]


async def test_a_call_that_is_prevented_has_no_item(home, threads, tmp_path):
    home(("PreToolUse", {"matcher": "Bash", "hooks": [{"type": "command", "command": refuse("not that one")}]}))
    opening, model = threads([execute("touch made"), patch(id="c2")])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        told = await go(thread, "go")
    assert outputs(model)["c1"] == "Command blocked by PreToolUse hook: not that one. Command: touch made"
    assert outputs(model)["c2"].startswith("Exit code: 0\n")
    assert not (tmp_path / "made").exists()
    assert [event.item.type for event in told if getattr(event, "METHOD", "") == "item/started"] == [
        *("userMessage", "fileChange", "agentMessage")
    ]


USES = [
    (execute("echo hi"), "Bash", {"command": "echo hi"}, "hi\n"),
    (
        call("shell", {"command": ["sh", "-c", "echo hi; exit 3"]}),
        "Bash",
        {"command": "sh -c 'echo hi; exit 3'"},
        "hi\n",
    ),
    (call("shell_command", {"command": "echo hi", "login": False}), "Bash", {"command": "echo hi"}, "hi\n"),
    (
        patch(),
        "apply_patch",
        {"command": patch()["input"]},
        '{"output":"Success. Updated the following files:\\nA new.txt\\n","metadata":{"exit_code":0,"duration_seconds":0.0}}',
    ),
    (
        call("echo", {"text": "hi"}, namespace="mcp__tiny__"),
        "mcp__tiny__echo",
        {"text": "hi"},
        {"content": [{"type": "text", "text": "hi"}]},
    ),
]


@pytest.mark.parametrize(("called", "tool", "given", "response"), USES, ids=["exec", "shell", "script", "patch", "mcp"])
async def test_what_is_told_of_each_tool(home, threads, tmp_path, called, tool, given, response):
    log = tmp_path / "log"
    note = f"cat >> {log}; echo >> {log}"
    server = f'[mcp_servers.tiny]\ncommand = "{sys.executable}"\nargs = ["-S", "-E", "{TINY}"]\n'
    home(("PreToolUse", note), ("PostToolUse", note), config=server)
    opening, model = threads([called])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        await go(thread, "go")
    before, after = (json.loads(line) for line in log.read_text().splitlines())
    assert (before["tool_name"], before["tool_input"], before["tool_use_id"]) == (tool, given, "c1")
    assert {**before, "hook_event_name": "PostToolUse", "tool_response": response} == after
    assert "blocked" not in outputs(model)["c1"]


async def test_the_end_of_a_command_that_outlives_its_call_is_told_of_as_the_use_it_was(home, threads, tmp_path):
    log = tmp_path / "log"
    os.mkfifo(tmp_path / "go")
    home(("PostToolUse", f"cat >> {log}; echo >> {log}"))
    opening, model = threads()
    model.answers.append([call("exec_command", {"cmd": "cat go", "login": False, "yield_time_ms": 250})])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        await go(thread, "start it")
        assert not log.exists()
        number = outputs(model)["c1"].split("session ID ")[1].split("\n")[0]
        await trio.to_thread.run_sync((tmp_path / "go").write_text, "late\n")
        model.answers.append([call("write_stdin", {"session_id": int(number)}, "c2")])
        await go(thread, "look")
    [given] = [json.loads(line) for line in log.read_text().splitlines()]
    assert (given["tool_use_id"], given["tool_input"], given["tool_response"]) == (
        "c1",
        {"command": "cat go"},
        "late\n",
    )


async def test_after_a_tool_the_model_can_be_told_something_else(home, threads, tmp_path):
    home(
        ("PostToolUse", refuse("read it again")),
        ("PostToolUse", answer(hookSpecificOutput={"hookEventName": "PostToolUse", "additionalContext": "be careful"})),
    )
    opening, model = threads([execute("echo hi")])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        told = await go(thread, "go")
    assert outputs(model) == {"c1": "read it again"}
    assert ("developer", "be careful") in conversation(model)
    [item] = [
        event.item for event in told if getattr(event, "METHOD", "") == "item/completed" and event.item.id == "c1"
    ]
    assert item.aggregated_output == "hi\n"


def decides(behavior, **more):
    return answer(hookSpecificOutput={"hookEventName": "PermissionRequest", "decision": {"behavior": behavior, **more}})


@pytest.mark.parametrize("called", [execute("touch made"), patch("made")], ids=["command", "patch"])
@pytest.mark.parametrize(
    ("hook", "asked", "made"),
    [(decides("allow"), False, True), (decides("deny", message="not here"), False, False), ("exit 1", True, True)],
    ids=["allowed", "denied", "failed"],
)
async def test_a_hook_answers_for_the_user_or_leaves_it_to_the_user(home, threads, tmp_path, called, hook, asked, made):
    home(("PermissionRequest", hook))
    opening, model = threads([called], config=ASKING)
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        told = await go(thread, "go", *([{"decision": "accept"}] if asked else []))
    assert ("question" in methods(told)) is asked
    assert (tmp_path / "made").exists() is made
    item = [event.item for event in told if getattr(event, "METHOD", "") == "item/completed" and event.item.id == "c1"][
        -1
    ]
    assert item.status == ("completed" if made else "declined")
    if not made:
        assert outputs(model)["c1"].endswith("not here")


async def test_the_agent_goes_on_until_no_hook_has_anything_more(home, threads, lines, tmp_path):
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
            await runtime.registry._actors[thread.id].mailbox.ask(message)
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


async def test_what_is_wrong_with_the_configuration_is_told_to_the_first_who_comes(home, threads, tmp_path):
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
                    if isinstance(one, Question):
                        one.answer({"decision": "accept"})
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
        await runtime.registry._actors[thread.id].mailbox.ask(message)
        async for event in thread.events():
            if isinstance(event, TurnCompletedNotification):
                assert event.turn.status == "completed"
                break
    given = [json.loads(line) for line in log.read_text().splitlines()]
    assert [each["hook_event_name"] for each in given] == ["PreToolUse", "PostToolUse"]
    assert given[0]["session_id"] == thread.id


async def test_the_program_of_notify_is_told_of_completed_turns(home, threads, tmp_path):
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


async def test_input_that_comes_while_notify_s_program_is_told_is_answered(home, threads, tmp_path, monkeypatch):
    reached, go_on = trio.Event(), trio.Event()

    async def slow(*given):
        reached.set()
        await go_on.wait()
        await tell_done(*given)

    monkeypatch.setattr("spindle.actors.thread.turns.task.tell_done", slow)
    home(config='notify = ["/bin/true"]\n')
    opening, model = threads(["one"], ["two"])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread, trio.open_nursery() as nursery:
        answered = trio.Event()

        async def second():
            params = TurnStartParams(thread_id=thread.id, input=[TextInput("second")])
            mailbox = runtime.registry._actors[thread.id].mailbox
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


async def test_without_hooks_nothing_is_asked(home, threads, tmp_path, monkeypatch):
    home()

    def unexpected(*_):
        raise AssertionError("hooks were asked")

    monkeypatch.setattr("spindle.actors.tools.hooks.runs.run_hooks", unexpected)
    monkeypatch.setattr("spindle.actors.turn.calls.run_hooked", unexpected)
    opening, model = threads([execute("echo hi")])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        assert await thread.run("go") == "ok"
    assert len(model.requests) == 2
