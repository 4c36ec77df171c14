"""Whether a project is trusted: what a client's thread records, and what follows from the user's decision."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from .client import Client
    from .process import Daemon


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with settings that steer the model."""
    folder = tmp_path / "project"
    for name in (".git", ".codex", "sub"):
        (folder / name).mkdir(parents=True)
    (folder / ".codex" / "config.toml").write_text('model_reasoning_effort = "high"\n')
    return folder


def decided(daemon: Daemon) -> dict[str, Any]:
    """`[projects]` of the user's file."""
    projects: dict[str, Any] = tomllib.loads((daemon.home / "config.toml").read_text()).get("projects", {})
    return projects


def decide(home: Path, project: Path, level: str) -> None:
    with (home / "config.toml").open("a") as file:
        file.write(f'\n[projects."{project}"]\ntrust_level = "{level}"\n')


def warned(client: Client, since: int = 0) -> list[str]:
    """The configWarnings about untrusted projects, before the answer to one more request."""
    client.call("thread/loaded/list")
    said = [one["params"]["summary"] for one in client.messages.entries[since:] if one.get("method") == "configWarning"]
    return [text for text in said if text.startswith("The settings and hooks in these folders have no effect")]


@pytest.mark.parametrize(
    "params",
    [
        {"sandbox": "workspace-write"},
        {"sandbox": "danger-full-access"},
        {"permissions": ":workspace"},
        {"config": {"sandbox_mode": "workspace-write"}},
    ],
)
def test_a_thread_that_may_write_where_the_user_has_chosen_trusts_the_project(
    daemon: Daemon, client: Client, project: Path, params: dict[str, Any]
) -> None:
    started = client.call("thread/start", cwd=str(project / "sub"), **params)
    assert decided(daemon) == {str(project): {"trust_level": "trusted"}}
    assert started["reasoningEffort"] == "high"
    assert warned(client) == []


@pytest.mark.parametrize("params", [{"sandbox": "read-only"}, {}, {"approvalPolicy": "never"}])
def test_a_thread_that_may_only_read_decides_nothing(
    daemon: Daemon, client: Client, project: Path, params: dict[str, Any]
) -> None:
    since = client.now
    started = client.call("thread/start", cwd=str(project), **params)
    assert (decided(daemon), started["reasoningEffort"]) == ({}, None)
    [said] = warned(client, since)
    assert f"{project} is not marked as trusted" in said


def test_a_directory_that_no_client_has_chosen_is_not_trusted(daemon: Daemon, client: Client) -> None:
    client.call("thread/start", sandbox="workspace-write")
    assert decided(daemon) == {}


def test_a_decision_of_the_user_stays_and_says_what_a_thread_may(
    daemon: Daemon, client: Client, project: Path, tmp_path: Path
) -> None:
    file = daemon.home / "config.toml"
    text = [line for line in file.read_text().splitlines() if not line.startswith(("approval_policy", "sandbox_mode"))]
    file.write_text("\n".join(text))
    decide(daemon.home, project, "untrusted")
    since = client.now
    started = client.call("thread/start", cwd=str(project), sandbox="workspace-write")
    assert decided(daemon) == {str(project): {"trust_level": "untrusted"}}
    assert (started["reasoningEffort"], started["approvalPolicy"]) == (None, "untrusted")
    assert len(warned(client, since)) == 1
    decide(daemon.home, tmp_path / "other", "trusted")
    (tmp_path / "other").mkdir()
    for name, policy in (("project", "untrusted"), ("other", "on-request")):
        started = client.call("thread/start", cwd=str(tmp_path / name))
        assert (started["sandbox"]["type"], started["approvalPolicy"]) == ("workspaceWrite", policy)
    started = client.call("thread/start", cwd=str(project), sandbox="read-only", approvalPolicy="never")
    assert (started["sandbox"]["type"], started["approvalPolicy"]) == ("readOnly", "never")


def test_a_home_that_cannot_be_written_is_a_warning(daemon: Daemon, client: Client, project: Path) -> None:
    (daemon.home / "config.toml.lock").unlink(missing_ok=True)
    (daemon.home / "config.toml.lock").mkdir()
    since = client.now
    started = client.call("thread/start", cwd=str(project), sandbox="workspace-write")
    warning = client.wait_for("warning", started["thread"]["id"], since=since)["message"]
    assert warning.startswith(f"The project of {project} is not trusted: ")
    assert decided(daemon) == {}


def test_a_client_is_warned_at_its_start_of_what_has_no_effect_where_it_is(
    launch: Callable[..., Daemon], home: Path
) -> None:
    (home / ".codex").mkdir()
    daemon = launch()
    client = daemon.client()
    said = client.messages.find(
        lambda message: message.get("method") == "configWarning" and "have no effect;" in message["params"]["summary"]
    )
    assert f"{home}/.codex: {home} is not marked as trusted in {home}/config.toml" in said["params"]["summary"]
    since = client.now
    client.start_thread()
    assert warned(client, since) == []


def test_deprecated_settings_are_named_with_their_successor(daemon: Daemon, client: Client) -> None:
    since = client.now
    client.start_thread(config={"features.collab": False, "experimental_use_unified_exec_tool": True})
    client.call("thread/loaded/list")
    notices = [one["params"] for one in client.messages.entries[since:] if one.get("method") == "deprecationNotice"]
    assert [one["summary"] for one in notices] == [
        "`features.collab` is deprecated. Use `features.multi_agent` instead.",
        "`experimental_use_unified_exec_tool` is deprecated. Use `features.unified_exec` instead.",
    ]
    assert notices[0]["details"] == "Write the value as `features.multi_agent` in config.toml."
