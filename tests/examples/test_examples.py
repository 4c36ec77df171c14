"""Runs each example as a user runs it, and checks its output."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from attrs import frozen

ROOT = Path(__file__).resolve().parents[2]


@frozen
class Run:
    """One run of an example: `says` is in its output, in order, with anything between."""

    name: str
    says: Sequence[str]
    options: Sequence[str] = ()
    typed: str = ""


RUNS = [
    Run(
        "embedding.py",
        [
            "A thread is a conversation that is kept.  [completed]\n",
            "the agent says:   Noted.\nevents counted:   more than five\n",
            "the first hears:  Both of you.\nthe second hears: Both of you.\n",
            "This would take  [interrupted]\nturns: completed, completed, completed, interrupted\n",
            "resumed with 4 turns from rollout-",
            'says: You said: "Are you still there?" I am the offline model and only repeat it.\n',
        ],
    ),
    Run(
        "drive_daemon.py",
        [
            '> {"id": 1, "method": "initialize", ',
            '< {"id":2,"result":{"thread":{"id":',
            '< {"method":"turn/started",',
            '< {"method":"thread/closed",',
            'the agent said: You said: "Hello" I am the offline model and only repeat it.\n',
            "the daemon has ended with exit code 0\n",
        ],
    ),
    Run(
        "release_agent.py",
        [
            "1.5.0 (minor): CSV export; no crash on empty input\n"
            "The agent asks to call the tool `publish(version='1.5.0')`. Allow it? [y/N] That is all.\npublished: ['1.5.0']\n"
        ],
        ["--offline"],
        "y\n",
    ),
    Run("release_agent.py", ["Allow it? [y/N] That is all.\npublished: []\n"], ["--offline"], "\n"),
    Run("batch.py", ["100%", " tokens\n"], ["questions.txt", "answers.jsonl", "--offline"]),
]


OF_FOLDERS = {"app_with_tests", "web_chat"}
"""Examples that are folders. Each has its own file of tests here."""


def test_every_example_is_run() -> None:
    folders = {path.parent.name for path in (ROOT / "examples").glob("*/*.py")}
    assert folders == {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")} & OF_FOLDERS
    assert folders == OF_FOLDERS
    assert {path.name for path in (ROOT / "examples").glob("*.py")} == {run.name for run in RUNS}


@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run.name}{run.typed.strip()}")
def test_an_example_runs_and_leaves_nothing_behind(run: Run, tmp_path: Path) -> None:
    folder, home = tmp_path / "tmp", tmp_path / "home"
    folder.mkdir()
    (tmp_path / "questions.txt").write_text("Question 1?\n\nQuestion 2?\nQuestion 1?\n")
    kept = run.name == "batch.py"  # it has no home of its own
    if kept:
        home.mkdir()
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / run.name), *run.options],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "TMPDIR": str(folder), "CODEX_HOME": str(home)},
        input=run.typed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    place = 0
    for text in run.says:
        found = done.stdout.find(text, place)
        assert found >= 0, f"{text!r} is not in, or not in order:\n{done.stdout}"
        place = found + len(text)
    assert list(folder.iterdir()) == []
    assert home.exists() == kept
