"""Trusting a project, and the defaults that follow from the user's decision."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from spindle.storage.config import ConfigError, ConfigLoader
from spindle.storage.config.deprecated import deprecations
from spindle.storage.config.trusting import trust
from spindle.storage.home import Home


def loads(tmp_path: Path) -> ConfigLoader:
    return ConfigLoader(Home(tmp_path), system_file=tmp_path / "none")


def test_the_root_is_trusted_and_nothing_else_changes(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('# mine\nmodel = "m"\n')
    (tmp_path / "p" / ".git").mkdir(parents=True)
    (tmp_path / "p" / "sub").mkdir()
    assert trust(loads(tmp_path), tmp_path / "p" / "sub") == tmp_path / "p"
    text = (tmp_path / "config.toml").read_text()
    assert text == f'# mine\nmodel = "m"\n\n[projects."{tmp_path}/p"]\ntrust_level = "trusted"\n'
    trust(loads(tmp_path), tmp_path / "p")
    assert (tmp_path / "config.toml").read_text() == text
    assert loads(tmp_path).load(tmp_path / "p").trust == "trusted"


def test_a_project_that_could_not_be_loaded_is_not_trusted(tmp_path: Path) -> None:
    (tmp_path / "p" / ".codex").mkdir(parents=True)
    (tmp_path / "p" / ".codex" / "config.toml").write_text("model = [")
    with pytest.raises(ConfigError):
        trust(loads(tmp_path), tmp_path / "p")
    assert not (tmp_path / "config.toml").exists()


@pytest.mark.parametrize("folder", ["p", "p/sub"])
def test_a_decision_is_kept(tmp_path: Path, folder: str) -> None:
    (tmp_path / "p" / ".git").mkdir(parents=True)
    text = f'[projects."{tmp_path / folder}"]\ntrust_level = "untrusted"\n'
    (tmp_path / "config.toml").write_text(text)
    trust(loads(tmp_path), tmp_path / "p" / "sub")
    assert tomllib.loads((tmp_path / "config.toml").read_text()) == tomllib.loads(text)


@pytest.mark.parametrize(
    ("level", "sandbox", "policy"),
    [
        (None, "read-only", "on-request"),
        ("trusted", "workspace-write", "on-request"),
        ("untrusted", "workspace-write", "untrusted"),
    ],
)
def test_the_defaults_follow_the_decision(tmp_path: Path, level: str | None, sandbox: str, policy: str) -> None:
    if level is not None:
        (tmp_path / "config.toml").write_text(f'[projects."{tmp_path}"]\ntrust_level = "{level}"\n')
    config = loads(tmp_path).load(tmp_path)
    assert (config.default_sandbox_mode, config.default_approval_policy) == (sandbox, policy)


def test_deprecated_settings(tmp_path: Path) -> None:
    def said(text: str) -> list[str]:
        (tmp_path / "config.toml").write_text(text)
        return [one.summary.split("`")[1] for one in deprecations(loads(tmp_path).load())]

    assert said("[features]\nmulti_agent = true\n") == []
    assert said("experimental_use_freeform_apply_patch = true\n[features]\nweb_search_request = true\n") == [
        "experimental_use_freeform_apply_patch",
        "features.web_search_request",
    ]
    assert said("experimental_use_unified_exec_tool = false\n[features]\ncollab = true\nuse_legacy_landlock = true\n") == [
        "features.collab",
        "experimental_use_unified_exec_tool",
        "features.use_legacy_landlock",
    ]
