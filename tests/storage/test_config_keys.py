"""Each key of the reference is served, refused or harmless, as documented; no other key is ignored silently."""

import re
from pathlib import Path

import pytest

from spindle.storage.config import Config, ConfigError, ConfigLoader
from spindle.storage.config.keys import KEYS, STRICT, Standing, judged
from spindle.storage.home import Home

HERE = Path(__file__).parent
REFERENCE = (HERE / "config_keys.txt").read_text(encoding="utf-8").split()
"""The keys of Codex 0.124 to 0.171: each key of tables that do not concern clients only; `*` is any name."""
ROOT = HERE.parents[1]
LISTS = ("storage/config/known.py", "storage/config/keys.py")


def load(tmp_path: Path, text: str, *overrides: tuple[str, object]) -> Config:
    (tmp_path / "config.toml").write_text(text)
    return ConfigLoader(Home(tmp_path), overrides, system_file=tmp_path / "none").load()


def texts(config: Config) -> list[str]:
    return [f"{note.where.removeprefix(str(note.path))}{note.text}" for note in config.notes]


def test_every_key_of_the_reference_has_a_standing():
    assert len(REFERENCE) > 400
    assert [key for key in REFERENCE if key not in KEYS] == []


def test_served_keys_are_read_by_code():
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in ("actors", "storage", "rpc")
        for path in (ROOT / folder).rglob("*.py")
        if str(path.relative_to(ROOT)) not in LISTS
    )
    words = set(re.findall(r"\w+", code))
    served = [key for key, standing in KEYS.items() if standing is Standing.SERVED]
    assert [key for key in served if key.rpartition(".")[2] not in words] == []


def test_the_documentation_has_the_same_table():
    page = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    listed: dict[str, Standing] = {}
    for standing in Standing:
        section = page.partition(f"\n## {standing.value.capitalize()}\n")[2].partition("\n## ")[0]
        for line in section.splitlines():
            if line.startswith("| `"):
                listed |= dict.fromkeys(re.findall(r"`([^`]+)`", line.split("|")[1]), standing)
    assert listed == dict(KEYS)


def test_a_key_that_is_unknown_or_not_supported_is_noted_with_its_place(tmp_path: Path):
    config = load(
        tmp_path,
        'model = "m"\nno_such = 1\n[features]\n  nosuch = true\n  memories = true\n'
        '[otel]\nexporter = "none"\ntracestate = {a = {b = "c"}}\n'
        '[profiles.p]\nmodle = "m"\n[agents]\nmax = 3\n',
    )
    assert texts(config) == [
        ":2`no_such` is not a known setting and is ignored. Check its spelling.",
        ":4`features.nosuch` is not a known setting and is ignored. Check its spelling.",
        ":5`features.memories` is not supported and is ignored.",
        ":8`otel.tracestate` is not supported and is ignored.",
        ":10`profiles.p.modle` is not a known setting and is ignored. Did you mean `model`?",
        ":12`agents.max` is not a known setting and is ignored. Check its spelling.",
    ]
    assert config.notes[1].place == (4, 3)
    assert {note.path for note in config.notes} == {tmp_path / "config.toml"}
    config.check()


def test_overrides_are_checked_as_files_are(tmp_path: Path):
    config = load(tmp_path, "", ("no_such", 1), ("tools.bogus", 2), ("features.shell_tool", False))
    assert texts(config) == [
        "overrides`no_such` is not a known setting and is ignored. Check its spelling.",
        "overrides`tools.bogus` is not a known setting and is ignored. Check its spelling.",
    ]


def test_many_unknown_keys_give_one_note(tmp_path: Path):
    notes = load(tmp_path, "".join(f"k{i} = 1\n" for i in range(1000))).notes
    assert (len(notes), notes[-1].text) == (21, "There are more settings that are ignored.")


def test_a_changed_file_is_checked_again(tmp_path: Path):
    (tmp_path / "config.toml").write_text("no_such = 1\n")
    loader = ConfigLoader(Home(tmp_path), system_file=tmp_path / "none")
    first = loader.load().notes
    assert loader.load().notes[0] is first[0]
    (tmp_path / "config.toml").write_text("\nother = 1\n")
    assert [note.place for note in loader.load().notes] == [(2, 1)]


def test_a_usual_home_has_no_notes(tmp_path: Path):
    config = load(
        tmp_path,
        """
model = "gpt-5.4"
personality = "pragmatic"
file_opener = "vscode"
notify = ["notify-send"]
check_for_update_on_startup = false
[history]
persistence = "none"
[analytics]
enabled = false
[tui]
theme = "dark"
[tui.model_availability_nux]
"gpt-5.5" = 4
[notice.model_migrations]
"gpt-5.3" = "gpt-5.4"
[projects."/home/me/work"]
trust_level = "trusted"
[marketplaces.openai]
source = "https://example.com"
[plugins."github@openai"]
enabled = true
[apps.mail]
enabled = false
[mcp_servers.docs]
command = "docs"
args = ["--stdio"]
env = { TOKEN = "x" }
[mcp_servers.docs.tools.search]
approval_mode = "approve"
[features]
goals = true
apps = true
memories = false
[model_providers.mine]
name = "Mine"
base_url = "http://127.0.0.1:1/v1"
http_headers = { "X-Any" = "1" }
supports_websockets = true
[shell_environment_policy]
inherit = "core"
set = { ANY = "1" }
[hooks]
Stop = []
[sandbox_workspace_write]
network_access = true
""",
    )
    assert config.notes == []
    assert config.refusals == {}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[shell_environment_policy]\nexlude = ['*TOKEN*']", 2),
        ("[shell_environment_policy]\nfilters = []\n[shell_environment_policy.other]", 3),
        ("[tools.web_search]\nallowed_domain = ['example.com']", 2),
        ("[sandbox_workspace_write]\nexclude_tmp = true", 2),
        ("[features]\nnetwork_proxy = true", 2),
        ("[features.network_proxy]\nenabled = true", 1),
        ("profile = 'p'\n[profiles.p.features]\ncredential_masking = true", 3),
    ],
)
def test_an_unsupported_restriction_is_refused_with_its_place(tmp_path: Path, text: str, line: int):
    config = load(tmp_path, text)
    with pytest.raises(ConfigError, match=r"is not (supported|a known setting), so what it asks") as caught:
        config.check()
    assert (caught.value.path, caught.value.line) == (tmp_path / "config.toml", line)
    assert ("Did you mean `exclude`?" in caught.value.reason) is ("exlude" in text)


@pytest.mark.parametrize(
    "text",
    [
        "[features]\nnetwork_proxy = false",
        "[features.network_proxy]\nenabled = false",
        "[profiles.p.features]\nnetwork_proxy = true",
        "sandbox_mode = 'read-only'\n[permissions.p]\nextends = 'q'",
        "[model_providers.p]\nname = 'P'\nbase_uri = 'http://127.0.0.1:1'",
    ],
)
def test_unused_tables_refuse_nothing(tmp_path: Path, text: str):
    config = load(tmp_path, text)
    config.check()
    config.check_provider("openai")


@pytest.mark.parametrize(
    "key", ["network.domains = { 'example.com' = 'allow' }", "extends = ':workspace'", "other = 1"]
)
def test_an_unsupported_permission_profile_is_refused_where_it_is_used(tmp_path: Path, key: str):
    profiles = f"[permissions.p]\nnetwork.enabled = true\n{key}\n"
    chosen = load(tmp_path, f"default_permissions = 'p'\n{profiles}")
    with pytest.raises(ConfigError, match=r"config.toml:4:1: `permissions.p"):
        chosen.check()
    named = load(tmp_path, f"default_permissions = ':read-only'\n{profiles}")
    named.check()
    with pytest.raises(ConfigError, match=r"config.toml:4:1: `permissions.p"):
        named.profile("p")


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        (
            "base_uri = 'http://127.0.0.1:1'",
            r"config.toml:3:1: `model_providers.p.base_uri` is not a known setting, .* Did you mean `base_url`\?$",
        ),
        (
            "base_url = 'http://x'\nhttp_header = { a = 'b' }",
            r"config.toml:4:1: `model_providers.p.http_header` .* Did you mean `(env_)?http_headers`\?$",
        ),
        ("base_url = 'http://x'\nzzz = 1", r"config.toml:4:1: `model_providers.p.zzz` is not a known .* be kept to$"),
        (
            "base_url = 'http://x'\naws = { region = 'x' }",
            r"config.toml:4:1: `model_providers.p.aws` is not supported, so what it asks for cannot be kept to$",
        ),
        ("", r"config.toml:1:1: Model provider `p` has no `base_url`$"),
        ("base_url = ''", r"config.toml:1:1: Model provider `p` has no `base_url`$"),
        *(
            (f"base_url = '{url}'", rf"config.toml:3:1: Model provider `p`: `base_url`: {words}")
            for url, words in {
                "ftp://x": "a URL begins with http:// or https://",
                "localhost:8080/v1": "a URL begins with http:// or https://",
                "models.example/v1": "a URL begins with http:// or https://",
                "https:///v1": "the URL has no host",
                "https://h:port": "the URL has no valid host and port",
                "http://ann:secret": "the URL has no valid host and port$",
            }.items()
        ),
    ],
)
def test_a_provider_that_cannot_be_used_refuses_only_threads_that_use_it(tmp_path: Path, table: str, fault: str):
    config = load(tmp_path, f"[model_providers.p]\nname = 'P'\n{table}\n")
    config.check()
    config.check_provider("openai")
    with pytest.raises(ConfigError, match=fault):
        config.check_provider("p")


def test_a_misspelt_key_of_a_provider_is_noted_whether_it_is_used_or_not(tmp_path: Path):
    config = load(tmp_path, "[model_providers.p]\nname = 'P'\nbase_uri = 'http://x'\nauth = { command = 'x' }\n")
    assert texts(config) == [
        ":3`model_providers.p.base_uri` is not a known setting, so `model_providers.p` cannot be used. Did you mean `base_url`?"
    ]


def test_the_url_of_openai_is_checked_where_it_is_used(tmp_path: Path):
    config = load(tmp_path, "openai_base_url = 'api.example/v1'\n[model_providers.p]\nname = 'P'\nbase_url = 'http://x'\n")
    config.check_provider("p")
    fault = r"config.toml:1:1: Model provider `openai`: `openai_base_url`: a URL begins with http:// or https://$"
    with pytest.raises(ConfigError, match=fault):
        config.check_provider("openai")


def test_an_api_key_is_not_used_if_another_login_is_required(tmp_path: Path):
    config = load(tmp_path, "forced_login_method = 'chatgpt'\n[model_providers.p]\nname = 'P'\nbase_url = 'http://x'")
    config.check_provider("p")
    with pytest.raises(ConfigError, match="forced_login_method"):
        config.check_provider("openai")


def test_the_reviewer_and_its_policy_are_read(tmp_path: Path):
    config = load(tmp_path, 'approvals_reviewer = "auto_review"\n[auto_review]\npolicy = "never"')
    assert (config.approvals_reviewer, config.review_policy, config.notes) == ("auto_review", "never", [])
    assert (load(tmp_path, "").approvals_reviewer, load(tmp_path, "").review_policy) == ("user", None)
    with pytest.raises(ConfigError, match="unknown variant `nobody`"):
        load(tmp_path, 'approvals_reviewer = "nobody"').check()


def test_a_strict_table_refuses_unknown_keys():
    for table in STRICT:
        value: object = {"no_such": 1}
        for part in reversed(table.replace("*", "any").split(".")):
            value = {part: value}
        assert isinstance(value, dict)
        assert [standing for _, standing in judged(value)] == [Standing.REFUSED]
