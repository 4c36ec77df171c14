"""Hooks before and after tools, and hooks that answer for the user, with programs that are run."""

import json
import os
import sys

import pytest
import trio

from .hooked import (
    ASKING,
    TINY,
    answer,
    call,
    conversation,
    execute,
    go,
    methods,
    outputs,
    patch,
    refuse,
)


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
async def test_what_hooks_receive_about_each_tool(home, threads, tmp_path, called, tool, given, response):
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


async def test_the_end_of_a_command_that_outlives_its_call_is_reported_with_its_own_tool_use(home, threads, tmp_path):
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


async def test_a_post_tool_hook_can_replace_the_output_for_the_model(home, threads, tmp_path):
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
        told = await go(thread, "go", *([lambda asked: asked.accept()] if asked else []))
    assert ("question" in methods(told)) is asked
    assert (tmp_path / "made").exists() is made
    item = [event.item for event in told if getattr(event, "METHOD", "") == "item/completed" and event.item.id == "c1"][
        -1
    ]
    assert item.status == ("completed" if made else "declined")
    if not made:
        assert outputs(model)["c1"].endswith("not here")


async def test_without_hooks_nothing_is_asked(home, threads, tmp_path, monkeypatch):
    home()

    def unexpected(*_):
        raise AssertionError("hooks were asked")

    monkeypatch.setattr("spindle.actors.tools.hooks.runs.run_hooks", unexpected)
    monkeypatch.setattr("spindle.actors.turn.calls.run_hooked", unexpected)
    opening, model = threads([execute("echo hi")])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        assert (await thread.run("go")).text == "ok"
    assert len(model.requests) == 2
