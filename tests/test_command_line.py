"""`spindle`: its version, its help, and bad usage."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import spindle
from spindle.cli import COLLECTING, main

COMMANDS = ["app-server", "top", "tail", "index", "trust", "demo", "help"]


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[object, str, str]:
    """The exit code, stdout and stderr."""
    with pytest.raises(SystemExit) as exited:
        main(argv)
    return exited.value.code, *capsys.readouterr()


def test_the_version_is_that_of_the_project(capsys: pytest.CaptureFixture[str]) -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert run(capsys, "--version") == (0, f"spindle {project['version']}\n", "")
    assert spindle.__version__ == project["version"]


@pytest.mark.parametrize("argv", [(), ("help",), ("--help",), ("-c", "model=x")])
def test_the_help_lists_every_command(argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, errors = run(capsys, *argv)
    assert (code, errors) == (0, "")
    assert [line.split()[0] for line in out.splitlines() if line.startswith("    ") and line[4] != " "] == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, "help", command)
    assert shown == run(capsys, command, "--help")
    assert (shown[0], shown[2]) == (0, "")
    assert shown[1].startswith(f"usage: spindle {command} ")


@pytest.mark.parametrize("argv", [("serve",), ("help", "serve"), ("--verbose",)])
def test_bad_usage_goes_to_stderr(argv: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, errors = run(capsys, *argv)
    assert (code, out) == (2, "")
    assert errors.startswith("usage: spindle ")
    assert argv[-1] in errors


def test_a_shared_daemon_is_for_stdio(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, errors = run(capsys, "app-server", "--shared", "--listen", "ws://127.0.0.1:0")
    assert (code, out) == (2, "")
    assert "--shared" in errors


@pytest.mark.parametrize("option", ["--cloud-skills-snapshot", "--code-mode-host"])
def test_options_of_codex_that_are_refused_by_name(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, errors = run(capsys, "app-server", option, "x")
    assert (code, out) == (1, "")
    assert option in errors


def test_a_relay_imports_little() -> None:
    """Each client has a relay of its own, which must start fast and stay small."""
    program = "import sys; import spindle.relay; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout.split()
    assert {name for name in modules if name.startswith("spindle")} == {
        *("spindle", "spindle.relay", "spindle.rpc", "spindle.rpc.relay", "spindle.rpc.relay.hello"),
        *("spindle.storage", "spindle.storage.home_path", "spindle.storage.shared_folder"),
        *("spindle.rpc.protocol", "spindle.rpc.protocol.errors"),
    }
    assert not {"attr", "trio", "orjson", "logging", "pathlib", "subprocess", "hashlib", "typing"} & {*modules}


def test_a_server_starts_without_a_look_for_its_version() -> None:
    """The look-up reads the metadata of installed packages, which takes longer than the command line itself."""
    found = "import sys; import spindle.cli; spindle.cli.parser().parse_args(['app-server']); print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", found], capture_output=True, check=True, text=True).stdout.split()
    assert "spindle.cli" in modules
    assert "importlib.metadata" not in modules


def test_a_server_collects_garbage(tmp_path: Path) -> None:
    """Not while it imports, and not what it has imported."""
    program = (
        "import gc, spindle.actors.daemon as daemon\n"
        "async def serve(*_): print(gc.isenabled(), gc.get_threshold(), gc.get_freeze_count() > 10_000)\n"
        "daemon.serve_stdio = serve\n"
        "from spindle.cli import main\n"
        "main(['app-server'])"
    )
    env = {**os.environ, "CODEX_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True, env=env)
    assert done.stdout == f"True {COLLECTING} True\n"


def test_the_types_of_the_protocol_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "made" / "here"
    assert run(capsys, "app-server", "generate-json-schema", "--out", str(out)) == (0, "", "")
    stable = set(out.rglob("*.json"))
    assert out / "v2" / "ThreadStartParams.json" in stable
    assert run(capsys, "app-server", "generate-json-schema", "-o", str(out), "--experimental") == (0, "", "")
    assert set(out.rglob("*.json")) > stable
    formatter = tmp_path / "prettier"
    formatter.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > "$0.seen"\n')
    formatter.chmod(0o700)
    assert run(capsys, "app-server", "generate-ts", "--out", str(out), "--prettier", str(formatter)) == (0, "", "")
    assert str(out / "v2" / "ThreadStartParams.ts") in (tmp_path / "prettier.seen").read_text().splitlines()


def test_types_that_cannot_be_written_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    code, out, errors = run(capsys, "app-server", "generate-ts", "--out", str(tmp_path / "file"))
    assert (code, out) == (1, "")
    assert "file" in errors
    assert run(capsys, "app-server", "generate-ts", "--out", str(tmp_path), "--prettier", "no/such")[0] == 1
    assert run(capsys, "app-server", "generate-ts")[0] == 2
