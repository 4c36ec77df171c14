"""Values and names that cannot be written as JSON: one request fails, and the daemon goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from benchmarks.driving import completed, created, message_done

from .model import calls

if TYPE_CHECKING:
    from .client import Client
    from .model import Endpoint
    from .process import Daemon

BAD = b"caf\xe9"
TOOL = {"name": "weather", "description": "a", "inputSchema": {"type": "object"}}


@pytest.fixture
def folder(tmp_path: Path) -> bytes:
    """A folder whose name is not UTF-8."""
    path = os.fsencode(tmp_path) + b"/" + BAD
    try:
        os.mkdir(path)
    except OSError:
        pytest.skip("the file system takes only names in UTF-8")
    return path


def test_a_skill_in_a_folder_whose_name_is_not_utf_8_is_shown(daemon: Daemon) -> None:
    skill = os.fsencode(daemon.home) + b"/skills/" + BAD
    try:
        os.makedirs(skill)
    except OSError:
        pytest.skip("the file system takes only names in UTF-8")
    with open(skill + b"/SKILL.md", "w") as file:
        file.write("---\ndescription: brews\n---\n")
    client = daemon.client()
    (entry,) = client.call("skills/list")["data"]
    (found,) = [skill for skill in entry["skills"] if skill["description"] == "brews"]
    assert found["name"] == "caf\ufffd"
    assert found["path"].endswith("/caf\ufffd/SKILL.md")
    thread = client.start_thread()["id"]
    assert client.run_turn(thread, "use $caf\ufffd")["status"] == "completed"


def test_a_branch_whose_name_is_not_utf_8_is_shown(daemon: Daemon, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    subprocess.run(["git", "init", "-q", repository], check=True)
    (repository / ".git" / "HEAD").write_bytes(b"ref: refs/heads/" + BAD + b"\n")
    client = daemon.client()
    thread = client.start_thread(cwd=str(repository))["id"]
    client.run_turn(thread, "hello")
    assert client.call("thread/read", threadId=thread)["thread"]["gitInfo"]["branch"] == "caf\ufffd"


def test_a_daemon_in_a_folder_whose_name_is_not_utf_8_asks_for_another(
    launch: Callable[..., Daemon], home: Path, folder: bytes
) -> None:
    client = launch(prefix=["env", "-C", os.fsdecode(folder)]).client()
    assert "not valid UTF-8" in client.refusal("thread/start").message
    assert "not valid UTF-8" in client.refusal("skills/list").message
    thread = client.start_thread(cwd=str(home))["id"]
    assert client.run_turn(thread, "hello")["status"] == "completed"


def test_a_home_whose_name_is_not_utf_8_is_refused(home: Path, folder: bytes) -> None:
    command = [sys.executable, "-m", "spindle", "app-server"]
    done = subprocess.run(
        command, env={**os.environb, b"CODEX_HOME": folder}, input=b"", capture_output=True, timeout=60
    )
    assert done.returncode == 1
    assert b"not valid UTF-8" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("levels", [200, 255, 10_000])
def test_a_value_that_is_nested_too_deeply_fails_where_it_arrives(daemon: Daemon, endpoint: Endpoint, levels: int) -> None:
    deep = b"[" * levels + b"]" * levels
    endpoint.scripts["call"] = calling(deep.decode())
    client = daemon.client(experimentalApi=True)
    thread = client.start_thread(dynamicTools=[TOOL])
    client.wire.write([b'{"id":"deep","method":"thread/inject_items","params":{"threadId":"t","items":[%s]}}' % deep])
    with pytest.raises(Exception, match="limit exceeded"):
        client.answer("deep")
    assert client.run_turn(thread["id"], "call")["status"] == "completed"
    output = endpoint.requests.entries[-1]["input"][-1]
    assert (output["type"], "limit exceeded" in output["output"]) == ("function_call_output", True)
    client.call("thread/unsubscribe", threadId=thread["id"])
    client.wait_for("thread/closed", thread["id"])
    with open(thread["path"], "ab") as file:
        item = b'{"type":"function_call","name":"weather","arguments":"{}","call_id":"x","more":%s}' % deep
        file.write(b'{"timestamp":"2025-01-05T12:00:00.000Z","type":"response_item","payload":%s}\n' % item)
    client.call("thread/resume", threadId=thread["id"])
    assert client.run_turn(thread["id"], "hello")["status"] == "completed"
    assert len(client.call("thread/read", threadId=thread["id"], includeTurns=True)["thread"]["turns"]) == 2


def calling(arguments: str = "{}") -> Callable[[], Iterable[list[dict[str, Any]]]]:
    """A script that calls the tool once with these arguments, and then answers with a text."""
    (events,) = calls(("weather", {}))
    events[1]["item"]["arguments"] = arguments
    answers = iter([[events], [[created(), message_done("done"), completed()]]])
    return lambda: next(answers)


def test_a_request_that_cannot_be_read_is_refused(client: Client) -> None:
    client.wire.write([rb'{"id":"bad","method":"thread/loaded/list","params":{"cursor":"\ud800"}}'])
    with pytest.raises(Exception, match="surrogate"):
        client.answer("bad")
    assert client.call("thread/loaded/list")["data"] == []


def test_an_answer_that_cannot_be_read_fails_the_call_that_waits_for_it(daemon: Daemon, endpoint: Endpoint) -> None:
    endpoint.scripts["ask"] = calling()
    client = daemon.client(experimentalApi=True)
    thread = client.start_thread(dynamicTools=[TOOL])["id"]
    turn = client.start_turn(thread, "ask")
    question = client.messages.find(lambda message: message.get("method") == "item/tool/call")
    client.wire.write([rb'{"id":%d,"result":{"success":true,"contentItems":"\udc00"}}' % question["id"]])
    assert client.wait_for("turn/completed", thread, turn)["turn"]["status"] == "completed"
    assert "cannot be read" in json.dumps(endpoint.requests.entries[-1]["input"][-1])
