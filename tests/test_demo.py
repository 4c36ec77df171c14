"""The demo, run as a user runs it: what it shows, how it ends, and that it notices failures."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from spindle.demo.page import Failed, Page

SRC = Path(__file__).resolve().parents[1] / "src"
STEPS = [
    "spindle app-server",
    "initialize",
    "thread/start",
    "turn/start",
    "thread/resume",
    "turn/start",
    "thread/archive",
    "thread/unarchive",
    "thread/resume",
    "thread/unsubscribe",
    "thread/unsubscribe",
    "100 threads come",
    "100 threads go",
    "100 threads come",
    "100 threads go",
    "the daemon holds",
    "SIGTERM",
]
HELD = {"child processes", "open files", "memory, MiB"}


def run_demo(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the demo with `folder` for temporary files, and a home that must stay empty."""
    return subprocess.run(
        [sys.executable, *(command or ("-m", "spindle", "demo"))],
        cwd=folder.parent,
        env={
            **os.environ,
            "PYTHONPATH": str(SRC),
            "TMPDIR": str(folder),
            "CODEX_HOME": str(folder.parent / "home"),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, because a Unix socket is below it."""
    with tempfile.TemporaryDirectory(prefix="d") as path:
        yield Path(path)


def test_the_demo_shows_the_life_of_threads(folder: Path) -> None:
    done = run_demo(folder)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    lines = done.stdout.splitlines()
    marked = [line[8:] for line in lines if line[8:].startswith("ok ")]
    assert [line[3:25].rstrip() for line in marked] == STEPS
    text = "It is a conversation that is kept: each turn is on disk before you get its end."
    assert f"           A < {text}" in lines
    text = "Both of you. Every subscriber gets the same words at the same time."
    assert f"           A < {text}" in lines
    assert f"           B < {text}" in lines
    assert lines[-1].startswith("Everything above was checked.")
    assert "\x1b" not in done.stdout
    assert all(len(line) <= 100 for line in lines)
    if Path("/proc/self/statm").exists():
        figures = {line[11:33].rstrip(): line[33:].split() for line in lines if line[11:33].rstrip() in HELD}
        assert figures.keys() == HELD
        assert all(len(values) == 5 for values in figures.values())


def test_the_demo_leaves_nothing_behind(folder: Path) -> None:
    done = run_demo(folder)
    assert done.returncode == 0, done.stdout
    assert list(folder.iterdir()) == []
    assert not (folder.parent / "home").exists()


def test_a_daemon_that_does_not_start_fails_the_demo(folder: Path) -> None:
    (folder / "sitecustomize.py").write_text("import sys\nif 'app-server' in sys.orig_argv: sys.exit(3)\n")
    empty = folder / "empty"
    empty.mkdir()
    done = run_demo(folder, TMPDIR=str(empty), PYTHONPATH=str(folder))
    assert (done.returncode, done.stderr) == (1, "")
    assert "FAILED spindle app-server: the daemon exited before it listened\n" in done.stdout
    assert "Everything" not in done.stdout
    assert list(empty.iterdir()) == []


async def test_a_step_has_a_deadline(autojump_clock: trio.testing.MockClock) -> None:
    with pytest.raises(Failed, match="not within 15 s"), Page().step("a step"):
        await trio.sleep_forever()


KILLS_THE_DAEMON = """
import os, signal, sys
from spindle import demo
from spindle.demo import story

many_threads = story.many_threads

async def killed_first(page, a, b, pid):
    os.kill(pid, signal.SIGKILL)
    await many_threads(page, a, b, pid)

story.many_threads = killed_first
sys.exit(demo.main())
"""


def test_a_daemon_that_dies_fails_the_demo(folder: Path) -> None:
    done = run_demo(folder, "-c", KILLS_THE_DAEMON)
    assert (done.returncode, done.stderr) == (1, ""), done.stdout
    assert "FAILED 100 threads come: the daemon has closed the connection of " in done.stdout
    assert "Everything" not in done.stdout
    assert list(folder.iterdir()) == []
