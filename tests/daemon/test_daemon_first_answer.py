"""`initialize` is answered before the program is imported, and what follows is served as if it were not."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import pytest
from benchmarks.driving import DEADLINE

COMMAND = [sys.executable, "-m", "spindle", "app-server"]
INITIALIZE = {"id": 1, "method": "initialize", "params": {"clientInfo": {"name": "n", "version": "1"}}}


def lines(*messages: object) -> bytes:
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


REQUESTS = lines(
    INITIALIZE,
    {"method": "initialized"},
    {**INITIALIZE, "id": 2},
    {"id": 3, "method": "thread/loaded/list", "params": {}},
    {"id": 4, "method": "collaborationMode/list", "params": {}},
)


def check(answers: bytes, home: Path) -> None:
    """Check that each of `REQUESTS` was answered once, the first one first."""
    first, *others = [json.loads(line) for line in answers.splitlines()]
    assert (first["id"], first["result"]["codexHome"]) == (1, os.path.realpath(home))
    second, third, fourth = sorted(others, key=lambda answer: answer["id"])
    assert (second["id"], second["error"]["message"]) == (2, "Already initialized")
    assert (third["id"], third["result"]["data"]) == (3, [])
    assert (fourth["id"], "experimentalApi" in fourth["error"]["message"]) == (4, True)


def run(stdin: bytes, folder: Path, *options: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    """Run a server whose standard input is a file: everything is there when it starts."""
    (folder / "input").write_bytes(stdin)
    environ = {**os.environ, "SPINDLE_LOG": "error", **env}
    with (folder / "input").open("rb") as file:
        return subprocess.run(
            [*COMMAND, *options],
            stdin=file,
            capture_output=True,
            env=environ,
            cwd=folder,
            timeout=DEADLINE,
            check=False,
        )


@pytest.mark.parametrize("options", [(), ("-c", "model=other", "--enable", "x", "--listen", "stdio://")])
def test_the_answer_does_not_wait_for_imports(options: Sequence[str], home: Path, tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    for name in ("attrs", "orjson", "trio"):
        (tmp_path / "first" / f"{name}.py").write_text(f"raise SystemExit('{name} is imported')")
    done = run(REQUESTS, tmp_path, *options, CODEX_HOME=str(home), PYTHONPATH=str(tmp_path / "first"))
    assert done.stderr.decode() == "trio is imported\n"
    (answer,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert answer["result"]["codexHome"] == os.path.realpath(home)


def test_requests_in_a_file_are_answered_once_each(home: Path, tmp_path: Path) -> None:
    done = run(REQUESTS, tmp_path, CODEX_HOME=str(home))
    assert (done.returncode, done.stderr) == (0, b"")
    check(done.stdout, home)


@pytest.mark.parametrize(
    ("sockets", "sizes"),
    [
        (True, [len(REQUESTS)]),
        (False, [len(REQUESTS)]),
        (False, [1, 20, 40, 400]),
        (False, [len(lines(INITIALIZE)) - 1, 1, 400]),
    ],
)
def test_requests_in_any_pieces_are_answered_once_each(sizes: Sequence[int], sockets: bool, home: Path) -> None:
    ours, theirs = socket.socketpair()
    end: Any = theirs if sockets else subprocess.PIPE
    with ours, subprocess.Popen(COMMAND, stdin=end, stdout=end, env={**os.environ, "CODEX_HOME": str(home)}) as process:
        theirs.close()
        writer: IO[bytes] | socket.SocketIO
        reader: IO[bytes]
        if sockets:
            writer, reader = ours.makefile("wb", 0), ours.makefile("rb")
        else:
            assert process.stdin is not None
            assert process.stdout is not None
            writer, reader = process.stdin, process.stdout
        at = 0
        for size in sizes:
            writer.write(REQUESTS[at : at + size])
            writer.flush()
            at += size
        answers = b"".join(reader.readline() for _ in range(4))
        ours.close()
        writer.close()
        reader.close()
        assert process.wait(DEADLINE) == 0
    check(answers, home)


@pytest.mark.parametrize(
    ("options", "env", "code", "error"),
    [
        ((), {"CODEX_HOME": "/nowhere/at/all"}, 1, "does not exist"),
        ((), {"CODEX_HOME": "input"}, 1, "not a directory"),
        (("-c", "no value"), {}, 2, "invalid override"),
    ],
)
def test_what_cannot_be_served_is_reported_and_nothing_is_answered(
    options: Sequence[str], env: dict[str, str], code: int, error: str, home: Path, tmp_path: Path
) -> None:
    done = run(REQUESTS, tmp_path, *options, **{"CODEX_HOME": str(home), **env})
    assert (done.returncode, done.stdout) == (code, b"")
    assert error in done.stderr.decode()
