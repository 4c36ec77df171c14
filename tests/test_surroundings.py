"""The home, the variables and the profile of the person who runs the tests do not change a result."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROFILES = (".profile", ".bash_profile", ".bashrc", ".zprofile", ".zshenv", ".zshrc")

VARIABLES = ("CODEX_HOME", "OPENAI_API_KEY", "SPINDLE_LOG", "GIT_DIR", "GIT_CONFIG_GLOBAL", "LC_ALL", "http_proxy")

PROBE = """
import json, os, subprocess
from pathlib import Path
from spindle.actors.tools.commands.environment import shell_argv

def test_probe():
    said = subprocess.run(shell_argv('echo "$HOME"'), capture_output=True, text=True, check=True, timeout=60)
    email = subprocess.run(["git", "config", "user.email"], capture_output=True, text=True, check=True).stdout
    Path(os.environ["PYTEST_REPORT"]).write_text(json.dumps([said.stdout, said.stderr, email, dict(os.environ)]))
"""


def test_a_profile_and_variables_from_outside_do_not_matter(tmp_path: Path) -> None:
    home, tests, report = tmp_path / "home", tmp_path / "tests", tmp_path / "report"
    home.mkdir()
    tests.mkdir()
    for name in PROFILES:
        (home / name).write_text(f"touch '{tmp_path}/read'\necho noise\nexit 3\n")
    (home / ".gitconfig").write_text("[user]\n\temail = outside\n")
    (tests / "conftest.py").write_bytes((ROOT / "tests/conftest.py").read_bytes())
    (tests / "test_probe.py").write_text(PROBE)
    (tests / "pytest.ini").write_text("[pytest]\n")
    outside = dict.fromkeys(VARIABLES, "outside")
    outside |= {"HOME": str(home), "BASH_ENV": str(home / ".bashrc"), "ENV": str(home / ".profile")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tests, tests],
        env={**os.environ, **outside, "PYTHONPATH": str(ROOT / "src"), "PYTEST_REPORT": str(report)},
        cwd=tests,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    said, errors, email, environment = json.loads(report.read_text())
    assert not (tmp_path / "read").exists()
    assert (said.strip(), errors, email) == (environment["HOME"], "", "tests@localhost\n")
    assert environment["HOME"] != str(home)
    assert not Path(environment["HOME"]).exists()
    assert {name for name, value in environment.items() if value == "outside"} == set()
