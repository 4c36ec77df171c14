"""The example of an application that tests itself: its tests pass as they are run there, and notice what they are for."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "examples/app_with_tests"


def run(folder: Path) -> str:
    """The output of pytest in the folder."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=30"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    ).stdout


def test_they_pass() -> None:
    assert "4 passed in" in run(FOLDER)


@pytest.mark.parametrize(
    ("right", "wrong", "failed"),
    [
        ("needs_approval=True", "needs_approval=False", 1),
        ("tools=[cluster]", "tools=[]", 2),
    ],
)
def test_they_fail_for_a_faulty_application(right: str, wrong: str, failed: int, tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    app = tmp_path / "app.py"
    text = app.read_text()
    assert right in text
    app.write_text(text.replace(right, wrong))
    assert f"{failed} failed" in run(tmp_path)
