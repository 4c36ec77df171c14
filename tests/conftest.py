"""Gives every run of the tests an environment and a user's home of its own.

The processes of the tests inherit them: daemons, login shells with their profiles, git. So the profile, the proxy, the keys
and the git variables of the person who runs the tests do not change a result.
"""

import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from spindle.rpc.protocol.values import clean

# Variables that a process needs, and variables that configure pytest, Hypothesis, coverage and Python.
KEPT = {"PATH", "USER", "LOGNAME", "SHELL", "TERM", "TMPDIR", "TZ", "CI", "VIRTUAL_ENV"}
KEPT |= {"SPINDLE_SHOW_ESCAPES", "SPINDLE_ALL_FAULTS", "SPINDLE_SWEEP", "SPINDLE_POISONS", "SPINDLE_SEED"}
KEPT |= {"SPINDLE_SCRIPTS", "SPINDLE_FUZZ", "SPINDLE_TEST_PHOENIX"}
KEPT_PREFIXES = ("PYTEST_", "PY_", "PYTHON", "HYPOTHESIS_", "COV", "LD_", "DYLD_")
GIT_CONFIG = "[user]\n\tname = Tests\n\temail = tests@localhost\n[init]\n\tdefaultBranch = main\n"


def pytest_configure(config: pytest.Config) -> None:
    home = Path(tempfile.mkdtemp(prefix="spindle-tests-"))
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    (home / ".gitconfig").write_text(GIT_CONFIG)
    for name in set(os.environ) - KEPT:
        if not name.startswith(KEPT_PREFIXES):
            del os.environ[name]
    os.environ |= {
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
    }


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Clean the reports of a pytest-xdist worker. Text that is not UTF-8, which many tests have, would end the run."""
    return _cleaned((yield))


def _cleaned(value: Any) -> Any:
    match value:
        case str():
            return clean(value)
        case dict():
            return {key: _cleaned(member) for key, member in value.items()}
        case list() | tuple():
            return type(value)(map(_cleaned, value))
        case _:
            return value
