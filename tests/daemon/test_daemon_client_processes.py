"""command/exec and process/*: processes that a client of a real daemon runs."""

from __future__ import annotations

import os
import select
import signal
import sys
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .client import Client
    from .process import Daemon

FREE = {"sandboxPolicy": {"type": "dangerFullAccess"}}


def b64(text: str) -> str:
    return b64encode(text.encode()).decode()


def notes(client: Client, method: str, since: int) -> list[dict[str, Any]]:
    return [message["params"] for message in client.messages.entries[since:] if message.get("method") == method]


def noted(client: Client, method: str, since: int = 0) -> dict[str, Any]:
    params: dict[str, Any] = client.messages.find(lambda message: message.get("method") == method, since)["params"]
    return params


def output(client: Client, method: str, since: int, stream: str = "stdout") -> bytes:
    found = notes(client, method, since)
    return b"".join(b64decode(params["deltaBase64"]) for params in found if params["stream"] == stream)


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        ({"command": []}, -32600, "command must not be empty"),
        ({"command": ["no-such-program"]}, -32603, "failed to spawn command: No such file or directory (os error 2)"),
        ({"command": ["true"], "cwd": "/no/such"}, -32603, "failed to spawn command: No such file or directory (os error 2)"),
        ({"command": ["true", "a\0b"]}, -32603, "failed to spawn command: nul byte found in provided data"),
        ({"command": ["true"], "env": {"A": "\0"}}, -32603, "failed to spawn command: nul byte found in provided data"),
        ({"command": ["true"], "env": {"=B": "x"}}, -32600, "invalid environment variable '=B'"),
        ({"command": ["true"], "tty": True}, -32600, "command/exec tty or streaming requires a client-supplied processId"),
        ({"command": ["true"], "timeoutMs": -1}, -32602, "command/exec timeoutMs must be non-negative, got -1"),
        (
            {"command": ["true"], "tty": True, "processId": "p", "size": {"rows": 0, "cols": 1}},
            -32602,
            "command/exec size rows and cols must be greater than 0",
        ),
        ({"command": ["true"], "permissionProfile": ":no"}, -32600, "unknown permission profile `:no`"),
        (
            {"command": ["true"], "permissionProfile": 7},
            -32600,
            "Invalid request: invalid type: integer `7`, expected a string (at permissionProfile)",
        ),
    ],
)
def test_what_cannot_run_is_named(client: Client, params: dict[str, Any], code: int, message: str) -> None:
    refused = client.refusal("command/exec", **params)
    assert (refused.code, refused.message) == (code, message)


def test_buffered_output_ends_and_limits(client: Client) -> None:
    def run(script: str, **params: Any) -> Any:
        return client.call("command/exec", command=["sh", "-c", script], **FREE, **params)

    assert run("printf out; printf err >&2; exit 3") == {"exitCode": 3, "stdout": "out", "stderr": "err"}
    assert run("kill -9 $$")["exitCode"] == -1
    assert run("echo $A", env={"A=B": "c", "HOME=": None})["stdout"] == "B=c\n"
    assert run("printf '\\377abc'")["stdout"] == "\u00ffabc"
    assert run("printf aaaa; printf bbbb >&2", outputBytesCap=3) == {"exitCode": 0, "stdout": "aaa", "stderr": "bbb"}
    assert run("printf 'a\\303\\251'", outputBytesCap=2)["stdout"] == "a"
    assert run("printf hi; sleep 60", timeoutMs=200) == {"exitCode": 124, "stdout": "hi", "stderr": ""}
    assert run("echo $A-${B-unset}", env={"A": "x", "B": None}) == {"exitCode": 0, "stdout": "x-unset\n", "stderr": ""}
    assert run("sleep 600 & echo done")["stdout"] == "done\n"


def test_a_profile_confines_a_command(client: Client, tmp_path: Path) -> None:
    ran = client.call("command/exec", command=["touch", str(tmp_path / "made")], permissionProfile=":read-only")
    assert ran["exitCode"] != 0
    assert not (tmp_path / "made").exists()


def test_a_duplicate_name_is_refused_and_is_free_after_the_end(client: Client) -> None:
    [first] = client.ask(("command/exec", {"command": ["cat"], "processId": "p", "streamStdin": True, **FREE}))
    refused = client.refusal("command/exec", command=["true"], processId="p")
    assert refused.message == 'duplicate active command/exec process id: "p"'
    client.call("command/exec/write", processId="p", deltaBase64=b64("in"), closeStdin=True)
    assert client.answer(first)["stdout"] == "in"
    assert client.call("command/exec", command=["true"], processId="p", **FREE)["exitCode"] == 0


def test_a_client_runs_a_bounded_number_of_processes(client: Client) -> None:
    sleeping = {"command": ["sleep", "600"], "disableTimeout": True, **FREE}
    ids = client.ask(*[("command/exec", {**sleeping, "processId": str(number)}) for number in range(64)])
    refused = client.refusal("command/exec", command=["true"])
    assert refused.message == "a client may run at most 64 processes at a time"
    for number in range(64):
        client.call("command/exec/terminate", processId=str(number))
    assert {client.answer(id)["exitCode"] for id in ids} == {-1}


def test_a_process_is_written_to_and_says_how_it_ended(experimental: Client, tmp_path: Path) -> None:
    since = experimental.now
    assert experimental.call("process/spawn", command=["cat"], processHandle="p", cwd=str(tmp_path), streamStdin=True) == {}
    refused = experimental.refusal("process/spawn", command=["cat"], processHandle="p", cwd=str(tmp_path))
    assert refused.message == 'duplicate active process handle: "p"'
    experimental.call("process/writeStdin", processHandle="p", deltaBase64=b64("x"), closeStdin=True)
    assert noted(experimental, "process/exited", since) == {
        "processHandle": "p", "exitCode": 0, "outputDrainTimedOut": False,
        "stdout": "x", "stdoutCapReached": False, "stderr": "", "stderrCapReached": False,
    }
    assert experimental.refusal("process/kill", processHandle="p").message == 'no active process for process handle "p"'


@pytest.mark.parametrize(
    ("script", "params", "expected"),
    [
        ("kill -9 $$", {}, {"exitCode": 137}),
        ("exec sleep 60", {"timeoutMs": 100}, {"exitCode": 124}),
        ("printf aaaa", {"outputBytesCap": 3}, {"stdout": "aaa", "stdoutCapReached": True}),
        ("printf aaaa", {"outputBytesCap": None, "timeoutMs": None}, {"stdout": "aaaa", "stdoutCapReached": False}),
        ("sleep 600 & echo done", {}, {"stdout": "done\n", "outputDrainTimedOut": True}),
    ],
)
def test_the_end_of_a_process(
    experimental: Client, tmp_path: Path, script: str, params: dict[str, Any], expected: dict[str, Any]
) -> None:
    since = experimental.now
    experimental.call("process/spawn", command=["sh", "-c", script], processHandle="p", cwd=str(tmp_path), **params)
    ended = noted(experimental, "process/exited", since)
    assert {name: ended[name] for name in expected} == expected


def test_streamed_output_comes_before_the_end(experimental: Client, tmp_path: Path) -> None:
    since = experimental.now
    command = ["sh", "-c", "head -c 300000 /dev/zero; echo err >&2"]
    experimental.call("process/spawn", command=command, processHandle="p", cwd=str(tmp_path), streamStdoutStderr=True)
    ended = noted(experimental, "process/exited", since)
    assert (ended["stdout"], ended["stderr"]) == ("", "")
    assert output(experimental, "process/outputDelta", since) == bytes(300_000)
    assert output(experimental, "process/outputDelta", since, "stderr") == b"err\n"
    last = max(at for at, message in enumerate(experimental.messages.entries) if message.get("method") == "process/outputDelta")
    assert experimental.messages.entries[last + 1 :][0]["method"] == "process/exited"


def test_a_terminal_has_a_size_and_takes_input(experimental: Client, tmp_path: Path) -> None:
    since = experimental.now
    script = "stty -echo; stty size; read x; stty size"
    size = {"rows": 7, "cols": 9}
    experimental.call("process/spawn", command=["sh", "-c", script], processHandle="p", cwd=str(tmp_path), tty=True, size=size)
    noted(experimental, "process/outputDelta", since)
    experimental.call("process/resizePty", processHandle="p", size={"rows": 3, "cols": 4})
    experimental.call("process/writeStdin", processHandle="p", deltaBase64=b64("go\n"))
    assert noted(experimental, "process/exited", since)["exitCode"] == 0
    assert output(experimental, "process/outputDelta", since) == b"7 9\r\n3 4\r\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says when the process of another parent has ended")
@pytest.mark.parametrize("end", ["hang up", "kill"])
def test_processes_end_with_their_client_and_with_the_daemon(
    launch: Callable[..., Daemon], tmp_path: Path, end: str
) -> None:
    daemon = launch()
    client = daemon.client(experimentalApi=True)
    since = client.now
    script = "sleep 600 & echo $!; wait"
    asked = {"command": ["sh", "-c", script], "cwd": str(tmp_path), "streamStdoutStderr": True, "timeoutMs": None}
    client.call("process/spawn", processHandle="p", **asked)
    [pid] = map(int, b64decode(noted(client, "process/outputDelta", since)["deltaBase64"]).split())
    process = os.pidfd_open(pid)
    if end == "kill":
        daemon.process.send_signal(signal.SIGKILL)
    else:
        client.wire.close()
    assert select.select([process], [], [], 30)[0], f"process {pid} lives on"
    os.close(process)
