"""`spindle top` beside real daemons: what hangs is shown, and what a killed daemon has left is removed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from benchmarks.driving import DEADLINE

from .client import Client
from .model import Endpoint, calls
from .process import Daemon, interpreter

SERVER = Path(__file__).parents[1] / "actors" / "tools" / "mcp" / "tiny_server.py"
READY = "ready for `spindle top`"


def top(home: Path, *options: str) -> str:
    command = [*interpreter(), "spindle", "top", "--home", str(home), *options]
    return subprocess.run(command, capture_output=True, check=True, text=True, timeout=DEADLINE).stdout


def overview(home: Path) -> Any:
    return json.loads(top(home, "--once", "--json"))


def started(client: Client, thread: str, kind: str) -> None:
    """Wait until an item of this kind has started in a thread."""

    def wanted(message: Any) -> bool:
        params = message.get("params", {})
        return bool(
            message.get("method") == "item/started"
            and params.get("threadId") == thread
            and params["item"]["type"] == kind
            and params["item"].get("tool") != "spawnAgent"
        )

    client.messages.find(wanted)


def test_it_shows_who_waits_for_whom(
    home: Path, launch: Callable[..., Daemon], endpoint: Endpoint
) -> None:
    with (home / "config.toml").open("a") as config:
        config.write(f'\n[mcp_servers.tiny]\ncommand = "{sys.executable}"\nargs = ["-S", "-E", "{SERVER}"]\n')
    daemon = launch()
    client = daemon.client(experimentalApi=True)
    held = client.start_thread()["id"]
    client.call("thread/name/set", threadId=held, name="the held one")
    client.hold_turn(held)

    asking = client.start_thread(sandbox="read-only", approvalPolicy="untrusted")["id"]
    endpoint.scripts["ask"] = lambda: calls(("exec_command", {"cmd": "touch it", "login": False}))
    client.start_turn(asking, "ask")
    client.messages.find(lambda message: message.get("method") == "item/commandExecution/requestApproval")

    working = client.start_thread(sandbox="danger-full-access")["id"]
    endpoint.scripts["work"] = lambda: calls(("shell", {"command": ["sleep", "1000"], "timeout_ms": 1_000_000}))
    client.start_turn(working, "work")
    started(client, working, "commandExecution")

    parent = client.start_thread()["id"]
    agents: list[str] = []

    def spawn_and_wait() -> Any:
        if not agents:
            agents.append("")
            return calls(("spawn_agent", {"message": "hold this"}))
        output = endpoint.requests.find(lambda body: "agent_id" in json.dumps(body["input"]))["input"][-1]["output"]
        agents[0] = json.loads(output)["agent_id"]
        return calls(("wait_agent", {"targets": agents, "timeout_ms": 600_000}))

    endpoint.scripts["delegate"] = spawn_and_wait
    client.start_turn(parent, "delegate")
    started(client, parent, "collabAgentToolCall")
    daemon.logged(READY)

    shown = overview(home)
    (process,) = shown["processes"]
    runtime, threads = process["runtime"], {thread["id"]: thread for thread in process["threads"]}
    assert (process["pid"], runtime["kind"], runtime["clients"]) == (daemon.process.pid, "stdio", 1)
    assert process["problem"] is None
    assert process["usage"]["rss"] > 1_000_000
    assert runtime["children"] == []

    def waits(id: str) -> list[tuple[str, str]]:
        return [(wait["kind"], wait["what"]) for wait in threads[id]["turn"]["waitsFor"]]

    assert [*threads] == [*[id for id in threads if threads[id]["turn"]]]  # all run
    assert set(threads) == {held, asking, working, parent, agents[0]}
    assert waits(held) == [("model", "mock-model")]
    assert threads[held]["name"] == "the held one"
    assert waits(asking) == [("user", "item/commandExecution/requestApproval"), ("tool", "exec_command")]
    assert threads[asking]["tokens"]["total"] == 15
    assert waits(working) == [("tool", "shell")]
    assert [child["command"] for child in threads[working]["children"]] == ["sleep 1000"]
    assert waits(parent) == [("agent", "wait_agent")]
    assert threads[parent]["turn"]["waitsFor"][0]["threadIds"] == agents
    assert waits(agents[0]) == [("model", "mock-model")]
    assert threads[agents[0]]["parentThreadId"] == parent
    assert {thread["subscribers"] for thread in threads.values()} == {1}
    (server,) = threads[held]["servers"]
    assert (server["name"], server["state"]) == ("tiny", "ready")
    assert server["pid"] > 0
    assert sorted(process["locks"]) == sorted(threads)

    text = top(home)
    assert f"pid {daemon.process.pid}  stdio" in text
    assert "waits for the user: approval of a command" in text


def test_a_daemon_that_hangs_is_shown_and_a_killed_one_is_not(
    home: Path, launch: Callable[..., Daemon], tmp_path: Path
) -> None:
    hangs, killed = launch("ws://127.0.0.1:0"), launch(f"unix://{tmp_path}/s")
    for daemon in (hangs, killed):
        daemon.client()
        daemon.logged(READY)
    assert [process["runtime"]["kind"] for process in sorted(overview(home)["processes"], key=lambda p: p["pid"])] == [
        kind for _, kind in sorted([(hangs.process.pid, "websocket"), (killed.process.pid, "unix")])
    ]
    killed.kill()
    hangs.signal(signal.SIGSTOP)
    (process,) = overview(home)["processes"]
    assert (process["pid"], process["runtime"]) == (hangs.process.pid, None)
    assert "has not answered" in process["problem"]
    assert [path.name.partition(".")[0] for path in (home / "spindle/running").iterdir()] == [str(hangs.process.pid)]
    hangs.signal(signal.SIGCONT)
    hangs.signal(signal.SIGTERM)
    assert hangs.wait() == 0
    assert [*(home / "spindle/running").iterdir()] == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only the folder's mode says who may connect")
def test_a_command_of_the_runtime_is_not_answered(home: Path, daemon: Daemon, endpoint: Endpoint) -> None:
    client = daemon.client(experimentalApi=True)
    daemon.logged(READY)
    program = (
        "import os, socket; folder = os.environ['CODEX_HOME'] + '/spindle/running'; os.chdir(folder);"
        "s = socket.socket(socket.AF_UNIX); s.connect(os.listdir('.')[0]); print('got', s.makefile().read())"
    )
    endpoint.scripts["look"] = lambda: outputs.pop(0)
    outputs: list[Any] = [
        calls(("shell", {"command": [sys.executable, "-c", program]})),
        calls(),
    ]
    thread = client.start_thread(sandbox="danger-full-access")["id"]
    client.run_turn(thread, "look")
    output = json.dumps(endpoint.requests.entries[-1]["input"][-1]["output"])
    assert "got" in output
    assert thread not in output
