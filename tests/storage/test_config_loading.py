"""Settings: files, layers, projects, profiles, overrides, and their errors."""

from pathlib import Path
from typing import Any

import pytest

from spindle.storage.config import Config, ConfigError, ConfigLoader, WorkspaceWrite, parse_override
from spindle.storage.config.providers import providers
from spindle.storage.config.trusting import approve, proposals
from spindle.storage.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    path = tmp_path / "home"
    path.mkdir()
    return Home(path)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    path = tmp_path / "project"
    (path / ".git").mkdir(parents=True)
    (path / ".codex").mkdir()
    (path / "sub" / "deep").mkdir(parents=True)
    return path


def loader(home: Home, text: str = "", *overrides: tuple[str, Any]) -> ConfigLoader:
    home.config_file.write_text(text)
    return ConfigLoader(home, overrides, system_file=home.path / "system.toml")


def load(home: Home, text: str = "", *overrides: tuple[str, Any], cwd: Path | None = None) -> Config:
    return loader(home, text, *overrides).load(cwd)


def failing(home: Home, text: str, *overrides: tuple[str, Any], cwd: Path | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(home, text, *overrides, cwd=cwd)
    return caught.value


def test_without_a_file_there_are_defaults(home: Home) -> None:
    config = ConfigLoader(home, system_file=home.path / "none").load()
    assert (config.model, config.model_provider, config.approval_policy, config.sandbox_mode) == (
        None,
        "openai",
        None,
        None,
    )
    assert (config.on_unsubscribe, config.durability, config.thread_unload_delay_secs) == ("finish", "turn", None)
    assert config.project_doc_max_bytes == 32768
    assert config.sandbox_workspace_write == WorkspaceWrite()
    assert config.raw == {}


def test_settings_of_the_file(home: Home) -> None:
    config = load(
        home,
        'model = "m"\nmodel_context_window = 9\nthread_unload_delay_secs = 0\nproject_doc_max_bytes = 0\n'
        '[sandbox_workspace_write]\nwritable_roots = ["/x"]\nnetwork_access = true\n[features]\nfast = false\n',
    )
    assert (config.model, config.model_context_window, config.thread_unload_delay_secs) == ("m", 9, 0)
    assert config.project_doc_max_bytes == 0
    assert config.sandbox_workspace_write == WorkspaceWrite(("/x",), network_access=True)
    assert config.features("fast", True) is False
    assert config.features("other", True) is True


def test_threads_share_the_settings_of_a_folder_until_a_file_changes(home: Home, tmp_path: Path) -> None:
    one = loader(home, 'model = "a"')
    first = one.load(tmp_path)
    assert one.load(tmp_path) is first
    assert one.load(home.path).cwd == home.path
    overridden = one.load(tmp_path, [("model", "b")])
    assert (overridden.raw["model"], one.load(tmp_path).raw["model"]) == ("b", "a")
    home.config_file.write_text('model = "long"')
    assert one.load(tmp_path).raw["model"] == "long"
    requirements = one.requirements_file
    requirements.write_text('allowed_sandbox_modes = ["read-only"]')
    assert one.load(tmp_path).requirements != first.requirements


def test_system_is_weakest_and_overrides_are_strongest(home: Home) -> None:
    (home.path / "system.toml").write_text('model = "s"\nreview_model = "s"\n[tools]\na = 1\nb = 1\n')
    loads = loader(home, 'model = "u"\n[tools]\nb = 2\n', ("tools.c", 3), ("model_verbosity", "low"))
    config = loads.load(None, [("model", "o"), ("model_verbosity", None)])
    assert config.raw["tools"] == {"a": 1, "b": 2, "c": 3}
    assert (config.model, config.raw["review_model"], config.model_verbosity) == ("o", "s", "low")
    assert [layer.source["type"] for layer in config.layers] == ["sessionFlags", "user", "system"]
    assert loads.load().model == "u"


def test_a_profile_is_stronger_than_the_file_and_weaker_than_overrides(home: Home) -> None:
    text = 'profile = "p"\nmodel = "top"\nmodel_verbosity = "low"\n[profiles.p]\nmodel = "profiled"\n'
    config = load(home, text)
    assert (config.model, config.model_verbosity, config.merged["model"]) == ("profiled", "low", "top")
    assert load(home, text, ("model", "flag")).model == "flag"
    assert str(failing(home, 'profile = "q"\n')) == "config profile `q` not found. There are no profiles."
    assert str(failing(home, text, ("profile", "q"))) == "config profile `q` not found. There are the profiles `p`."


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("model=m", ("model", "m")),
        ('model = "m" ', ("model", "m")),
        ("a.b=[1, 2]", ("a.b", [1, 2])),
        ("a=true", ("a", True)),
        ("a={b = 1}", ("a", {"b": 1})),
        ("a=x=y", ("a", "x=y")),
        ("a=", ("a", "")),
    ],
)
def test_overrides_are_toml_or_else_text(text: str, parsed: tuple[str, object]) -> None:
    assert parse_override(text) == parsed


@pytest.mark.parametrize("text", ["model", "=x", ""])
def test_overrides_need_key_and_value(text: str) -> None:
    with pytest.raises(ValueError, match="expected key=value"):
        parse_override(text)


# Projects


def trusting(folder: Path, level: str = "trusted") -> str:
    return f'model = "user"\n[projects."{folder}"]\ntrust_level = "{level}"\n'


def test_project_layers_closest_first(home: Home, project: Path) -> None:
    (project / ".codex/config.toml").write_text('model = "root"\nreview_model = "root"\n')
    (project / "sub/.codex").mkdir()
    (project / "sub/.codex/config.toml").write_text('model = "sub"\n')
    both = trusting(project) + f'[projects."{project / "sub"}"]\ntrust_level = "trusted"\n'
    config = load(home, both, cwd=project / "sub/deep")
    assert (config.model, config.raw["review_model"], config.trust) == ("sub", "root", "trusted")
    assert [layer.source.get("dotCodexFolder") for layer in config.layers[:2]] == [
        str(project / "sub/.codex"),
        str(project / ".codex"),
    ]
    assert load(home, trusting(project)).model == "user"


def test_below_a_projects_root_only_settings_that_steer_the_model_count(home: Home, project: Path) -> None:
    (project / ".codex/config.toml").write_text('model = "root"\n')
    (project / "sub/.codex").mkdir()
    (project / "sub/.codex/config.toml").write_text('model = "sub"\nsandbox_mode = "danger-full-access"\n')
    config = load(home, trusting(project), cwd=project / "sub/deep")
    assert (config.model, config.layers[0].config) == ("sub", {"model": "sub"})
    [note] = config.notes
    assert "`sandbox_mode` of a project lies below the project's root and has no effect" in note.text
    assert load(home, trusting(project / "sub", "untrusted") + trusting(project), cwd=project / "sub").model == "root"


@pytest.mark.parametrize("level", ["untrusted", None])
def test_projects_without_trust_are_shown_but_do_not_count(home: Home, project: Path, level: str | None) -> None:
    (project / ".codex/config.toml").write_text('model = "root"\n')
    config = load(home, trusting(project, level) if level else 'model = "user"\n', cwd=project)
    assert (config.model, config.trust) == ("user", level)
    assert config.layers[0].config == {"model": "root"}
    assert str(project) in (config.layers[0].disabled_reason or "")
    (project / ".codex/config.toml").write_text("[broken")
    assert load(home, 'model = "user"\n', cwd=project).layers[0].config == {}


def test_trusting_a_folder_does_not_trust_its_parents(home: Home, project: Path) -> None:
    (project / ".codex/config.toml").write_text('model = "root"\n')
    assert load(home, trusting(project / "sub"), cwd=project / "sub").model == "user"
    assert load(home, trusting(project.parent), cwd=project).model == "user"


def test_a_project_cannot_trust_itself(home: Home, project: Path) -> None:
    (project / ".codex/config.toml").write_text(trusting(project))
    assert load(home, 'model = "mine"\n', cwd=project).model == "mine"


def test_the_home_is_no_project_layer(tmp_path: Path) -> None:
    home = Home(tmp_path / ".codex")
    home.path.mkdir()
    config = load(home, trusting(tmp_path), cwd=tmp_path)
    assert [layer.source["type"] for layer in config.layers] == ["user", "system"]


# Providers

PROVIDER = 'model_provider = "mine"\n[model_providers.mine]\nname = "Mine"\nbase_url = "http://x/v1"\n'


def test_providers(home: Home) -> None:
    config = load(home, PROVIDER + 'request_max_retries = 0\nunheard_of = 1\nhttp_headers = { a = "b" }\n')
    assert set(config.providers()) == {"openai", "offline", "ollama", "lmstudio", "mine"}
    assert config.provider.name == "Mine"
    assert config.provider.base_url == "http://x/v1"
    assert (config.provider.request_max_retries, config.provider.stream_max_retries) == (0, 5)
    assert config.provider.http_headers == {"a": "b"}
    assert config.providers()["openai"].requires_openai_auth
    assert load(home, 'openai_base_url = "http://y"\n').provider.base_url == "http://y"


@pytest.mark.parametrize(
    ("environ", "ollama", "lmstudio"),
    [
        ({}, "http://localhost:11434/v1", "http://localhost:1234/v1"),
        ({"CODEX_OSS_PORT": "99"}, "http://localhost:99/v1", "http://localhost:99/v1"),
        ({"CODEX_OSS_PORT": "x", "CODEX_OSS_BASE_URL": " "}, "http://localhost:11434/v1", "http://localhost:1234/v1"),
        ({"CODEX_OSS_PORT": "99", "CODEX_OSS_BASE_URL": "http://h/v1"}, "http://h/v1", "http://h/v1"),
    ],
)
def test_local_providers(environ: dict[str, str], ollama: str, lmstudio: str) -> None:
    found = providers({}, environ)
    assert (found["ollama"].base_url, found["lmstudio"].base_url) == (ollama, lmstudio)
    assert not found["ollama"].requires_openai_auth
    mine = {"model_providers": {"ollama": {"name": "Mine", "base_url": "http://mine"}}}
    assert providers(mine, environ)["ollama"].base_url == "http://mine"


def test_unknown_provider(home: Home) -> None:
    there_are = "There are the providers `lmstudio`, `offline`, `ollama`, `openai`."
    assert str(failing(home, 'model_provider = "nobody"\n')) == f"Model provider `nobody` not found. {there_are}"
    assert str(failing(home, "", ("model_provider", "nobody"))) == f"Model provider `nobody` not found. {there_are}"
    profile = 'profile = "p"\n[profiles.p]\nmodel_provider = "nobody"\n'
    mine = PROVIDER.partition("\n")[2]
    assert str(failing(home, profile + mine)).endswith("`lmstudio`, `mine`, `offline`, `ollama`, `openai`.")
    with pytest.raises(ConfigError, match=r"Model provider `nobody` not found\. There are the providers `lmstudio`, `mine`, "):
        load(home, mine).check_provider("nobody")
    many = "".join(f'[model_providers.p{number:02}]\nname = "P"\n' for number in range(30))
    assert str(failing(home, f'model_provider = "nobody"\n{many}')).endswith("`p15` and 14 more.")


# Errors, and their places


@pytest.mark.parametrize(
    ("text", "line", "column", "reason"),
    [
        ("a = 1\nmodel = 3\n", 2, 9, "invalid type: integer `3`, expected a string"),
        ('approval_policy="maybe"\n', 1, 17, "unknown variant `maybe`"),
        ('sandbox_mode = "nope"\n', 1, 16, "unknown variant `nope`, expected one of `read-only`, `workspace-write`"),
        ("model_context_window = true\n", 1, 24, "invalid type: boolean `true`, expected an integer"),
        ("[sandbox_workspace_write]\nnetwork_access = 1\n", 2, 18, "invalid type: integer `1`, expected a boolean"),
        ('[profiles.p]\nmodel_verbosity = "x"\n', 2, 19, "unknown variant `x`"),
        (PROVIDER + 'wire_api = "chat"\n', 5, 12, '`wire_api = "chat"` is not supported'),
        ('on_unsubscribe = "x"\n', 1, 18, "unknown variant `x`, expected `finish` or `interrupt`"),
    ],
)
def test_invalid_values_are_named_with_their_place(home: Home, text: str, line: int, column: int, reason: str) -> None:
    error = failing(home, text)
    assert (error.path, error.line, error.column) == (home.config_file, line, column)
    assert reason in error.reason
    assert str(error) == f"{home.config_file}:{line}:{column}: {error.reason}"


def test_broken_toml(home: Home) -> None:
    error = failing(home, "a = 1\nmodel = [broken\n")
    assert (error.path, error.line) == (home.config_file, 2)
    assert str(home.config_file) in str(error)
    assert "at line" not in str(error)


def test_a_broken_project_file_is_named(home: Home, project: Path) -> None:
    (project / ".codex/config.toml").write_text("[broken")
    assert failing(home, trusting(project), cwd=project).path == project / ".codex/config.toml"


def test_a_file_that_is_not_utf_8(home: Home) -> None:
    loads = loader(home)
    home.config_file.write_bytes(b'a = 1\nb = "\xff"\n')
    with pytest.raises(ConfigError) as caught:
        loads.load()
    assert (caught.value.line, caught.value.column) == (2, 6)


def test_unusable_overrides(home: Home) -> None:
    assert str(failing(home, "", ("model", 3))) == "model: invalid type: integer `3`, expected a string"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[model_providers.x]\nname = "x"\nwire_api = "chat"\n', '(POST base_url + "/responses"): then write'),
        ('[model_providers.x]\nname = "x"\nbase_url = 1\n', "invalid type: integer `1`, expected a string"),
        ('[model_providers.openai]\nname = "x"\n', "the provider `openai` is built in"),
        ('[model_providers.x]\nbase_url = "y"\n', "missing field `name`"),
        ("[model_providers]\nx = 1\n", "invalid type: integer `1`, expected a map"),
        ('[model_providers.x]\nname = "x"\nhttp_headers = { a = 1 }\n', "invalid type: integer `1`, expected a string"),
        ('[model_providers.x]\nname = "x"\nstream_max_retries = -1\n', "invalid value: integer `-1`"),
    ],
)
def test_unusable_providers(home: Home, text: str, reason: str) -> None:
    error = failing(home, text)
    assert (error.path, error.line is None) == (home.config_file, "http_headers" in text)
    assert reason in error.reason


def test_the_defaults_replace_an_invalid_file(home: Home) -> None:
    assert loader(home, "[broken").defaults().model_provider == "openai"


def test_a_file_is_read_again_when_it_changed(home: Home) -> None:
    loads = loader(home, 'model = "one"\n')
    assert loads.load().model == "one"
    home.config_file.write_text('model = "other"\n')
    assert loads.load().model == "other"
    home.config_file.unlink()
    assert loads.load().model is None


def test_dates_become_text(home: Home) -> None:
    assert load(home, "when = 2026-01-02\n").raw["when"] == "2026-01-02"


def test_a_file_over_the_settings(home: Home) -> None:
    home.config_file.write_text('model = "one"\n[agents]\nmax_depth = 2\n')
    (home.path / "role.toml").write_text('model = "two"\n')
    loader = ConfigLoader(home)
    config = loader.load()
    over, own = loader.overlay(config, "role.toml")
    assert (config.model, over.model, over.table("agents"), own) == ("one", "two", {"max_depth": 2}, {"model": "two"})
    with pytest.raises(ConfigError, match="there is no file"):
        loader.overlay(config, "none.toml")
    (home.path / "role.toml").write_text("model = 1\n")
    with pytest.raises(ConfigError, match="expected a string") as wrong:
        ConfigLoader(home).overlay(config, str(home.path / "role.toml"))
    assert (wrong.value.path, wrong.value.line) == (home.path / "role.toml", 1)


def test_a_file_over_the_settings_lies_next_to_the_one_that_names_it(home: Home, project: Path) -> None:
    (project / ".codex/config.toml").write_text('[agents.ours]\nconfig_file = "role.toml"\n')
    (project / ".codex/role.toml").write_text('model = "ours"\n')
    (home.path / "role.toml").write_text('model = "mine"\n')
    loads = loader(home, trusting(project) + '[agents.mine]\nconfig_file = "./role.toml"\n')
    approve(loads, proposals(loads, project))
    config = loads.load(project)
    assert [loads.overlay(config, file)[0].model for file in ("role.toml", "./role.toml")] == ["ours", "mine"]
    loads = loader(home, trusting(project, "untrusted") + '[agents.mine]\nconfig_file = "role.toml"\n')
    assert loads.overlay(loads.load(project), "role.toml")[0].model == "mine"


@pytest.mark.parametrize(
    ("text", "reason", "line"),
    [
        ("a = 1\nb = " + "[" * 200 + "]" * 200, "recursion limit exceeded", None),
        ("a = " + "[" * 50_000, "recursion limit exceeded", None),
        (".".join(["a"] * 1000) + " = 1", "recursion limit exceeded", None),
        ("a = 1\nb = 0x1_0000_0000_0000_0000", "beyond 64 bits", 2),
        ("a = 1\nb = -9223372036854775809", "beyond 64 bits", 2),
        ("a = " + "9" * 5000, "integer string conversion", None),
        ("[t]\nc = inf", "expected a finite number", 2),
    ],
)
def test_values_that_no_message_can_contain_are_refused(home: Home, text: str, reason: str, line: int | None) -> None:
    error = failing(home, text)
    assert reason in error.reason
    assert (error.path, error.line) == (home.config_file, line)


def test_overrides_that_no_message_can_contain_are_refused(home: Home) -> None:
    assert "recursion limit" in failing(home, "", (".".join(["a"] * 200), 1)).reason
    for text in ("a=\udcff", "\udcff=1", "a=nan", "a=" + "[" * 200 + "]" * 200, "a=" + "[" * 50_000):
        with pytest.raises(ValueError, match="invalid override"):
            parse_override(text)


def test_a_profile_may_be_a_file_beside_the_users(home: Home, project: Path) -> None:
    (home.path / "work.config.toml").write_text('model = "file"\nmodel_verbosity = "low"\nreview_model = "r"\n')
    text = 'model = "user"\nmodel_verbosity = "high"\n[profiles.work]\nmodel = "table"\n'
    text += f'[projects."{project}"]\ntrust_level = "trusted"\n'
    (project / ".codex" / "config.toml").write_text('review_model = "of the project"\n')
    config = load(home, text, ("profile", "work"), ("model_verbosity", "medium"), cwd=project)
    assert (config.model, config.model_verbosity, config.review_model) == ("file", "medium", "of the project")
    sources = [layer.source for layer in config.layers]
    assert [source["type"] for source in sources] == ["sessionFlags", "project", "user", "user", "system"]
    assert sources[2] == {"type": "user", "file": str(home.path / "work.config.toml"), "profile": "work"}
    assert [layer.is_user for layer in config.layers] == [False, False, False, True, False]
    assert load(home, f'profile = "work"\n{text}').model == "file"
    (home.path / "work.config.toml").unlink()
    assert load(home, text, ("profile", "work")).model == "table"
    assert load(home, text).model == "user"


def test_a_profile_is_no_path(home: Home) -> None:
    (home.path / "sub").mkdir()
    (home.path / "sub" / "x.config.toml").write_text('model = "x"\n')
    assert "config profile `sub/x` not found" in failing(home, "", ("profile", "sub/x")).reason
    (home.path / "broken.config.toml").write_text("model = 1\n")
    assert failing(home, "", ("profile", "broken")).path == home.path / "broken.config.toml"


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("", "cached"),
        ("[features]\nweb_search_request = true\n", "live"),
        ("[features]\nweb_search_cached = true\n", "cached"),
        ('web_search = "cached"\n[features]\nweb_search_request = true\n', "cached"),
        ("[features]\nweb_search_request = true\n[tools]\nweb_search = false\n", "disabled"),
    ],
)
def test_the_mode_of_web_search_by_its_former_settings(home: Home, text: str, mode: str) -> None:
    assert load(home, text).web_search == mode


def test_features_under_former_names_at_the_top(home: Home) -> None:
    former = "experimental_use_freeform_apply_patch = true\nexperimental_use_unified_exec_tool = false\n"
    config = load(home, f"{former}collab = false\n")
    assert config.features("apply_patch_freeform", False)
    assert not config.features("unified_exec", True)
    assert config.features("multi_agent", True)
    config = load(home, "experimental_use_freeform_apply_patch = true\n[features]\napply_patch_freeform = false\n")
    assert not config.features("apply_patch_freeform", True)
