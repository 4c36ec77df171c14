"""`spindle trust`."""

import json
import os
from pathlib import Path

import pytest

from spindle.cli import main
from spindle.storage.config import ConfigLoader
from spindle.storage.config.programs import PROGRAM
from spindle.storage.home import Home


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("CODEX_HOME", str(home))
    return home


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = tmp_path / "pro ject"
    (project / ".codex").mkdir(parents=True)
    (project / ".git").mkdir()
    (project / "below").mkdir()
    return project


def run(*words: str) -> object:
    with pytest.raises(SystemExit) as exited:
        main(["trust", *words])
    return exited.value.code


def test_it_shows_what_the_project_wants_and_approves_it(
    home: Path, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = project / ".codex/config.toml"
    config.write_text('model = "m"\n[mcp_servers.s]\ncommand = "sh"\nargs = ["./s.sh"]\n')
    (project / "s.sh").write_text("serve")
    hook = {"type": "command", "command": "ls \u202e \x1b[2K\nrm"}
    hooks = project / ".codex/hooks.json"
    hooks.write_text(json.dumps({"hooks": {"PreToolUse": [{"matcher": "Bash", "hooks": [hook]}]}}))
    wanted = f"""\
{project} wants to run, or to change:

{config}:2: mcp_servers.s (new)
    {{"command": "sh", "args": ["./s.sh"]}}
    with the file {project}/s.sh

{hooks}:1: PreToolUse Bash (new)
    "ls \\u202e \\u001b[2K\\nrm"

"""
    assert run("--show", str(project / "below")) == 0
    assert capsys.readouterr().out == wanted
    assert list(home.iterdir()) == []
    assert run(str(project / "below")) == 0
    assert capsys.readouterr().out == f"{wanted}{project} is trusted, with all of this as it is now.\n"
    assert list(ConfigLoader(Home(home)).load(project).mcp_servers()) == ["s"]
    (project / "s.sh").write_text("another")
    assert run("--show", str(project)) == 0
    out = capsys.readouterr().out
    assert "mcp_servers.s (changed)" in out
    assert "PreToolUse Bash (approved)" in out


def test_the_folder_it_is_run_in_is_the_default(
    home: Path, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "config.toml").write_text("# mine\n")
    monkeypatch.chdir(project)
    assert run() == 0
    assert capsys.readouterr().out == f"{project} wants nothing that has to be approved.\n{project} is trusted.\n"
    assert (home / "config.toml").read_text().startswith("# mine\n")
    assert ConfigLoader(Home(home)).load(project).trust == "trusted"


def test_a_file_that_cannot_be_compared_is_not_approved(home: Path, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / ".codex/config.toml").write_text(
        '[mcp_servers.large]\ncommand = "./large"\n[mcp_servers.small]\ncommand = "s"\n'
    )
    (project / "large").touch()
    os.truncate(project / "large", PROGRAM + 1)
    assert run(str(project)) == 1
    said = f"spindle: mcp_servers.large cannot be approved: {project}/large: the file is larger than {PROGRAM} bytes"
    assert said in capsys.readouterr().err
    assert list(ConfigLoader(Home(home)).load(project).mcp_servers()) == ["small"]


def test_errors_name_the_path(home: Path, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(project / "nowhere")) == 1
    assert f"{project}/nowhere is not a folder" in capsys.readouterr().err
    (home / "spindle").write_text("no folder")
    assert run(str(project)) == 1
    assert f"spindle: [Errno 20] Not a directory: '{home}/spindle'" in capsys.readouterr().err
    assert not (home / "config.toml").exists()
    (project / ".codex/config.toml").write_text("[broken")
    assert run(str(project)) == 1
    assert f"{project}/.codex/config.toml:1" in capsys.readouterr().err
