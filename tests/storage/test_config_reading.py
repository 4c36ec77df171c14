"""The answer to config/read."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from spindle.storage.config import ConfigLoader
from spindle.storage.config.config_read import config_read
from spindle.storage.home import Home

TEXT = """model = "m"
model_provider = "mine"
unheard_of = 1
notify = ["a", "b"]
[model_providers.mine]
name = "Mine"
base_url = "http://x"
[tools]
web_search = false
[profiles.p]
model = "q"
[sandbox_workspace_write]
network_access = true
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "config.toml").write_text(TEXT)
    return Home(tmp_path)


def read(home: Home, *overrides: tuple[str, Any], layers: bool = False) -> dict[str, Any]:
    loads = ConfigLoader(home, overrides, system_file=home.path / "system.toml")
    answer = config_read(loads.load(), layers)
    assert orjson.loads(orjson.dumps(answer)) is not None
    return answer


def test_unset_keys_are_null(home: Home) -> None:
    config = read(home)["config"]
    assert (config["model"], config["model_provider"]) == ("m", "mine")
    assert config["model_reasoning_effort"] is None
    assert config["profile"] is None
    assert config["sandbox_mode"] is None
    home.config_file.write_text("")
    config = read(home)["config"]
    assert config["profiles"] == {}
    assert config["sandbox_workspace_write"] is None
    assert config["tools"] is None


def test_tables_are_filled_up(home: Home) -> None:
    config = read(home)["config"]
    assert config["profiles"]["p"]["model"] == "q"
    assert config["profiles"]["p"]["model_verbosity"] is None
    assert config["model_providers"]["mine"]["wire_api"] == "responses"
    assert config["model_providers"]["mine"]["requires_openai_auth"] is False
    assert config["tools"] == {"web_search": None, "view_image": None}
    assert orjson.loads(orjson.dumps(config["sandbox_workspace_write"])) == {
        "writable_roots": [],
        "network_access": True,
        "exclude_tmpdir_env_var": False,
        "exclude_slash_tmp": False,
    }


def test_tables_are_filled_with_defaults(home: Home) -> None:
    home.config_file.write_text(
        f'{TEXT}[model_providers.mine.auth]\ncommand = "c"\n[mcp_servers.one]\ncommand = "x"\n[mcp_servers.two]\nurl = "http://x"\n'
        "[features]\napps = false\n[history]\n"
    )
    config = read(home)["config"]
    assert config["mcp_servers"]["one"] == {
        "command": "x", "args": [], "enabled": True, "tool_timeout_sec": None, "environment_id": "local",
    }  # fmt: skip
    assert "args" not in config["mcp_servers"]["two"]
    auth = config["model_providers"]["mine"]["auth"]
    assert (auth["command"], auth["timeout_ms"], auth["refresh_interval_ms"]) == ("c", 5000, 300_000)
    assert config["model_providers"]["mine"]["supports_websockets"] is False
    assert config["shell_environment_policy"]["inherit"] is None
    assert config["history"]["persistence"] == "save-all"
    features = config["features"]
    assert (features["apps"], features["plugins"], features["memories"]) == (False, True, False)
    assert "features.plugins" not in read(home)["origins"]


def test_a_chosen_profile_is_not_mixed_in(home: Home) -> None:
    config = read(home, ("profile", "p"))["config"]
    assert (config["profile"], config["model"]) == ("p", "m")


def test_origins_name_the_strongest_layer_of_every_leaf(home: Home) -> None:
    origins = read(home, ("model", "flag"))["origins"]
    user = {"type": "user", "file": str(home.config_file)}
    assert origins["model"]["name"] == {"type": "sessionFlags"}
    assert origins["model_providers.mine.base_url"]["name"] == user
    assert {"notify.0", "notify.1", "tools.web_search", "unheard_of"} <= set(origins)
    assert "model_reasoning_effort" not in origins
    assert "tools" not in origins


def test_layers_only_on_request(home: Home) -> None:
    assert read(home)["layers"] is None
    layers = read(home, ("model_verbosity", "low"), layers=True)["layers"]
    assert [layer["name"]["type"] for layer in layers] == ["sessionFlags", "user", "system"]
    assert layers[0]["config"] == {"model_verbosity": "low"}
    assert layers[1]["config"]["tools"] == {"web_search": False}
    assert layers[2]["config"] == {}


def version(home: Home) -> str:
    found: str = read(home, layers=True)["layers"][0]["version"]
    return found


def test_the_version_depends_on_values_not_formatting(home: Home) -> None:
    before = version(home)
    assert before.startswith("sha256:")
    home.config_file.write_text("# only a comment\n\n" + TEXT)
    assert version(home) == before
    home.config_file.write_text("unheard_of = 1\n" + TEXT.replace("unheard_of = 1\n", ""))
    assert version(home) == before
    home.config_file.write_text(TEXT.replace('"m"', '"n"'))
    assert version(home) != before


def test_the_version_of_an_empty_layer_is_that_of_the_reference(home: Home) -> None:
    home.config_file.write_text("")
    assert version(home) == "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
