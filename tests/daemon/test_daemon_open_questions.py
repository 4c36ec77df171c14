"""An open question outlives the client, and the daemon: the client that resumes the thread is asked it again."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

from spindle.actors.thread.turns.suspended import LOST

from .model import calls, last_user_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.driving import Json

    from .client import Client
    from .model import Endpoint
    from .process import Daemon

ASKED = "item/commandExecution/requestApproval"
OPTIONS = {"approvalPolicy": "untrusted", "sandbox": "danger-full-access"}


@pytest.fixture
def trail(home: Path) -> Path:
    """The file to which the commands of the tests append."""
    return home / "trail"


def script(endpoint: Endpoint, *called: tuple[str, Json], text: str = "go") -> None:
    """The model answers `text` with these calls, and their outputs with a message."""
    answers = iter([calls(*called)])
    endpoint.scripts[text] = lambda: next(answers, None) or endpoint._script("done")


def command(line: str) -> tuple[str, Json]:
    return "exec_command", {"cmd": line, "login": False}


def asked(client: Client, count: int = 1, method: str = ASKED) -> list[Json]:
    """The first `count` questions to the client."""
    found: list[Json] = []
    at = 0
    for _ in range(count):
        found.append(client.messages.find(lambda message: message.get("method") == method, at))
        at = client.messages.entries.index(found[-1], at) + 1
    return found


def answer(client: Client, question: Json, decision: str = "accept") -> None:
    client.write([json.dumps({"id": question["id"], "result": {"decision": decision}}).encode()])


def begin(client: Client, home: Path) -> tuple[str, str]:
    """Start a thread and its turn; returns the ids of both."""
    thread = client.start_thread(cwd=str(home), **OPTIONS)["id"]
    return thread, client.start_turn(thread, "go")


def outputs(endpoint: Endpoint) -> list[str]:
    """The outputs in the last request to the model, in the order of the calls."""
    items = endpoint.requests.entries[-1]["input"]
    found = {item["call_id"]: item["output"] for item in items if item["type"] == "function_call_output"}
    return [found.pop(item["call_id"]) for item in items if item["type"] == "function_call"]


def end(daemon: Daemon, how: str) -> None:
    if how == "kill":
        daemon.kill()
    elif how == "close":
        daemon.clients[0].join()
        assert daemon.wait() == 0
    else:
        daemon.signal(signal.SIGTERM)
        daemon.logged("waiting for running turns")
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0


@pytest.mark.parametrize("how", ["kill", "terminate", "close"])
def test_two_clients_of_a_later_daemon_answer_at_once_and_the_command_runs_once(
    launch: Callable[..., Daemon], endpoint: Endpoint, home: Path, trail: Path, how: str, tmp_path: Path
) -> None:
    script(endpoint, command(f"echo ran >> {trail}"))
    daemon = launch() if how == "close" else launch(f"unix://{tmp_path}/a")
    thread, turn = begin(daemon.client(), home)
    [before] = asked(daemon.clients[0])
    end(daemon, how)
    assert not trail.exists()

    daemon = launch(f"unix://{tmp_path}/b")
    clients = daemon.client(), daemon.client()
    for client in clients:
        shown = client.call("thread/resume", threadId=thread)["thread"]
        assert (shown["turns"][-1]["id"], shown["turns"][-1]["status"]) == (turn, "inProgress")
        assert shown["status"]["type"] == "active"
    again = [asked(client)[0] for client in clients]
    assert again[0] == again[1]
    assert again[0]["params"]["command"] == before["params"]["command"]
    assert again[0]["params"]["turnId"] == turn
    for client in clients:
        answer(client, again[0])
    for client in clients:
        assert client.wait_for("turn/completed", thread, turn)["turn"]["status"] == "completed"
    assert trail.read_text() == "ran\n"
    assert "exited with code 0" in outputs(endpoint)[0]
    [shown] = clients[0].call("thread/read", threadId=thread, includeTurns=True)["thread"]["turns"]
    assert [item["type"] for item in shown["items"]] == ["userMessage", "commandExecution", "agentMessage"]


PATCH = "apply_patch <<'EOF'\n*** Begin Patch\n*** Add File: made\n+text\n*** End Patch\nEOF"


@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_all_open_questions_are_asked_again_and_what_had_begun_is_not_run_again(
    launch: Callable[..., Daemon], endpoint: Endpoint, home: Path, trail: Path, how: str, tmp_path: Path
) -> None:
    """Two questions are open, a command runs that is asked about no more, and a patch waits for the three."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    script(endpoint, *map(command, (f"echo one >> {trail}", f"echo two >> {trail}", f"cat {pipe}", PATCH)))
    daemon = launch(f"unix://{tmp_path}/a")
    thread, turn = begin(daemon.client(), home)
    asked(daemon.clients[0], 2)
    writing = os.open(pipe, os.O_WRONLY)  # `cat` has opened it
    end(daemon, how)
    os.close(writing)

    daemon = launch(f"unix://{tmp_path}/b")
    client = daemon.client()
    client.call("thread/resume", threadId=thread)
    questions = asked(client, 2)
    assert {question["params"]["itemId"] for question in questions} == {"call-0", "call-1"}
    for question in questions:
        assert client.wait_for("item/started", thread, turn)["item"]["status"] == "inProgress"
        answer(client, question)
    [patch] = asked(client, method="item/fileChange/requestApproval")
    answer(client, patch)
    assert client.wait_for("turn/completed", thread, turn)["turn"]["status"] == "completed"
    assert sorted(trail.read_text().split()) == ["one", "two"]
    assert (home / "made").read_text() == "text\n"
    one, two, begun, patched = outputs(endpoint)
    assert begun == LOST
    assert "exited with code 0" in one
    assert "exited with code 0" in two
    assert "Success" in patched


def test_an_answer_is_used_once_also_if_the_daemon_is_killed_while_the_command_runs(
    launch: Callable[..., Daemon], endpoint: Endpoint, home: Path, trail: Path, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    script(endpoint, command(f"echo ran >> {trail}; echo up > {pipe}; sleep 1000"))
    daemon = launch(f"unix://{tmp_path}/a")
    thread, turn = begin(daemon.client(), home)
    answer(daemon.clients[0], asked(daemon.clients[0])[0])
    assert pipe.read_text() == "up\n"
    daemon.kill()

    client = launch(f"unix://{tmp_path}/b").client()
    shown = client.call("thread/resume", threadId=thread)["thread"]
    assert [(turn["id"], turn["status"]) for turn in shown["turns"]] == [(turn, "interrupted")]
    assert client.run_turn(thread, "go on")["status"] == "completed"
    assert not [message for message in client.messages.entries if message.get("method") == ASKED]
    assert trail.read_text() == "ran\n"


@pytest.mark.parametrize("how", ["decline", "cancel", "interrupt"])
def test_a_question_that_is_asked_again_can_be_refused(
    launch: Callable[..., Daemon], endpoint: Endpoint, home: Path, trail: Path, how: str, tmp_path: Path
) -> None:
    script(endpoint, command(f"echo ran >> {trail}"))
    daemon = launch(f"unix://{tmp_path}/a")
    thread, turn = begin(daemon.client(), home)
    asked(daemon.clients[0])
    daemon.kill()

    daemon = launch(f"unix://{tmp_path}/b")
    client = daemon.client()
    client.call("thread/resume", threadId=thread)
    [question] = asked(client)
    if how == "interrupt":
        client.call("turn/interrupt", threadId=thread, turnId=turn)
    else:
        answer(client, question, how)
    ended = client.wait_for("turn/completed", thread, turn)["turn"]["status"]
    assert ended == ("completed" if how == "decline" else "interrupted")
    assert client.run_turn(thread, "on")["status"] == "completed"
    assert len(outputs(endpoint)) == 1
    assert not trail.exists()
    daemon.kill()
    client = launch(f"unix://{tmp_path}/c").client()
    shown = client.call("thread/resume", threadId=thread)["thread"]
    assert shown["status"]["type"] == "idle"
    assert [turn["status"] for turn in shown["turns"]] == [ended, "completed"]


def test_input_that_joined_a_waiting_turn_is_sent_when_it_goes_on(
    launch: Callable[..., Daemon], endpoint: Endpoint, home: Path, trail: Path, tmp_path: Path
) -> None:
    script(endpoint, command(f"echo ran >> {trail}"))
    daemon = launch(f"unix://{tmp_path}/a")
    thread, turn = begin(daemon.client(), home)
    asked(daemon.clients[0])
    steer = [{"type": "text", "text": "and be quick"}]
    daemon.clients[0].call("turn/steer", threadId=thread, expectedTurnId=turn, input=steer)
    daemon.kill()

    client = launch(f"unix://{tmp_path}/b").client()
    client.call("thread/resume", threadId=thread)
    answer(client, asked(client)[0])
    assert client.wait_for("turn/completed", thread, turn)["turn"]["status"] == "completed"
    assert last_user_text(endpoint.requests.entries[-1]) == "and be quick"
    assert trail.read_text() == "ran\n"


PLAN = {"mode": "plan", "settings": {"model": "mock-model", "reasoning_effort": None, "developer_instructions": None}}
OPTION = {"label": "yes", "description": "it is so"}
LOOK = {"name": "look", "description": "", "inputSchema": {"type": "object"}}
KINDS: list[tuple[str, Json, Json, str, Json, str]] = [
    # the tool, its arguments, parameters of the turn; the question, an answer to it, and what the model gets of that
    (
        "request_user_input",
        {"questions": [{"id": "q", "header": "h", "question": "is it?", "options": [OPTION, OPTION]}]},
        {"collaborationMode": PLAN},
        "item/tool/requestUserInput",
        {"answers": {"q": {"answers": ["yes"]}}},
        '{"answers":{"q":{"answers":["yes"]}}}',
    ),
    (
        "request_permissions",
        {"permissions": {"network": {"enabled": True}}},
        {"approvalPolicy": "on-request"},
        "item/permissions/requestApproval",
        {"permissions": {"network": {"enabled": True}}, "scope": "turn"},
        '"network":{"enabled":true}',
    ),
    ("look", {}, {}, "item/tool/call", {"contentItems": [{"type": "inputText", "text": "seen"}], "success": True}, "seen"),
]


def test_every_kind_of_question_is_asked_again(
    launch: Callable[..., Daemon], endpoint: Endpoint, home: Path, tmp_path: Path
) -> None:
    with (home / "config.toml").open("a") as config:
        config.write("[features]\nrequest_permissions_tool = true\n")
    daemon = launch(f"unix://{tmp_path}/a")
    client = daemon.client(experimentalApi=True)
    turns: list[tuple[str, str, Json]] = []
    for tool, arguments, params, method, _, _ in KINDS:
        script(endpoint, (tool, arguments), text=tool)
        thread = client.start_thread(cwd=str(home), dynamicTools=[LOOK])["id"]
        given = [{"type": "text", "text": tool}]
        turn = client.call("turn/start", threadId=thread, input=given, **params)["turn"]["id"]
        turns.append((thread, turn, asked(client, method=method)[0]["params"]))
    daemon.kill()

    client = launch(f"unix://{tmp_path}/b").client(experimentalApi=True)
    for (thread, turn, before), (*_, method, result, output) in zip(turns, KINDS, strict=True):
        client.call("thread/resume", threadId=thread)
        [question] = asked(client, method=method)
        assert question["params"] | {"startedAtMs": 0} == before | {"startedAtMs": 0}
        client.write([json.dumps({"id": question["id"], "result": result}).encode()])
        assert client.wait_for("turn/completed", thread, turn)["turn"]["status"] == "completed"
        assert output in outputs(endpoint)[0]
