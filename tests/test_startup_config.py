"""What is checked before `spindle app-server` starts, and profiles of the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spindle.cli import main, overrides, parser
from spindle.rpc.protocol.user_agent import PROTOCOL_VERSION
from spindle.startup_config import check


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "home"
    path.mkdir()
    monkeypatch.setenv("CODEX_HOME", str(path))
    monkeypatch.chdir(path)
    return path


def write(home: Path, text: str) -> Path:
    (home / "config.toml").write_text(text)
    return home / "config.toml"


@pytest.mark.parametrize(
    ("text", "given", "error"),
    [
        ("nosuch = 1\n", [], "{file}:1:1: unknown configuration field `nosuch`"),
        ("[model_providers.x]\nname = 'x'\nfoo = 1\n", [], "{file}:3:1: unknown configuration field `model_providers.x.foo`"),
        ("", [("tools.nosuch", 1)], "unknown configuration field `tools.nosuch` in -c/--config override"),
        ("model = 1\n", [], "{file}:1:9: invalid type: integer `1`, expected a string"),
    ],
)
def test_a_strict_server_does_not_start_with_unknown_keys(
    home: Path, capsys: pytest.CaptureFixture[str], text: str, given: list[tuple[str, object]], error: str
) -> None:
    file = write(home, text)
    assert check(given, strict=True, show=False) == 1
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"spindle: {error.format(file=file)}\n")


def test_known_keys_are_accepted_whether_they_are_served_or_not(home: Path) -> None:
    write(home, 'model = "m"\n[tui]\ntheme = "x"\n[features]\nmemories = true\n')
    assert check([], strict=True, show=False) is None
    write(home, "nosuch = 1\n")
    assert check([], strict=False, show=False) is None


@pytest.mark.parametrize("argv", [["app-server", "--strict-config"], ["--strict-config", "app-server"]])
def test_the_option_is_taken_before_and_after_the_command(
    home: Path, capsys: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    write(home, "nosuch = 1\n")
    with pytest.raises(SystemExit) as exited:
        main(argv)
    assert exited.value.code == 1
    assert "unknown configuration field `nosuch`" in capsys.readouterr().err


def test_the_startup_configuration_is_printed_and_no_server_starts(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exited:
        main(["app-server", "--print-startup-config"])
    assert exited.value.code == 0
    requirements = {"appServerVersion": PROTOCOL_VERSION, "configRequirements": {"requirements": None}}
    assert json.loads(capsys.readouterr().out) == requirements
    file = write(home, "model = [")
    assert check([], strict=False, show=True) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == -32600
    assert error["message"] == f"failed to load configuration: {file}:1:10: invalid value"
    assert {**error["data"], "detail": ""} == {
        "reason": "configLoad", "filePath": str(file), "line": 1, "column": 10, "detail": "",
    }  # fmt: skip


def test_a_profile_is_an_override_weaker_than_others() -> None:
    options = parser().parse_args(["-c", "model=x", "-p", "one", "app-server", "--profile", "two-2", "-c", "model=y"])
    assert overrides(options) == [("profile", "one"), ("profile", "two-2"), ("model", "x"), ("model", "y")]
    with pytest.raises(SystemExit):
        parser().parse_args(["-p", "../x", "app-server"])
