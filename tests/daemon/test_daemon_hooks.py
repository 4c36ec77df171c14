"""Hooks as clients see them: the list, and the notifications of a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from .process import Daemon


def test_hooks_are_listed_and_notified(home: Path, launch: Callable[..., Daemon]) -> None:
    hook = {"type": "command", "command": "true", "timeout": 7, "statusMessage": "Looking"}
    group = {"matcher": "Bash", "hooks": [hook]}
    other = {"hooks": [{"type": "command", "command": "cat >/dev/null; echo no >&2; exit 2"}, {"type": "prompt"}]}
    file = home / "hooks.json"
    file.write_text(json.dumps({"hooks": {"PreToolUse": [group], "UserPromptSubmit": [other]}}))
    client = launch().client()
    [entry] = client.call("hooks/list", cwds=[str(home)])["data"]
    first, second = entry.pop("hooks")
    assert entry == {
        "cwd": str(home),
        "warnings": [f"skipping prompt hook in {file}: prompt hooks are not supported yet"],
        "errors": [],
    }
    assert first.pop("currentHash").startswith("sha256:")
    assert first == {
        "key": f"{file}:pre_tool_use:0:0",
        "eventName": "preToolUse",
        "handlerType": "command",
        "command": "true",
        "async": False,
        "matcher": "Bash",
        "timeoutSec": 7,
        "statusMessage": "Looking",
        "additionalContextLimit": None,
        "sourcePath": str(file),
        "source": "user",
        "pluginId": None,
        "environmentId": None,
        "displayOrder": 0,
        "enabled": True,
        "isManaged": False,
        "trustStatus": "trusted",
    }
    assert second["displayOrder"] == 1
    thread = client.start_thread()["id"]
    turn = client.run_turn(thread, "hello")
    told = client.wait_for("hook/completed", thread)
    run = told["run"]
    assert (told["turnId"], run["id"]) == (turn["id"], f"user-prompt-submit:1:{file}")
    assert (run["status"], run["entries"]) == ("blocked", [{"kind": "feedback", "text": "no"}])
    assert turn["status"] == "completed"
    assert client.call("thread/read", threadId=thread, includeTurns=True)["thread"]["turns"][0]["items"] == []


def test_the_hooks_of_a_loaded_thread_are_those_of_its_directory(
    home: Path, launch: Callable[..., Daemon], tmp_path: Path
) -> None:
    group = {"hooks": [{"type": "command", "command": "true"}]}
    (home / "hooks.json").write_text(json.dumps({"hooks": {"Stop": [group]}}))
    (there := tmp_path / "there").mkdir()
    client = launch().client()
    thread = client.start_thread(cwd=str(there))["id"]
    listed = client.call("hooks/list", threadId=thread)
    assert listed == client.call("hooks/list", cwds=[str(there)])
    assert [(entry["cwd"], len(entry["hooks"])) for entry in listed["data"]] == [(str(there), 1)]
    both = client.refusal("hooks/list", threadId=thread, cwds=[str(there)])
    assert (both.code, both.message) == (-32600, "specify either threadId or cwds")
    absent = "019a0000-0000-7000-8000-000000000000"
    assert client.refusal("hooks/list", threadId=absent).message == f"thread not found: {absent}"
    assert client.refusal("hooks/list", threadId="nope").message.startswith("invalid thread id: ")
