"""Settings of a trusted project that run or loosen something: they count only if approved and unchanged."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spindle.storage.config import Config, ConfigError, ConfigLoader
from spindle.storage.config.approvals import Approvals
from spindle.storage.config.editing import edit, set_values
from spindle.storage.config.hooks import HookConfig, hook_config, notify_program
from spindle.storage.config.project import NEVER, STEERING
from spindle.storage.config.trusting import approve, proposals
from spindle.storage.home import Home

SERVER = '[mcp_servers.s]\ncommand = "sh"\nargs = ["./serve.sh"]\n'
CHECK = 'sh "$(git rev-parse --show-toplevel)"/.codex/check.sh'
HOOK = {"hooks": {"Stop": [{"hooks": [{"type": "command", "command": CHECK}]}]}}


class Project:
    """A project that its home trusts."""

    def __init__(self, folder: Path) -> None:
        self.home, self.path = Home(folder / "home"), folder / "project"
        self.codex = self.path / ".codex"
        self.config_file, self.hooks_file = self.codex / "config.toml", self.codex / "hooks.json"
        self.home.path.mkdir()
        (self.path / ".git").mkdir(parents=True)
        self.codex.mkdir()
        self.home.config_file.write_text(f'model = "user"\n[projects."{self.path}"]\ntrust_level = "trusted"\n')
        (self.path / "serve.sh").write_text("serve\n")
        (self.codex / "check.sh").write_text("check\n")
        self.hooks_file.write_text(json.dumps(HOOK, indent=1))

    @property
    def loader(self) -> ConfigLoader:
        return ConfigLoader(self.home, system_file=self.home.path / "none/config.toml")

    def load(self, text: str | None = None) -> Config:
        if text is not None:
            self.config_file.write_text(text)
        return self.loader.load(self.path)

    def hooks(self) -> HookConfig:
        return hook_config(self.load())

    def approve(self) -> None:
        approve(self.loader, proposals(self.loader, self.path))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def noted(config: Config) -> list[str]:
    return [f"{note.where}: {note.text}" for note in config.notes]


def test_settings_that_steer_the_model_need_no_approval(project: Project) -> None:
    config = project.load('model = "theirs"\ndeveloper_instructions = "Be brief."\nmodel_verbosity = "low"\n')
    assert (config.model, config.developer_instructions, config.model_verbosity) == ("theirs", "Be brief.", "low")
    assert config.notes == []


def test_a_note_names_the_current_line(project: Project) -> None:
    loader = project.loader
    for start in ("", "# a line more\n"):
        project.config_file.write_text(f'{start}sandbox_mode = "read-only"\n')
        [note] = loader.load(project.path).notes
        assert (note.path, note.place) == (project.config_file, (start.count("\n") + 1, 1))


GATED: dict[str, tuple[str, Callable[[Config], object], object]] = {
    "sandbox_mode": ('sandbox_mode = "danger-full-access"', lambda config: config.sandbox_mode, "danger-full-access"),
    "approval_policy": ('approval_policy = "never"', lambda config: config.approval_policy, "never"),
    "sandbox_workspace_write": (
        "[sandbox_workspace_write]\nnetwork_access = true",
        lambda config: config.sandbox_workspace_write.network_access,
        True,
    ),
    "default_permissions": (
        'default_permissions = "p"\n[permissions.p.filesystem]\n"/" = "write"',
        lambda config: config.permission_profile is not None,
        True,
    ),
    "shell_environment_policy": (
        '[shell_environment_policy.set]\nPATH = "/evil"',
        lambda config: config.table("shell_environment_policy"),
        {"set": {"PATH": "/evil"}},
    ),
    "mcp_servers.s": (SERVER, lambda config: list(config.mcp_servers()), ["s"]),
    "agents.r": ('[agents.r]\nconfig_file = "r.toml"', lambda config: list(config.table("agents")), ["r"]),
    "features": ("[features]\nshell_tool = false", lambda config: config.features("shell_tool", True), False),
    "allow_login_shell": ("allow_login_shell = false", lambda config: config.allow_login_shell, False),
    "web_search": ('web_search = "live"', lambda config: config.web_search, "live"),
    "model_instructions_file": ('model_instructions_file = "check.sh"', lambda config: config.instructions, "check"),
    "project_doc_fallback_filenames": (
        'project_doc_fallback_filenames = ["../secret"]',
        lambda config: config.project_doc_fallback_filenames,
        ("../secret",),
    ),
}


@pytest.mark.parametrize("name", GATED)
def test_settings_that_run_or_loosen_something_need_an_approval(project: Project, name: str) -> None:
    text, value, said = GATED[name]
    (project.codex / "r.toml").write_text("")
    before = project.load("")
    config = project.load("\n" + text)
    assert value(config) == value(before) != said
    wanted = f"{project.config_file}:2: `{name}` of a project is not approved and has no effect: `spindle trust {project.path}`"
    assert any(line.startswith(wanted) for line in noted(config))
    project.approve()
    config = project.load()
    assert (value(config), config.notes) == (said, [])


def test_a_changed_setting_is_ignored_and_the_others_count(project: Project) -> None:
    project.load(SERVER + '[mcp_servers.t]\ncommand = "t"\n')
    project.approve()
    assert list(project.load().mcp_servers()) == ["s", "t"]
    config = project.load("# pulled\n" + SERVER + '[mcp_servers.t]\ncommand = "u"\n')
    assert list(config.mcp_servers()) == ["s"]
    [said] = noted(config)
    assert said.startswith(f"{project.config_file}:5: `mcp_servers.t` of a project has changed since it was approved")
    project.approve()
    assert list(project.load().mcp_servers()) == ["s", "t"]


def test_revoked_approvals_are_removed(project: Project) -> None:
    project.load('sandbox_mode = "workspace-write"\n')
    project.approve()
    project.load("")
    project.approve()
    assert project.load('sandbox_mode = "workspace-write"\n').sandbox_mode is None


def test_a_file_that_a_server_names_is_a_part_of_it(project: Project) -> None:
    project.load(SERVER)
    project.approve()
    [server] = project.load().mcp_servers().values()
    assert server.pinned is not None
    assert server.pinned.changed() is None
    (project.path / "serve.sh").write_text("another\n")
    assert server.pinned.changed() == f"{project.path}/serve.sh has changed since it was approved"
    config = project.load()
    assert config.mcp_servers() == {}
    [said] = noted(config)
    assert f"names a file that is not as approved ({project.path}/serve.sh has changed since" in said


def test_the_page_says_which_keys_count() -> None:
    page = (Path(__file__).parents[2] / "docs/config.md").read_text(encoding="utf-8")
    rows = page.partition("## What a project may set")[2].partition("| --- |")[2].splitlines()[1:3]
    assert [frozenset(re.findall("`([a-z_]+)`", row.split("|")[1])) for row in rows] == [STEERING, NEVER]


def test_a_project_cannot_set_providers_and_notifications(project: Project) -> None:
    values = {
        "model_providers": "{evil = {base_url = 'http://evil/v1'}}",
        "profiles": "{p = {model = 'evil'}}",
        "otel": "{a = 1}",
        "notify": "['evil']",
    }
    keys = sorted(NEVER)
    project.load("\n".join(f"{key} = {values.get(key, '1')}" for key in keys))
    project.approve()
    config = project.load()
    assert not NEVER & set(config.merged)
    assert notify_program(config) == ()
    said = [f"`{key}` has no effect in a project; it counts in the user's config.toml alone." for key in keys]
    assert [note.text for note in config.notes] == said


@pytest.mark.parametrize("change", ["the command", "the file", "the timeout"])
def test_a_hook_runs_only_as_approved(project: Project, change: str) -> None:
    hooks = project.hooks()
    assert (hooks.handlers, [hook.trust for hook in hooks.listed]) == ([], ["untrusted"])
    [note] = hooks.notes
    assert note.where == f"{project.hooks_file}:8"
    assert note.text.startswith("The hook `Stop` of a project is not approved and does not run: `spindle trust ")
    project.approve()
    assert (len(project.hooks().handlers), project.hooks().notes) == (1, ())
    match change:
        case "the command":
            project.hooks_file.write_text(json.dumps(HOOK).replace("check.sh", "check.sh; evil"))
        case "the timeout":
            project.hooks_file.write_text(json.dumps(HOOK).replace('"type"', '"timeout": 5, "type"'))
        case _:
            (project.codex / "check.sh").write_text("evil\n")
    hooks = project.hooks()
    assert (hooks.handlers, [hook.trust for hook in hooks.listed]) == ([], ["modified"])
    [note] = hooks.notes
    assert ("has changed since it was approved" if change != "the file" else f"({project.codex}/check.sh has") in note.text
    project.approve()
    assert len(project.hooks().handlers) == 1


def test_a_hook_may_name_a_file_of_its_working_directory(project: Project) -> None:
    sub = project.path / "sub"
    sub.mkdir()
    (sub / "serve.sh").write_text("in sub")
    project.hooks_file.write_text(json.dumps(HOOK).replace("check.sh", "check.sh; ./serve.sh"))
    for folder, reason in ((project.path, f"{sub}/serve.sh is not approved"), (sub, None)):
        approve(project.loader, proposals(project.loader, folder))
        [hook] = project.hooks().handlers
        assert hook.pinned is not None
        assert hook.pinned.changed(sub) == reason


def test_a_hook_in_a_table_is_approved_too(project: Project) -> None:
    project.hooks_file.unlink()
    text = "[[hooks.Stop]]\n[[hooks.Stop.hooks]]\ntype = 'command'\ncommand = \"evil\"\n"
    assert hook_config(project.load(text)).handlers == []
    [note] = project.hooks().notes
    assert (note.path, note.place) == (project.config_file, (4, 11))
    project.approve()
    assert [hook.command for hook in project.hooks().handlers] == ["evil"]


def test_files_of_a_hook_approved_by_codex_are_those_first_found(project: Project) -> None:
    [hook] = project.hooks().listed
    set_values(project.home.config_file, {("hooks", "state", hook.key, "trusted_hash"): hook.hash})
    server = project.loader

    def found() -> HookConfig:
        return hook_config(server.load(project.path))

    [hook] = found().handlers
    assert hook.pinned is not None
    assert hook.pinned.changed(project.path) is None
    (project.codex / "check.sh").write_text("evil\n")
    assert hook.pinned.changed(project.path) == f"{project.codex}/check.sh has changed since it was approved"
    assert found().handlers == []
    assert len(project.hooks().handlers) == 1  # another server; Codex would run it too
    project.approve()
    assert len(found().handlers) == 1


def test_codex_may_approve_a_changed_hook(project: Project) -> None:
    project.approve()
    project.hooks_file.write_text(json.dumps(HOOK).replace("check.sh", "check.sh again"))
    [hook] = project.hooks().listed
    set_values(project.home.config_file, {("hooks", "state", hook.key, "trusted_hash"): hook.hash})
    assert len(project.hooks().handlers) == 1


def test_a_project_cannot_approve_itself(project: Project) -> None:
    [hook] = project.hooks().listed
    assert hook_config(project.load(f'[hooks.state."{hook.key}"]\ntrusted_hash = "{hook.hash}"\n')).handlers == []


@pytest.mark.parametrize("source", ["user", "project"])
def test_a_single_hook_can_be_disabled(project: Project, source: str) -> None:
    (project.home.path / "hooks.json").write_text(json.dumps(HOOK))
    project.approve()
    [off] = [hook for hook in project.hooks().handlers if hook.source == source]

    def change(document: Any) -> None:
        document.setdefault("hooks", {}).setdefault("state", {}).setdefault(off.key, {})["enabled"] = False

    edit(project.home.config_file, change)
    hooks = project.hooks()
    assert source not in [hook.source for hook in hooks.handlers]
    assert [(hook.enabled, hook.trust) for hook in hooks.listed if hook.key == off.key] == [(False, "trusted")]
    assert (hooks.warnings, hooks.notes) == ((), ())  # a table of states is not a second file of hooks


def test_a_hook_with_an_unreadable_state_does_not_run(project: Project) -> None:
    (project.home.path / "hooks.json").write_text(json.dumps(HOOK))
    [hook] = project.hooks().handlers
    set_values(project.home.config_file, {("hooks", "state", hook.key, "enabled"): "no"})
    hooks = project.hooks()
    assert hooks.handlers == []
    assert f"failed to parse what hooks.state says of {hook.key}, which is not run: " in hooks.warnings[0]
    text = project.home.config_file.read_text().partition("[hooks")[0]
    project.home.config_file.write_text(f"{text}[hooks]\nstate = 1\n")
    said = f"failed to parse hooks.state in {project.home.config_file}: invalid type, expected a table"
    assert project.hooks().warnings == (said,)


# Measured on Codex 0.171: event, matcher, members of the hook, what hooks/list calls its `currentHash`.
HASHES = [
    ("PreToolUse", "", {"command": "p"}, "cc951309cdf65eb7bc2f8b24cbaf98fe822222d4be2fb79d6a77297d3178bab7"),
    (
        "PreToolUse",
        "",
        {"command": "p2", "additionalContextLimit": 5},
        "d7cf48366767024f7c1665e3e44bd8a02a39a181d1c6d9cd7d6c5a16516d928f",
    ),
    (
        "PreToolUse",
        "",
        {"command": "p3", "commandWindows": "w"},
        "88c4018dd2c28f719f6d5f33f724d02a246b71d8df3495809a07ddc8428f6fd1",
    ),
    (
        "PreToolUse",
        "Bash",
        {"command": "true", "timeout": 30, "statusMessage": "x"},
        "edf11b4c23dc24c1e79df9efd60561b1b3f3ccec8c1b05b932eddd608ee060b7",
    ),
    ("PreToolUse", "*", {"command": "q", "timeout": 7}, "c51597d673dd839fa25bb5aedbd986e50c75dd8b3e2083e55508efbe768a62bd"),
    ("SessionStart", "startup", {"command": "s"}, "b4f53e8e2169352a7e8ebb890660f5d7c55e8f53e26f66a987f78a19c4701f64"),
    ("UserPromptSubmit", "zzz", {"command": "a"}, "aed49e880e6f0f325bf01279b70ae96881385dd833b37dc1c840c5c6f0137787"),
    (
        "UserPromptSubmit",
        "",
        {"command": 'b é \u2028 \x7f \x01 \n "q" \\ /'},
        "d42936ff2f8b35b458244dc8878d3714d0214d5fef42b83f95ed1f9516e4e1b6",
    ),
    (
        "Stop",
        "",
        {"command": "c", "timeout": 0, "statusMessage": ""},
        "44c2bc5d0e42a5874ccc2aa2df75507194931d921dbe8a3f477498bb1310ae5e",
    ),
]


@pytest.mark.parametrize(("event", "matcher", "members", "digits"), HASHES)
def test_hashes_are_those_of_codex(project: Project, event: str, matcher: str, members: dict[str, Any], digits: str) -> None:
    group = {"matcher": matcher, "hooks": [{"type": "command", **members}]}
    project.hooks_file.write_text(json.dumps({"hooks": {event: [group]}}))
    assert [hook.hash for hook in project.hooks().listed] == [f"sha256:{digits}"]


ROLE = '[agents.r]\ndescription = "d"\nconfig_file = "r.toml"\n'


def test_the_file_of_a_role_counts_only_as_approved(project: Project) -> None:
    role = project.codex / "r.toml"
    role.write_text('sandbox_mode = "workspace-write"\n')
    project.load(ROLE)
    project.approve()
    config = project.load()
    over, own = project.loader.overlay(config, "r.toml")
    assert (over.sandbox_mode, own) == ("workspace-write", {"sandbox_mode": "workspace-write"})
    role.write_text('sandbox_mode = "danger-full-access"\n')
    with pytest.raises(ConfigError, match=r"r\.toml: this file of a project is not as it was approved"):
        project.loader.overlay(config, "r.toml")


@pytest.mark.parametrize("key", ["model_provider", "notify", "mcp_servers", "agents"])
def test_the_file_of_a_projects_role_adds_no_programs_and_no_provider(project: Project, key: str) -> None:
    (project.codex / "r.toml").write_text(f"{key} = {{}}\n")
    project.load(ROLE)
    project.approve()
    with pytest.raises(ConfigError, match=f"`{key}` has no place in the file of a project's role"):
        project.loader.overlay(project.load(), "r.toml")


def test_the_file_of_a_projects_role_must_be_in_the_project(project: Project) -> None:
    outside = project.home.path / "r.toml"
    outside.write_text("")
    project.load(ROLE.replace("r.toml", str(outside)))
    project.approve()
    with pytest.raises(ConfigError, match="is not as it was approved"):
        project.loader.overlay(project.load(), str(outside))


def test_a_link_to_the_home_is_not_a_projects_folder(project: Project) -> None:
    for file in project.codex.iterdir():
        file.unlink()
    project.codex.rmdir()
    project.codex.symlink_to(project.home.path)
    assert [layer.source["type"] for layer in project.load().layers] == ["user", "system"]


def test_settings_of_a_linked_folder_are_approved_by_the_projects_path(project: Project, tmp_path: Path) -> None:
    os.rename(project.codex, tmp_path / "elsewhere")
    project.codex.symlink_to(tmp_path / "elsewhere")
    project.load('sandbox_mode = "workspace-write"\n')
    project.approve()
    assert project.load().sandbox_mode == "workspace-write"
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.toml").write_text('sandbox_mode = "danger-full-access"\n')
    project.codex.unlink()
    project.codex.symlink_to(other)
    assert project.load().sandbox_mode is None


def test_invalid_approvals_are_ignored_and_replaced(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    project.load('sandbox_mode = "workspace-write"\n')
    project.approve()
    file = Approvals(project.home).path
    file.write_text('{"approved": {"x": 1}}')
    assert project.load().sandbox_mode is None
    assert str(file) in caplog.text
    project.approve()
    assert project.load().sandbox_mode == "workspace-write"


def test_approvals_of_other_projects_are_kept(project: Project, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    second = Project(tmp_path / "second")
    second.home = project.home
    for each in (project, second):
        each.load('sandbox_mode = "workspace-write"\n')
        each.approve()
    assert [each.load().sandbox_mode for each in (project, second)] == ["workspace-write"] * 2


def test_one_approval_of_many_files_is_bounded(project: Project) -> None:
    words = " ".join(f"w{i}" for i in range(2000))
    project.load(f'[mcp_servers.s]\ncommand = "{words}"\n')
    project.approve()
    assert project.load().mcp_servers() == {}
