"""The daemon's own git runs nothing that a repository or the environment names, and is started in one place."""

from __future__ import annotations

import ast
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attrs import frozen

from spindle.actors.tools.git import OUTPUT, arguments, environment, merge_base, read_git

ROOT = Path(__file__).resolve().parents[3]


@frozen
class Repository:
    """A hostile repository that runs `ran` whenever it can."""

    path: Path

    @property
    def ran(self) -> Path:
        return self.path.parent / "ran"

    @property
    def run(self) -> str:
        """A command that leaves a mark and forwards its input."""
        return f"touch {self.ran}; cat"

    @property
    def fail(self) -> str:
        """The same for a transport."""
        return f"touch {self.ran}; false"

    def git(self, *words: str, **more: str) -> None:
        """A command with the user's git, which may fail."""
        line = ["git", "-c", "user.name=n", "-c", "user.email=e@x", *words]
        subprocess.run(line, cwd=self.path, check=False, capture_output=True, env={**os.environ, **more}, timeout=60)

    def program(self, name: str, line: str | None = None) -> Path:
        file = self.path / name
        file.write_text(f"#!/bin/sh\n{line or self.run}\n")
        file.chmod(0o755)
        return file


@pytest.fixture
def repository(tmp_path) -> Repository:
    made = Repository(tmp_path / "repository")
    made.path.mkdir()
    made.git("init", "-q", "-b", "main")
    (made.path / "file").write_text("one\n")
    made.git("add", "file")
    made.git("commit", "-q", "-m", "one")
    return made


def touch(repository: Repository) -> None:
    (repository.path / "file").write_text("two\n")


def fsmonitor(repository: Repository) -> list[str]:
    repository.git("config", "core.fsmonitor", str(repository.program("monitor")))
    return ["status"]


def hooks(repository: Repository) -> list[str]:
    for name in ("pre-commit", "reference-transaction", "post-index-change"):
        repository.program(f".git/hooks/{name}")
    return ["commit", "--allow-empty", "-m", "two"]


def hooks_elsewhere(repository: Repository) -> list[str]:
    repository.program("pre-commit")
    repository.git("config", "core.hooksPath", str(repository.path))
    return ["commit", "--allow-empty", "-m", "two"]


def external_diff(repository: Repository) -> list[str]:
    touch(repository)
    repository.git("config", "diff.external", str(repository.program("differ")))
    return ["diff"]


def textconv(repository: Repository) -> list[str]:
    touch(repository)
    (repository.path / ".gitattributes").write_text("* diff=trap\n")
    repository.git("config", "diff.trap.textconv", str(repository.program("textconv")))
    return ["diff"]


def filters(kind: str, *trigger: str) -> Callable[[Repository], list[str]]:
    def plant(repository: Repository) -> list[str]:
        touch(repository)
        (repository.path / ".git/info/attributes").write_text("* filter=trap\n")
        repository.git("config", f"filter.trap.{kind}", repository.run)
        return list(trigger)

    return plant


def missing_object(url: str, **settings: str) -> Callable[[Repository], list[str]]:
    """An object that git fetches when it is read, as in a partial clone."""

    def plant(repository: Repository) -> list[str]:
        program = repository.program("transport", repository.fail)
        (repository.path / ".git/refs/heads/missing").write_text("1" * 40 + "\n")
        for name, value in (
            ("core.repositoryformatversion", "1"),
            ("extensions.partialClone", "origin"),
            ("remote.origin.url", url.format(program=program)),
            ("remote.origin.promisor", "true"),
            *((name.replace("_", "."), value.format(program=program)) for name, value in settings.items()),
        ):
            repository.git("config", name, value)
        return ["rev-parse", "missing^{commit}"]

    return plant


def submodule(repository: Repository) -> list[str]:
    inner = Repository(repository.path / "inner")
    inner.path.mkdir()
    inner.git("init", "-q")
    inner.git("commit", "-q", "--allow-empty", "-m", "one")
    repository.git("add", "inner")
    inner.git("config", "core.fsmonitor", str(repository.program("monitor")))
    return ["status"]


TRAPS: dict[str, Callable[[Repository], list[str]]] = {
    "core.fsmonitor": fsmonitor,
    "hooks": hooks,
    "core.hooksPath": hooks_elsewhere,
    "diff.external": external_diff,
    "textconv": textconv,
    "filter.clean": filters("clean", "add", "file"),
    "filter.smudge": filters("smudge", "checkout", "file"),
    "filter.process": filters("process", "add", "file"),
    "core.sshCommand": missing_object("ssh://nowhere/it", core_sshCommand="{program}"),
    "ext::": missing_object("ext::{program}", protocol_ext_allow="always"),
    "core.gitProxy": missing_object("git://nowhere/it", core_gitProxy="{program}"),
    "a submodule": submodule,
}


@pytest.mark.parametrize("name", TRAPS)
async def test_nothing_that_a_repository_names_is_run(repository: Repository, name: str) -> None:
    trigger = TRAPS[name](repository)
    repository.git(*trigger)
    assert repository.ran.exists()  # the trap is one
    repository.ran.unlink()
    found = await read_git(str(repository.path))
    assert found is not None
    assert found.branch == "main"
    await merge_base(str(repository.path), "missing")
    assert not repository.ran.exists()


VARIABLES = {
    "GIT_ALLOW_PROTOCOL": "ssh:ext:file",
    "GIT_CONFIG_PARAMETERS": "'core.sshcommand'='false'",
    "GIT_SSH_COMMAND": "{run}",
    "GIT_DIR": "/nowhere",
    "GIT_WORK_TREE": "/nowhere",
    "GIT_CEILING_DIRECTORIES": "/",
    "GIT_TRACE": "{ran}",
    "GIT_TRACE2_EVENT": "{ran}",
    "GIT_EXEC_PATH": "{path}",
}


@pytest.mark.parametrize("name", VARIABLES)
async def test_variables_for_git_are_left_out(
    repository: Repository, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables that name a repository, a program or an output are for the user's git, or hostile."""
    missing_object("ssh://nowhere/it", core_sshCommand="{program}")(repository)
    value = VARIABLES[name].format(run=repository.run, ran=repository.ran, path=repository.path)
    monkeypatch.setenv(name, value)
    found = await read_git(str(repository.path))
    assert found is not None
    assert (found.branch, found.origin_url) == ("main", "ssh://nowhere/it")
    await merge_base(str(repository.path), "missing")
    assert not repository.ran.exists()
    assert name not in environment({name: "x"}) or environment({name: "x"})[name] != "x"


async def test_a_relative_folder_in_path_finds_no_program_of_the_repository(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.program("git")
    monkeypatch.setenv("PATH", f".:{os.environ['PATH']}")
    found = await read_git(str(repository.path))
    assert found is not None
    assert found.branch == "main"
    assert not repository.ran.exists()


async def test_a_bare_repository_in_a_work_tree_is_ignored(repository: Repository) -> None:
    repository.git("init", "-q", "--bare", "-b", "trap", "bare")
    repository.git("-C", "bare", "remote", "add", "origin", "ssh://nowhere/trap")
    assert await read_git(str(repository.path / "bare")) is None


async def test_an_endless_output_is_ignored(repository: Repository) -> None:
    with (repository.path / ".git/config").open("a") as file:
        file.write(f'[remote "origin"]\n\turl = {"u" * 2 * OUTPUT}\n')
    found = await read_git(str(repository.path))
    assert found is not None
    assert (found.branch, found.origin_url) == ("main", None)


def test_the_user_is_asked_nothing() -> None:
    assert environment({})["GIT_TERMINAL_PROMPT"] == "0"
    line = arguments("/w", "rev-parse", "HEAD")
    assert line[:4] == ["git", "--no-pager", "-C", "/w"]
    assert "core.pager=cat" in line
    assert line[-2:] == ["rev-parse", "HEAD"]


STARTERS = frozenset(
    ["Command", "Popen", "call", "check_call", "check_output", "open_process", "popen", "run", "run_process", "system", "which"]
)


def starts(tree: ast.AST) -> Iterator[int]:
    """The lines of a module that start git, or search for it."""
    for node in ast.walk(tree):
        words: list[ast.expr] = []
        if isinstance(node, ast.List | ast.Tuple):
            words = node.elts[:1]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in STARTERS:
            words = [*node.args[:1], *(keyword.value for keyword in node.keywords if keyword.arg == "args")]
        for word in words:
            if isinstance(word, ast.Constant) and isinstance(word.value, str):
                said = word.value
                if said == "git" or said.endswith("/git") or said.startswith("git "):
                    yield word.lineno


def test_git_is_started_in_two_places() -> None:
    """One reads repositories that are there; the other copies those that the user names."""
    found = {
        (str(file.relative_to(ROOT)), line)
        for folder in ("actors", "rpc", "storage", "src")
        for file in (ROOT / folder).rglob("*.py")
        if not any(parent.is_symlink() for parent in file.parents)
        if 'git"' in (text := file.read_text()) or '"git ' in text
        for line in starts(ast.parse(text))
    }
    assert sorted(file for file, _ in found) == ["actors/tools/git.py", "actors/tools/git_clone.py"]


@pytest.mark.parametrize("line", ['run(["git", "x"])', 'which("git")', 'run("git x")', 'words = ("/usr/bin/git", "x")'])
def test_another_place_that_starts_git_is_found(line: str) -> None:
    assert list(starts(ast.parse(line))) == [1]
