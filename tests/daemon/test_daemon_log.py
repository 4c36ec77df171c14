"""The log of a daemon: what healthy work looks like, whom each line belongs to, and what is never in it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .model import Endpoint, calls
from .process import Daemon

SERVER = Path(__file__).parents[1] / "actors" / "tools" / "mcp" / "tiny_server.py"


def work(daemon: Daemon, endpoint: Endpoint) -> tuple[str, str, list[Any]]:
    """Run a turn with a question and a command; returns the thread, the turn, and what was logged as JSON."""
    answers = [calls(("exec_command", {"cmd": "touch secret-argument", "login": False})), calls()]
    endpoint.scripts["secret-prompt"] = lambda: answers.pop(0)
    client = daemon.client(experimentalApi=True)
    thread = client.start_thread(sandbox="danger-full-access", approvalPolicy="untrusted")["id"]
    turn = client.start_turn(thread, "secret-prompt")
    asked = client.messages.find(lambda message: message.get("method") == "item/commandExecution/requestApproval")
    client.wire.write([json.dumps({"id": asked["id"], "result": {"decision": "accept"}}).encode()])
    ended = client.wait_for("turn/completed", thread, turn)
    assert ended["turn"]["status"] == "completed"
    client.wire.close()
    assert daemon.wait() == 0
    daemon.log.wait_end()
    return thread, turn, [json.loads(line) for line in daemon.log.entries]


def test_a_healthy_turn(
    home: Path, launch: Callable[..., Daemon], endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (home / "config.toml").open("a") as config:
        config.write(f'\n[mcp_servers.tiny]\ncommand = "{sys.executable}"\nargs = ["-S", "-E", "{SERVER}"]\n')
    thread, turn, log = work(launch(log="debug", options=["--log-format", "json"]), endpoint)
    assert {record["level"] for record in log} == {"info", "debug"}

    def of(logger: str) -> list[Any]:
        return [record for record in log if record["logger"] == f"spindle.{logger}"]

    for part, texts in {
        "thread": ["is loaded", "is closed"],
        "turn": ["starts: regular, mock-model", "ended: completed"],
        "model": ["request 1 to mock-model", "request 1 succeeded"] * 2,
        "tool": ["call of exec_command", "call of exec_command succeeded"],
        "question": ["item/commandExecution/requestApproval", "was answered"],
    }.items():
        assert [text for text, record in zip(texts, of(part), strict=True) if text not in record["message"]] == []
        assert {record["thread_id"] for record in of(part)} == {thread}
        assert {record.get("turn_id") for record in of(part)} == {None if part == "thread" else turn}
    ended = of("turn")[1]
    assert (ended["status"], ended["tokens"], ended["items"]) == ("completed", 30, 1)
    assert ended["seconds"] >= of("question")[1]["seconds"] > 0
    assert (of("model")[1]["attempt"], of("model")[1]["tokens"]) == (1, 15)
    assert (of("tool")[1]["tool"], of("tool")[1]["outcome"]) == ("exec_command", "succeeded")
    assert {record["turn_id"] for record in of("journal") if "turn_id" in record} == {turn}
    started = {record["message"].split()[1]: record for record in of("command") if "is started" in record["message"]}
    assert len(started) == 2
    assert {record["message"].split()[1] for record in of("command") if "has ended" in record["message"]} == {*started}
    assert {record["thread_id"] for record in of("command")} == {thread}
    assert "MCP server tiny is ready with 2 tools" in [record["message"] for record in of("mcp")]
    assert [record for record in log if "secret-" in json.dumps(record)] == []


def test_a_quiet_daemon_logs_nothing(launch: Callable[..., Daemon], endpoint: Endpoint) -> None:
    assert work(launch(log="warning"), endpoint)[2] == []


def test_one_part_alone(launch: Callable[..., Daemon], endpoint: Endpoint) -> None:
    _, _, log = work(launch(log="error,tool=debug", options=["--log-format", "json"]), endpoint)
    assert {record["logger"] for record in log} == {"spindle.tool"}
