"""`hooks.json` and `[hooks]`: the hooks, their order, and the warnings about those that cannot run."""

import json
from pathlib import Path
from typing import Any

import pytest

from spindle.storage.config import ConfigLoader, parse_override
from spindle.storage.config.hooks import HookConfig, HookHandler, hook_config, notify_program
from spindle.storage.config.trusting import approve, proposals
from spindle.storage.home import Home

TABLES = """
[[hooks.Stop]]
[[hooks.Stop.hooks]]
type = "command"
command = "from a table"
timeout = 5
statusMessage = "Checking"
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "home").mkdir()
    return Home(tmp_path / "home")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project" / ".git").mkdir(parents=True)
    return tmp_path / "project"


def load(home: Home, cwd: Path | None = None, *overrides: str) -> HookConfig:
    return hook_config(loader(home, *overrides).load(cwd))


def loader(home: Home, *overrides: str) -> ConfigLoader:
    return ConfigLoader(home, [parse_override(word) for word in overrides], system_file=home.path / "system" / "none")


def put(folder: Path, **events: Any) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "hooks.json").write_text(json.dumps({"hooks": events}))


def command(text: str, **more: Any) -> dict[str, Any]:
    return {"hooks": [{"type": "command", "command": text, **more}]}


def commands(hooks: HookConfig) -> list[tuple[str, str]]:
    return [(hook.event, hook.command) for hook in hooks.handlers]


def test_without_files_there_are_none(home: Home) -> None:
    assert load(home) == HookConfig()


def test_a_file_is_read_event_by_event_in_a_fixed_order(home: Home) -> None:
    put(home.path, Stop=[command("last")], PreToolUse=[command("first", timeout=7), command("second", timeout=0)])
    hooks = load(home)
    assert commands(hooks) == [("preToolUse", "first"), ("preToolUse", "second"), ("stop", "last")]
    assert [hook.order for hook in hooks.handlers] == [0, 1, 2]
    assert [hook.timeout for hook in hooks.handlers] == [7, 1, 600]
    assert hooks.handlers[1].key == f"{home.path}/hooks.json:pre_tool_use:1:0"
    assert {(hook.source, hook.path) for hook in hooks.handlers} == {("user", f"{home.path}/hooks.json")}


def test_tables_have_the_same_form_and_both_count(home: Home) -> None:
    home.config_file.write_text(TABLES)
    [hook] = load(home).handlers
    assert (hook.command, hook.timeout, hook.status_message) == ("from a table", 5, "Checking")
    assert hook.path == str(home.config_file)
    put(home.path, Stop=[command("from the file")])
    hooks = load(home)
    assert [text for _, text in commands(hooks)] == ["from the file", "from a table"]
    [warning] = hooks.warnings
    assert warning == (
        f"loading hooks from both {home.path}/hooks.json and {home.config_file}; "
        "prefer a single representation for this layer"
    )


def test_all_layers_count_the_weakest_first(home: Home, project: Path) -> None:
    inner = project / "inner"
    inner.mkdir()
    put(home.path, Stop=[command("user")])
    put(project / ".codex", Stop=[command("project")])
    put(inner / ".codex", Stop=[command("inner")])
    home.config_file.write_text(f'[projects."{inner}"]\ntrust_level = "trusted"\n')
    approve(loader(home), proposals(loader(home), inner))
    (home.path / "system").mkdir()
    put(home.path / "system", Stop=[command("system")])
    flag = 'hooks={Stop = [{hooks = [{type = "command", command = "flag"}]}]}'
    hooks = load(home, inner, flag)
    assert [(hook.command, hook.source) for hook in hooks.handlers] == [
        ("system", "system"),
        ("user", "user"),
        ("project", "project"),
        ("inner", "project"),
        ("flag", "sessionFlags"),
    ]
    assert hooks.handlers[-1].path == "/<session-flags>/config.toml"


def test_a_project_that_is_not_trusted_has_none(home: Home, project: Path) -> None:
    put(project / ".codex", Stop=[command("theirs")])
    assert load(home, project) == HookConfig()


@pytest.mark.parametrize("feature", ["codex_hooks", "hooks"])
def test_hooks_can_be_disabled(home: Home, feature: str) -> None:
    put(home.path, Stop=[command("x")])
    assert load(home, None, f"features.{feature}=false") == HookConfig()
    assert load(home, None, f"features.{feature}=true").handlers


@pytest.mark.parametrize(
    ("group", "warning"),
    [
        (
            {"hooks": [{"type": "prompt", "prompt": "x"}]},
            "skipping prompt hook in {}: prompt hooks are not supported yet",
        ),
        ({"hooks": [{"type": "agent"}]}, "skipping agent hook in {}: agent hooks are not supported yet"),
        (command("x", **{"async": True}), "skipping async hook in {}: async hooks are not supported yet"),
        (command("  "), "skipping empty hook command in {}"),
        ({"matcher": "[", **command("x")}, 'invalid matcher "[" in {}: unterminated character set at position 0'),
    ],
)
def test_hooks_that_cannot_run_give_warnings_and_the_others_run(home: Home, group: Any, warning: str) -> None:
    put(home.path, PreToolUse=[group, command("runs")])
    hooks = load(home)
    assert commands(hooks) == [("preToolUse", "runs")]
    assert list(hooks.warnings) == [warning.format(f"{home.path}/hooks.json")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "unexpected end of data"),
        ('{"hooks": {"Stop": [{"hooks": [{"type": "http"}]}]}}', "unknown variant `http`"),
        ('{"hooks": {"Stop": [{"hooks": [{"command": "x"}]}]}}', "missing field `type`"),
        ('{"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "x", "timeout": "1"}]}]}}', "invalid type"),
        ('{"hooks": {"Stop": {}}}', "invalid type"),
        ("[]", "invalid type"),
    ],
)
def test_a_file_with_a_fault_has_no_hooks(home: Home, text: str, reason: str) -> None:
    (home.path / "hooks.json").write_text(text)
    hooks = load(home)
    assert not hooks.handlers
    [warning] = hooks.warnings
    assert warning.startswith(f"failed to parse hooks config {home.path}/hooks.json: ")
    assert reason in warning


def test_faults_in_tables_do_not_affect_other_settings(home: Home) -> None:
    home.config_file.write_text('[hooks]\nStop = "x"\n')
    put(home.path, Stop=[command("runs")])
    hooks = load(home)
    assert commands(hooks) == [("stop", "runs")]
    assert f"failed to parse TOML hooks in {home.config_file}: " in hooks.warnings[1]


@pytest.mark.parametrize("text", ["{}", '{"hooks": {}, "more": 1}', '{"hooks": {"Later": [1]}}'])
def test_members_of_other_versions_are_ignored(home: Home, text: str) -> None:
    (home.path / "hooks.json").write_text(text)
    assert load(home) == HookConfig()


PATCH = ("apply_patch", "Write", "Edit")


@pytest.mark.parametrize(
    ("matcher", "names", "matches"),
    [
        (None, ("Bash",), True),
        ("", ("Bash",), True),
        ("*", ("Bash",), True),
        ("Bash", ("Bash",), True),
        ("bash", ("Bash",), False),
        ("Ba", ("Bash",), False),
        ("Bash|Edit", ("Bash",), True),
        ("Edit|Write", ("Bash",), False),
        ("^Ba", ("Bash",), True),
        ("B.s", ("Bash",), True),
        ("(?i)bash", ("Bash",), True),
        (" Bash ", ("Bash",), False),
        ("Bash,Edit", ("Bash",), False),
        ("Edit", PATCH, True),
        ("apply", PATCH, False),
        ("MultiEdit", PATCH, False),
        ("mcp__.*", ("mcp__server__tool",), True),
        ("mcp__", ("mcp__server__tool",), False),
        ("startup|resume", ("resume",), True),
    ],
)
def test_matchers(matcher: str | None, names: tuple[str, ...], matches: bool) -> None:
    hook = HookHandler(event="preToolUse", command="x", matcher=matcher, path="/p", source="user", order=0, key="k", hash="")
    assert hook.matches(*names) is matches


def test_some_events_have_no_matcher(home: Home) -> None:
    put(home.path, Stop=[{"matcher": "[", **command("x")}], UserPromptSubmit=[{"matcher": "y", **command("x")}])
    hooks = load(home)
    assert [hook.matcher for hook in hooks.handlers] == [None, None]
    assert not hooks.warnings


def test_the_notify_program(home: Home) -> None:
    home.config_file.write_text('notify = ["program", "--loud"]\n')
    loader = ConfigLoader(home, system_file=home.path / "none")
    assert notify_program(loader.load()) == ("program", "--loud")
    home.config_file.write_text("")
    assert notify_program(loader.load()) == ()
