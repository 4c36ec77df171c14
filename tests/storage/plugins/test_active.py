"""The plugins in effect: what config.toml enables, and what they bring."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from spindle.storage.config import Config, ConfigError, ConfigLoader
from spindle.storage.config.hooks import HookHandler, hook_config
from spindle.storage.config.mcp_servers import approve_tool
from spindle.storage.config.trusting import approve, proposals
from spindle.storage.home import Home
from spindle.storage.plugins.cache import PluginCache
from spindle.storage.plugins.plugin_ids import PluginId
from spindle.storage.skills import find_skills

from .made import plugin, write

ALPHA = PluginId("alpha", "mk")
ON = '[plugins."alpha@mk"]\nenabled = true\n'


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "home").mkdir()
    home = Home(tmp_path / "home")
    PluginCache(home).install(ALPHA, plugin(tmp_path, "alpha"))
    return home


@pytest.fixture
def load(home: Home) -> Callable[..., Config]:
    loader = ConfigLoader(home, system_file=home.path / "system.toml")

    def load(text: str = ON, cwd: Path | None = None) -> Config:
        home.config_file.write_text(text)
        return loader.load(cwd)

    return load


def hooks(config: Config) -> list[HookHandler]:
    return [one for one in hook_config(config).listed if one.source == "plugin"]


def test_an_enabled_plugin_brings_its_parts(home: Home, load: Callable[..., Config]) -> None:
    config = load()
    root = home.path / "plugins/cache/mk/alpha/1.2.3"
    [server] = config.mcp_servers().values()
    assert (server.name, server.command, server.cwd, server.plugin_id) == ("alpha-server", "server", str(root), "alpha@mk")
    [hook] = hooks(config)
    assert (hook.key, hook.path, hook.trust) == (
        "alpha@mk:hooks/hooks.json:stop:0:0", str(root / "hooks/hooks.json"), "untrusted",
    )  # fmt: skip
    [skill] = find_skills(home, home.path, (), config.plugins).skills
    assert (skill.name, skill.plugin_id, skill.scope) == ("alpha:doit", "alpha@mk", "user")


@pytest.mark.parametrize(
    "text",
    [
        "",
        '[plugins."alpha@mk"]\nenabled = false\n',
        '[plugins."alpha@mk"]\n',
        '[plugins."alpha@other"]\nenabled = true\n',
        '[plugins."../mk/alpha@mk"]\nenabled = true\n',
        f"{ON}[features]\nplugins = false\n",
    ],
)
def test_any_other_plugin_brings_nothing(load: Callable[..., Config], text: str) -> None:
    config = load(text)
    assert (list(config.plugins), config.mcp_servers(), hooks(config)) == ([], {}, [])


def test_a_project_enables_no_plugin(home: Home, tmp_path: Path) -> None:
    project = tmp_path / "project"
    write(project / ".codex/config.toml", "")
    (project / ".codex/config.toml").write_text(ON)
    loader = ConfigLoader(home, system_file=home.path / "system.toml")
    home.config_file.write_text("")
    approve(loader, proposals(loader, project))
    config = loader.load(project)
    assert config.trust == "trusted"
    assert list(config.plugins) == []
    assert list(loader.load(project, [("plugins", {"alpha@mk": {"enabled": True}})]).plugins) != []


def test_the_users_own_server_has_precedence_and_a_policy_limits_the_plugins(load: Callable[..., Config]) -> None:
    own = load(f'{ON}[mcp_servers.alpha-server]\ncommand = "mine"\n').mcp_servers()["alpha-server"]
    assert (own.command, own.plugin_id) == ("mine", None)
    policy = f'{ON}[plugins."alpha@mk".mcp_servers.alpha-server]\n'
    limited = load(f'{policy}enabled_tools = ["a"]\ncommand = "other"\n').mcp_servers()["alpha-server"]
    assert (limited.enabled, limited.enabled_tools, limited.command) == (True, ("a",), "server")
    assert load(f"{policy}enabled = false\n").mcp_servers()["alpha-server"].enabled is False
    broken = load(f'{policy}disabled_tools = "all"\n')
    assert broken.mcp_servers()["alpha-server"].enabled is False
    assert any("disabled_tools" in warning for warning in hook_config(broken).warnings)


def test_commands_do_not_get_the_keys_of_a_plugins_server(
    home: Home, tmp_path: Path, load: Callable[..., Config]
) -> None:
    server = {"url": "https://example.test/", "bearer_token_env_var": "TOKEN", "env_http_headers": {"x-key": "KEY"}}
    PluginCache(home).install(ALPHA, plugin(tmp_path / "new", "alpha", mcpServers={"web": server}))
    assert {"TOKEN", "KEY"} <= load().key_variables


def test_an_approval_of_a_tool_is_kept_with_its_plugin(home: Home, load: Callable[..., Config]) -> None:
    load()
    approve_tool(home.config_file, "alpha-server", "write", "alpha@mk")
    server = load(home.config_file.read_text()).mcp_servers()["alpha-server"]
    assert (server.approval_mode("write"), server.approval_mode("other")) == ("approve", "auto")
    with pytest.raises(ConfigError, match="plugin `beta@mk` is not configured here"):
        approve_tool(home.config_file, "alpha-server", "write", "beta@mk")


def test_a_hook_runs_only_with_the_approved_content(home: Home, load: Callable[..., Config]) -> None:
    [hook] = hooks(load())
    approved = f'{ON}[hooks.state."{hook.key}"]\ntrusted_hash = "{hook.hash}"\n'
    [hook] = hooks(load(approved))
    assert (hook.trust, hook.runs) == ("trusted", True)
    own, content = hook.hash.split("/")
    apart = f'{ON}[hooks.state."{hook.key}"]\ntrusted_hash = "{own}"\n'
    assert hooks(load(apart))[0].trust == "modified"
    assert hooks(load(f'{apart}trusted_content_hash = "{content}"\n'))[0].trust == "trusted"
    assert hooks(load(f'{apart}trusted_content_hash = "{content}0"\n'))[0].trust == "modified"
    assert hook.pinned is not None
    assert hook.pinned.changed() is None
    (home.path / "plugins/cache/mk/alpha/1.2.3/skills/doit/script.sh").write_text("other")
    assert hook.pinned.changed() == "plugin contents changed; hook approval required"
    [hook] = hooks(load(approved))
    assert (hook.trust, hook.runs) == ("modified", False)


def test_a_command_names_the_plugins_folders(home: Home, tmp_path: Path, load: Callable[..., Config]) -> None:
    source = plugin(tmp_path / "new", "alpha")
    command = "${CLAUDE_PLUGIN_ROOT}/a ${PLUGIN_ROOT}/b ${PLUGIN_DATA} $PLUGIN_ROOT"
    write(source / "hooks/hooks.json", {"hooks": {"Stop": [{"hooks": [{"type": "command", "command": command}]}]}})
    PluginCache(home).install(ALPHA, source)
    [hook] = hooks(load())
    root, data = home.path / "plugins/cache/mk/alpha/1.2.3", home.path / "plugins/data/alpha-mk"
    assert hook.command == f"{root}/a {root}/b {data} $PLUGIN_ROOT"
    assert hook.environment["CLAUDE_PLUGIN_DATA"] == hook.environment["PLUGIN_DATA"] == str(data)


@pytest.mark.parametrize(
    ("members", "skills", "servers", "keys"),
    [
        ({"skills": "./more"}, ["alpha:doit", "alpha:more"], ["alpha-server"], ["hooks/hooks.json"]),
        ({"skills": "../out"}, ["alpha:doit"], ["alpha-server"], ["hooks/hooks.json"]),
        (
            {"mcpServers": {"inline": {"url": "http://127.0.0.1/", "type": "http"}}},
            ["alpha:doit"], ["inline"], ["hooks/hooks.json"],
        ),
        ({"mcpServers": {"bad": {"type": "carrier"}}}, ["alpha:doit"], [], ["hooks/hooks.json"]),
        ({"mcpServers": "../x.json", "hooks": "/etc/x"}, ["alpha:doit"], [], []),
        (
            {"hooks": {"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "x"}]}]}}},
            ["alpha:doit"], ["alpha-server"], ["plugin.json#hooks[0]"],
        ),
    ],
)  # fmt: skip
def test_a_manifest_names_parts_only_in_the_plugin(
    home: Home,
    tmp_path: Path,
    load: Callable[..., Config],
    members: dict[str, object],
    skills: list[str],
    servers: list[str],
    keys: list[str],
) -> None:
    source = plugin(tmp_path / "new", "alpha", **members)
    (source / "more/more").mkdir(parents=True)
    (source / "more/more/SKILL.md").write_text("---\nname: more\ndescription: m\n---\n")
    PluginCache(home).install(ALPHA, source)
    config = load()
    assert [skill.name for skill in find_skills(home, home.path, (), config.plugins).skills] == skills
    assert list(config.mcp_servers()) == servers
    assert [hook.key for hook in hooks(config)] == [f"alpha@mk:{key}:stop:0:0" for key in keys]


def test_skills_that_are_a_link_out_of_the_plugin_are_not_searched(
    home: Home, tmp_path: Path, load: Callable[..., Config]
) -> None:
    root = home.path / "plugins/cache/mk/alpha/1.2.3"
    (root / "skills").rename(tmp_path / "skills")
    (root / "skills").symlink_to(tmp_path / "skills")
    assert [one.skill_roots for one in load().plugins] == [[]]


def test_a_link_that_was_put_into_the_cache_is_not_followed(home: Home, tmp_path: Path, load: Callable[..., Config]) -> None:
    root = home.path / "plugins/cache/mk/alpha/1.2.3"
    (tmp_path / "SKILL.md").write_text("---\nname: out\ndescription: d\n---\n")
    (root / "skills/out").symlink_to(tmp_path)
    (tmp_path / "mcp.json").write_text(json.dumps({"mcpServers": {"out": {"command": "x"}}}))
    (root / ".mcp.json").unlink()
    (root / ".mcp.json").symlink_to(tmp_path / "mcp.json")
    config = load()
    assert [one.skill_roots for one in config.plugins] == [[root / "skills"]]
    assert [skill.name for skill in find_skills(home, home.path, (), config.plugins).skills] == ["alpha:doit"]
    assert config.mcp_servers() == {}
