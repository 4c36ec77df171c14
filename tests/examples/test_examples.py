"""Runs each example as a user runs it, and checks its output."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SAYS = {
    "embedding.py": [
        "A thread is a conversation that is kept.  [completed]\n",
        "the agent says:   Noted.\nevents counted:   more than five\n",
        "the first hears:  Both of you.\nthe second hears: Both of you.\n",
        "This would take  [interrupted]\nturns: completed, completed, completed, interrupted\n",
        "resumed with 4 turns from rollout-",
        'says: You said: "Are you still there?" I am the offline model and only repeat it.\n',
    ],
    "drive_daemon.py": [
        '> {"id": 1, "method": "initialize", ',
        '< {"id":2,"result":{"thread":{"id":',
        '< {"method":"turn/started",',
        '< {"method":"thread/closed",',
        'the agent said: You said: "Hello" I am the offline model and only repeat it.\n',
        "the daemon has ended with exit code 0\n",
    ],
}


def test_every_example_is_run() -> None:
    assert sorted(path.name for path in (ROOT / "examples").glob("*.py")) == sorted(SAYS)


@pytest.mark.parametrize("name", sorted(SAYS))
def test_an_example_runs_and_leaves_nothing_behind(name: str, tmp_path: Path) -> None:
    folder, home = tmp_path / "tmp", tmp_path / "home"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "TMPDIR": str(folder), "CODEX_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    place = 0
    for text in SAYS[name]:
        found = done.stdout.find(text, place)
        assert found >= 0, f"{text!r} is not in, or not in order:\n{done.stdout}"
        place = found + len(text)
    assert list(folder.iterdir()) == []
    assert not home.exists()
