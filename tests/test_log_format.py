"""The log of the command: its levels, and its two formats. Each message is one line, even if its text has line breaks."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from spindle.actors.tasks.boundary import start_apart
from spindle.actors.tasks.log_ids import log_as
from spindle.logs import JsonFormat, LogFormat, LogIds, read_levels


def record(message: str, *args: object, exc_info: bool = False) -> logging.LogRecord:
    caught = sys.exc_info() if exc_info else None
    return logging.LogRecord("spindle", logging.WARNING, "here", 1, message, args, caught)


def test_a_message_is_one_line() -> None:
    line = LogFormat("%(levelname)s %(message)s").format(record("file %s", "a\nERROR forged\x1b[2J"))
    assert line == "WARNING file a\\nERROR forged\\x1b[2J"


def test_a_line_begins_with_the_time() -> None:
    made = record("hello")
    made.created = 1_764_540_000.25
    assert LogFormat("%(asctime)s %(levelname)s %(message)s").format(made) == "2025-11-30T22:00:00.250Z WARNING hello"


def test_a_line_names_the_turn_and_the_thread_once() -> None:
    made = record("turn t2 failed")
    vars(made).update(thread_id="t1", turn_id="t2")
    assert LogFormat("%(message)s").format(made) == "turn t2 failed (thread t1)"
    made = record("failed")
    vars(made).update(thread_id="t1", turn_id="t2")
    assert LogFormat("%(message)s").format(made) == "failed (turn t2 of thread t1)"


def test_a_traceback_keeps_its_lines_and_drives_no_terminal() -> None:
    try:
        raise ValueError("bad\x1b[2J")
    except ValueError:
        lines = LogFormat("%(message)s").format(record("failed", exc_info=True)).splitlines()
    assert (lines[0], lines[1], lines[-1]) == ("failed", "Traceback (most recent call last):", "ValueError: bad\\x1b[2J")


def test_a_message_is_one_json_object() -> None:
    made = record("file %s", "a\n\x9b\udce9")
    made.created = 1_764_540_000.25
    vars(made).update(thread_id="t1", attempt=2, outcome="a\udce9", odd=float("nan"))
    line = JsonFormat().format(made)
    assert line.isascii()
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2025-11-30T22:00:00.250Z",
        "level": "warning",
        "logger": "spindle",
        "message": "file a\n\x9b\ufffd",
        "thread_id": "t1",
        "attempt": 2,
        "outcome": "a\ufffd",
        "odd": "nan",
    }


def test_an_exception_is_text_in_json() -> None:
    try:
        raise ValueError("bad")
    except ValueError:
        members = json.loads(JsonFormat().format(record("failed", exc_info=True)))
    assert members["exception"].splitlines()[-1] == "ValueError: bad"


def test_fields_of_other_packages_are_not_logged() -> None:
    """They may be headers or keys."""
    made = logging.LogRecord("other.spindle", logging.WARNING, "here", 1, "hello", (), None)
    vars(made)["headers"] = "secret"
    assert "secret" not in JsonFormat().format(made)


async def test_a_record_has_the_ids_of_its_task() -> None:
    seen: list[dict[str, object]] = []

    def log(**added: object) -> None:
        made = record("hello")
        vars(made).update(added)
        LogIds().filter(made)
        seen.append({name: value for name, value in vars(made).items() if name in ("thread_id", "turn_id")})

    async def outlives() -> None:
        log()

    async def work() -> None:
        log_as("thread", "turn")
        log()
        log(thread_id="other")
        await trio.to_thread.run_sync(log)
        start_apart(nursery, "work that outlives the thread", outlives)

    async with trio.open_nursery() as nursery:
        log()
        nursery.start_soon(work)
    ids = {"thread_id": "thread", "turn_id": "turn"}
    assert seen == [{}, ids, {"thread_id": "other"}, ids, {}]


@pytest.mark.parametrize(
    ("value", "levels"),
    [
        ("", {}),
        ("info", {"": logging.INFO}),
        (" WARN ", {"": logging.WARNING}),
        ("error,model=debug, spindle.tool=Info,", {"": logging.ERROR, "model": logging.DEBUG, "tool": logging.INFO}),
    ],
)
def test_levels(value: str, levels: dict[str, int]) -> None:
    assert read_levels(value) == (levels, [])


@pytest.mark.parametrize(
    ("value", "allowed"),
    [
        ("foo", "debug, info, warning, error"),
        ("model=loud", "debug, info, warning, error"),
        ("modle=info", "thread, turn, model, tool, question, mcp, command, journal"),
        ("=info", "thread, turn, model, tool, question, mcp, command, journal"),
    ],
)
def test_a_wrong_level_names_what_is_allowed_and_the_rest_holds(value: str, allowed: str) -> None:
    levels, (text,) = read_levels(f"{value},turn=debug")
    assert levels == {"turn": logging.DEBUG}
    assert text.startswith(f"SPINDLE_LOG: {value!r} ")
    assert text.endswith(allowed)


@pytest.mark.parametrize(("options", "variable"), [(["--log-format", "json"], ""), ([], "JSON")])
def test_a_server_starts_with_a_wrong_level_and_warns(tmp_path: Path, options: list[str], variable: str) -> None:
    env = {**os.environ, "CODEX_HOME": str(tmp_path), "SPINDLE_LOG": "foo", "LOG_FORMAT": variable}
    server = [sys.executable, "-m", "spindle", "app-server", *options]
    done = subprocess.run(server, input=b"", capture_output=True, check=True, env=env)
    (line,) = done.stderr.splitlines()
    members = json.loads(line)
    assert (members["level"], members["logger"], members["message"][:12]) == ("warning", "spindle", "SPINDLE_LOG:")


def test_a_program_that_configures_no_logging_gets_no_output() -> None:
    program = "import logging, spindle; spindle.open_runtime; logging.getLogger('spindle.model').error('hello')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")
