"""The files of a project that a command names, and whether they have changed."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from spindle.storage.config.programs import WORDS, Pinned, ProjectProgram


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for name in ("check.sh", "bin/run", ".codex/hooks/x.sh", "sub/check.sh", "with space.sh"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (tmp_path / "outside.sh").write_text("outside")
    os.symlink(tmp_path / "outside.sh", root / "link.sh")
    os.symlink(root / "check.sh", tmp_path / "into.sh")
    return root


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("./check.sh", ["check.sh"]),
        ("sh check.sh --all", ["check.sh"]),
        ("sh -c 'bin/run;true'", ["bin/run"]),
        ("{root}/bin/run >/dev/null", ["bin/run"]),
        ("{root}/sub/../bin//run", ["bin/run"]),
        ('"$(git rev-parse --show-toplevel)/.codex/hooks/x.sh"', [".codex/hooks/x.sh"]),
        ("`git rev-parse --show-toplevel`/bin/run", ["bin/run"]),
        ("$ROOT/bin/run && env A=./check.sh node --require=./check.sh", ["bin/run", "check.sh"]),
        ("with space.sh", ["with space.sh"]),
        ("./link.sh", ["link.sh"]),
        ("{root}/../into.sh", ["../into.sh"]),
        ("{root}/../outside.sh /etc/passwd /bin/sh ls", []),
        ("./sub ./missing \0 ./" + "x" * 5000, []),
    ],
)
def test_files_are_found_in_the_words_of_a_command(project: Path, text: str, files: list[str]) -> None:
    found = ProjectProgram([text.format(root=project) if "{root}" in text else text], project).files()
    assert sorted(found) == sorted(os.path.normpath(project / name) for name in files)


def test_a_relative_name_is_also_searched_in_the_working_directory(project: Path) -> None:
    program = ProjectProgram(["./check.sh"], project)
    assert list(program.files(project / "sub")) == [f"{project}/check.sh", f"{project}/sub/check.sh"]
    pinned = Pinned(program, program.files())
    assert pinned.changed(project) is None
    assert pinned.changed(project / "sub") == f"{project}/sub/check.sh is not approved"


def test_a_word_may_become_the_name_of_a_file_later(project: Path) -> None:
    """Otherwise a user who can write in the project could stop a hook with a file named like its program."""
    program = ProjectProgram(["python3 ./check.sh"], project)
    pinned = Pinned(program, program.files())
    (project / "python3").write_text("")
    assert pinned.changed() is None


@pytest.mark.parametrize("change", ["content", "kind", "gone", "link"])
def test_changes_of_a_file(project: Path, tmp_path: Path, change: str) -> None:
    program = ProjectProgram(["./check.sh"], project)
    pinned, file = Pinned(program, program.files()), project / "check.sh"
    file.unlink()
    match change:
        case "content":
            file.write_text("evil")
        case "kind":
            os.mkfifo(file)
        case "link":
            file.symlink_to(tmp_path / "outside.sh")
        case _:
            pass
    # only a file can be run
    assert pinned.changed() == (f"{file} has changed since it was approved" if change in ("content", "link") else None)


def test_the_words_of_a_command_are_bounded(project: Path) -> None:
    with pytest.raises(OSError, match=f"more than {WORDS} words"):
        ProjectProgram([" ".join(map(str, range(WORDS + 1)))], project).files()


def test_a_file_that_cannot_be_checked_does_not_count_as_missing(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = ProjectProgram(["./check.sh"], project)
    pinned, stat = Pinned(program, program.files()), os.stat

    def failing(path: str, **options: Any) -> os.stat_result:
        if path == f"{project}/check.sh":
            raise OSError(errno.EIO, "Input/output error", path)
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", failing)
    with pytest.raises(OSError, match="Input/output error"):
        program.files()
    assert pinned.changed() == f"{project}/check.sh cannot be read: Input/output error"
