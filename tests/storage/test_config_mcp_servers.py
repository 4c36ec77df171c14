"""`[mcp_servers.<name>]`: the meaning of the keys, and the errors."""

from pathlib import Path

import pytest

from spindle.storage.config import Config, ConfigError, ConfigLoader, McpServerConfig, parse_override
from spindle.storage.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def load(home: Home, text: str, *overrides: str) -> Config:
    home.config_file.write_text(text)
    loader = ConfigLoader(home, [parse_override(override) for override in overrides], system_file=home.path / "none")
    return loader.load()


def test_without_servers(home: Home) -> None:
    assert load(home, "").mcp_servers() == {}


def test_a_server_on_standard_input_and_output(home: Home) -> None:
    text = """
[mcp_servers.b]
command = "x"
[mcp_servers.a]
command = "npx"
args = ["-y", "server"]
env = { A = "b" }
env_vars = ["TOKEN", { name = "LOCAL", source = "local" }, { name = "PLAIN" }, { name = "FAR", source = "remote" }]
cwd = "/tmp"
enabled = false
required = true
startup_timeout_sec = 1.5
tool_timeout_sec = 7
enabled_tools = ["one"]
disabled_tools = ["two"]
default_tools_approval_mode = "prompt"
shared = true
unknown = 1
[mcp_servers.a.tools.one]
approval_mode = "approve"
[mcp_servers.a.tools.two]
"""
    servers = load(home, text).mcp_servers()
    assert list(servers) == ["a", "b"]
    assert servers["b"] == McpServerConfig(name="b", command="x")
    assert servers["a"] == McpServerConfig(
        name="a",
        command="npx",
        args=("-y", "server"),
        env={"A": "b"},
        env_vars=("TOKEN", "LOCAL", "PLAIN"),
        cwd="/tmp",
        enabled=False,
        required=True,
        startup_timeout=1.5,
        tool_timeout=7.0,
        enabled_tools=("one",),
        disabled_tools=("two",),
        default_tools_approval_mode="prompt",
        tool_approval_modes={"one": "approve"},
        shared=True,
    )


def test_defaults(home: Home) -> None:
    server = load(home, '[mcp_servers.a]\ncommand = "x"\n').mcp_servers()["a"]
    assert (server.startup_timeout, server.tool_timeout) == (30.0, 120.0)
    assert (server.enabled, server.required, server.shared, server.enabled_tools) == (True, False, False, None)
    assert server.approval_mode("t") == "auto"
    assert server.offers("t")


def test_a_server_over_http(home: Home) -> None:
    text = """
[mcp_servers.web]
url = "https://example.test/mcp"
bearer_token_env_var = "TOKEN"
http_headers = { X = "1" }
env_http_headers = { Y = "VAR" }
scopes = ["a"]
oauth_resource = "r"
oauth = { client_id = "c" }
startup_timeout_ms = 500
"""
    assert load(home, text).mcp_servers()["web"] == McpServerConfig(
        name="web",
        url="https://example.test/mcp",
        bearer_token_env_var="TOKEN",
        http_headers={"X": "1"},
        env_http_headers={"Y": "VAR"},
        scopes=("a",),
        oauth_resource="r",
        oauth={"client_id": "c"},
        startup_timeout=0.5,
    )


def test_offered_tools_and_their_approval() -> None:
    server = McpServerConfig(
        name="a",
        command="x",
        enabled_tools=("one", "two"),
        disabled_tools=("two",),
        default_tools_approval_mode="prompt",
        tool_approval_modes={"one": "approve"},
    )
    assert [server.offers(tool) for tool in ("one", "two", "three")] == [True, False, False]
    assert [server.approval_mode(tool) for tool in ("one", "two")] == ["approve", "prompt"]


def test_seconds_win_over_milliseconds(home: Home) -> None:
    text = '[mcp_servers.a]\ncommand = "x"\nstartup_timeout_sec = 0\nstartup_timeout_ms = 9\n'
    assert load(home, text).mcp_servers()["a"].startup_timeout == 0.0


def test_an_override_adds_a_server(home: Home) -> None:
    assert load(home, "", 'mcp_servers.a.command="x"').mcp_servers() == {"a": McpServerConfig(name="a", command="x")}


FAULTS = [
    ("", 1, "mcp_servers.a: invalid transport: a server has either a `command` or a `url`"),
    ("command = 1", 2, "invalid type: integer `1`, expected a string"),
    ('command = "x"\nurl = "y"', 3, "url is not supported for stdio"),
    ('command = "x"\nhttp_headers = { a = "b" }', 3, "http_headers is not supported for stdio"),
    ('command = "x"\noauth_resource = "r"', 3, "oauth_resource is not supported for stdio"),
    ('url = "y"\nargs = []', 3, "args is not supported for streamable_http"),
    ('url = "y"\nbearer_token = "z"', 3, "bearer_token is not supported for streamable_http"),
    ('command = "x"\nargs = "y"', 3, 'invalid type: string "y", expected a sequence'),
    ('command = "x"\nargs = [1]', 3, "invalid type: integer `1`, expected a string"),
    ('command = "x"\nenv = { A = 1 }', None, "mcp_servers.a.env.A: invalid type: integer `1`, expected a string"),
    ('command = "x"\nenv_vars = [1]', 3, "expected names of variables, or tables with a `name`"),
    ('command = "x"\nstartup_timeout_sec = -1', 3, "invalid value: `-1`, expected a time that is not negative"),
    ('command = "x"\nstartup_timeout_sec = nan', 3, "invalid value: `nan`, expected a finite number"),
    ('command = "x"\ntool_timeout_sec = "y"', 3, 'invalid type: string "y", expected f64'),
    ('command = "x"\ntool_timeout_sec = true', 3, "invalid type: boolean `true`, expected f64"),
    ('command = "x"\nshared = 1', 3, "invalid type: integer `1`, expected a boolean"),
    (
        'command = "x"\ndefault_tools_approval_mode = "no"',
        3,
        "unknown variant `no`, expected one of `auto`, `prompt`, `approve`",
    ),
    (
        'command = "x"\n[mcp_servers.a.tools.t]\napproval_mode = "no"',
        4,
        "unknown variant `no`, expected one of `auto`, `prompt`, `approve`",
    ),
    ('command = "x"\n[mcp_servers.a.tools]\nt = 1', 4, "invalid type: integer `1`, expected a map"),
]


@pytest.mark.parametrize(("table", "line", "reason"), FAULTS)
def test_faults_are_named_with_their_place(home: Home, table: str, line: int | None, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(home, f"[mcp_servers.a]\n{table}\n")
    assert (caught.value.reason, caught.value.path, caught.value.line) == (reason, home.config_file, line)


def test_a_fault_without_a_file_names_its_keys(home: Home) -> None:
    with pytest.raises(ConfigError, match=r"mcp_servers\.a\.cwd: invalid type: integer `1`, expected a string"):
        load(home, '[mcp_servers.a]\ncommand = "x"\n', "mcp_servers.a.cwd=1")


def test_a_server_that_is_not_a_table(home: Home) -> None:
    with pytest.raises(ConfigError, match="invalid type: integer `1`, expected a map"):
        load(home, "[mcp_servers]\na = 1\n")
