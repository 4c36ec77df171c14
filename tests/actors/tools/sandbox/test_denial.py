"""Which failures count as denied by the sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest

from spindle.actors.tools.sandbox.confinement import AccessRule, Confinement
from spindle.actors.tools.sandbox.denial import denied, names_denied

OFFLINE = Confinement((AccessRule("/", "read"),), network=False)
ONLINE = Confinement((AccessRule("/", "read"),), network=True)


@pytest.mark.parametrize(
    ("code", "output", "expected"),
    [
        (1, "touch: cannot touch 'g': Read-only file system", True),
        (2, "OSError: [Errno 30] Read-only file system: 'g'", True),
        (1, "Error: EROFS: read-only file system, open 'g'", True),
        (126, "bash: ./x: Permission denied", True),
        (1, "Operation not permitted", True),
        (159, "Bad system call", True),
        (-31, "", True),
        (6, "curl: (6) Could not resolve host: example.org", True),
        (1, "npm ERR! code EAI_AGAIN", True),
        (1, "connect: Network is unreachable", True),
        (0, "Permission denied", False),
        (1, "AssertionError", False),
        (127, "bash: foo: command not found", False),
        (None, "", False),
        (137, "Killed", False),
    ],
)
def test_a_denial_is_guessed_from_the_code_and_the_output(code: int | None, output: str, expected: bool) -> None:
    assert denied(code, output, OFFLINE) is expected


def test_an_unreachable_host_is_no_denial_with_the_network_open() -> None:
    assert not denied(6, "curl: (6) Could not resolve host: example.org", ONLINE)
    assert denied(1, "Permission denied", ONLINE)


def test_without_a_sandbox_nothing_is_denied() -> None:
    assert not denied(1, "Permission denied", None)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("touch: cannot touch 'new': Read-only file system", True),
        ("sh: 1: cannot create new: Read-only file system", True),
        ("bash: line 1: {cwd}/old: Permission denied", True),
        ("OSError: [Errno 30] Read-only file system: 'old'", True),
        ("Error: EROFS: read-only file system, open 'old'", True),
        ("Permission denied", False),
        ("'new' is fine.\nPermission denied", False),
        ("touch: cannot touch 'free/new': Read-only file system", False),  # the sandbox allows it
        ("touch: cannot touch 'missing/new': Read-only file system", False),  # and without one it could not be written
        ("cat: missing/shadow: Permission denied", False),
        ("touch: cannot touch 'free/../new': Read-only file system", True),
        ("x: permission denied\n" * 100_000, True),
        ("missing/x: permission denied\n" * 100_000, False),
    ],
)
def test_a_file_that_the_sandbox_alone_protects(tmp_path: Path, output: str, expected: bool) -> None:
    (tmp_path / "old").touch()
    (tmp_path / "free").mkdir()
    confinement = Confinement((AccessRule("/", "read"), AccessRule(str(tmp_path / "free"), "write")), network=False)
    assert names_denied(output.format(cwd=tmp_path), str(tmp_path), confinement) is expected
