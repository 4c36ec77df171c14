"""`apply_patch` as a program for scripts: its arguments and output, and the folder of its launcher."""

import io
import json
import os
import subprocess
from pathlib import Path

import pytest

from spindle.actors.tools.commands.environment import find_shell
from spindle.actors.tools.patch.on_path import NAMES, programs
from spindle.actors.tools.patch.program import run

ADD = "*** Begin Patch\n*** Add File: a.txt\n+hi\n*** End Patch\n"
UPDATE = "*** Begin Patch\n*** Update File: a.txt\n@@\n-hi\n+ho\n*** End Patch\n"


@pytest.fixture
def applied(tree, monkeypatch):
    """applied(*arguments, given) -> the result of the program in the tree."""
    monkeypatch.chdir(tree.root)
    return lambda *arguments, given=b"": run(arguments, io.BytesIO(given))


@pytest.fixture
def found(tmp_path):
    """The programs, in a home of their own."""
    return programs(tmp_path / "home")


def test_a_patch_comes_as_the_argument_or_on_standard_input(applied, tree):
    assert applied(ADD) == (0, "Success. Updated the following files:\nA a.txt\n", "")
    assert applied(given=UPDATE.encode()) == (0, "Success. Updated the following files:\nM a.txt\n", "")
    assert tree.read() == {"a.txt": b"ho\n"}


@pytest.mark.parametrize(
    ("arguments", "given", "code", "complaint"),
    [
        ((ADD, "more"), b"", 2, "Error: apply_patch accepts exactly one argument.\n"),
        ((), b"", 2, "Usage: apply_patch 'PATCH'\n       echo 'PATCH' | apply_patch\n"),
        ((), b"\xff", 1, "Error: Failed to read PATCH from stdin.\nstream did not contain valid UTF-8\n"),
        (("\udcff",), b"", 1, "Error: apply_patch requires a UTF-8 PATCH argument.\n"),
        (("",), b"", 1, "Invalid patch: The last line of the patch must be '*** End Patch'\n"),
        (("--help",), b"", 1, "Invalid patch: The first line of the patch must be '*** Begin Patch'\n"),
        (("*** Begin Patch\n*** End Patch",), b"", 1, "No files were modified.\n"),
    ],
)
def test_invalid_arguments_are_reported(applied, tree, arguments, given, code, complaint):
    assert applied(*arguments, given=given) == (code, "", complaint)
    assert not tree.read()


def test_a_patch_that_does_not_fit_says_where(applied, tree):
    code, said, complaint = applied("*** Begin Patch\n*** Frob\n*** End Patch")
    assert (code, said) == (1, "")
    assert complaint.startswith("Invalid patch hunk on line 2: '*** Frob' is not a valid hunk header.")
    missing = f"Failed to read file to update {tree.root}/a.txt: No such file or directory (os error 2)\n"
    assert applied(UPDATE) == (1, "", missing)


def test_a_missing_folder_is_reported(applied, tree):
    tree.root.rmdir()
    assert applied(ADD) == (1, "", "No such file or directory\n")


def test_it_is_found_under_both_names_and_needs_nothing_of_its_environment(found, tree):
    for name in NAMES:
        script = f"cd {tree.root} && {name} <<'EOF' && echo done\n{ADD}EOF\n"
        argv = [find_shell("sh"), "-c", script]
        done = subprocess.run(argv, env={"PATH": found.folder}, capture_output=True, text=True, check=True, timeout=60)
        assert (done.stdout, done.stderr) == ("Success. Updated the following files:\nA a.txt\ndone\n", "")
    assert tree.read() == {"a.txt": b"hi\n"}


def test_output_and_errors_go_to_their_streams(found, tree):
    done = subprocess.run([f"{found.folder}/apply_patch", "x"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Invalid patch: The first line of the patch must be '*** Begin Patch'\n"


def test_it_starts_without_modules_it_does_not_need(found):
    program = "import sys, spindle.actors.tools.patch.program as p; import json; print(json.dumps(sorted(sys.modules)))"
    interpreter = Path(found.folder, "apply_patch").read_text().split()[2]
    paths = list(found.readable[1:])
    code = f"import sys; sys.path += {paths!r}; {program}"
    done = subprocess.run([interpreter, "-I", "-S", "-c", code], capture_output=True, check=True, timeout=60)
    loaded = set(json.loads(done.stdout))
    assert not loaded & {"trio", "cattrs", "orjson", "spindle.rpc", "secrets", "pathlib", "subprocess", "asyncio"}


def test_it_is_made_once_and_again_if_it_was_changed(found, tmp_path):
    paths = [Path(found.folder, name) for name in NAMES]
    before = [path.stat().st_ino for path in paths]
    assert programs(tmp_path / "home") == found
    assert [path.stat().st_ino for path in paths] == before
    paths[0].write_text("echo something else\n")
    paths[1].chmod(0o600)
    programs(tmp_path / "home")
    assert "spindle" in paths[0].read_text() == paths[1].read_text()
    assert all(os.access(path, os.X_OK) for path in paths)
    assert sorted(os.listdir(found.folder)) == sorted(NAMES)
