"""Warnings and errors about the configuration, from a daemon on stdio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import Client
    from .model import Endpoint
    from .process import Daemon


def notified(client: Client, method: str, since: int = 0) -> list[dict[str, Any]]:
    """The params of all such notifications before the answer to one more request."""
    client.call("thread/loaded/list")
    return [message["params"] for message in client.messages.entries[since:] if message.get("method") == method]


def test_settings_without_effect_are_notified_with_their_place(daemon: Daemon) -> None:
    file = daemon.home / "config.toml"
    text = file.read_text()
    file.write_text(f'no_such = 1\nchatgpt_base_url = "http://x"\n{text}')
    client = daemon.client()
    for line, name in ((1, "`no_such` is not a known setting"), (2, "`chatgpt_base_url` is not supported")):
        [said] = [
            client.messages.find(
                lambda message, name=name: (  # type: ignore[misc]
                    message.get("method") == "configWarning" and message["params"]["summary"].startswith(name)
                )
            )["params"]
        ]
        at = {"line": line, "column": 1}
        assert (said["path"], said["range"]) == (str(file), {"start": at, "end": at})
    since = client.now
    started = client.call("thread/start", config={"tools.bogus": 1})
    assert started["approvalsReviewer"] == "user"
    warning = client.wait_for("warning", started["thread"]["id"], since=since)["message"]
    assert f"{file}:1: `no_such` is not a known setting" in warning
    assert "overrides: `tools.bogus` is not a known setting" in warning
    [own] = notified(client, "configWarning", since)
    assert own["summary"].startswith("`tools.bogus` is not a known setting")
    assert "path" not in own


def test_a_misspelt_key_of_a_provider_sends_nothing_anywhere(daemon: Daemon, endpoint: Endpoint) -> None:
    file = daemon.home / "config.toml"
    file.write_text(file.read_text().replace("base_url", "base_uri"))
    client = daemon.client()
    refused = client.refusal("thread/start")
    assert refused.code == -32600
    assert refused.message.startswith(f"failed to load configuration: {file}:")
    assert "base_uri` is not a known setting, so what it asks for cannot be kept to" in refused.message
    assert refused.message.endswith("Did you mean `base_url`?")
    assert client.call("config/read")["config"]["model_providers"]
    assert endpoint.requests.entries == []


def test_a_provider_or_a_profile_that_does_not_exist_is_refused_with_those_that_do(
    daemon: Daemon, endpoint: Endpoint
) -> None:
    client = daemon.client()
    [mine] = client.call("config/read")["config"]["model_providers"]
    there_are = ", ".join(f"`{name}`" for name in sorted([mine, "lmstudio", "offline", "ollama", "openai"]))
    said = f"Model provider `none` not found. There are the providers {there_are}."
    for params in ({"modelProvider": "none"}, {"config": {"model_provider": "none"}}):
        assert client.refusal("thread/start", **params).message == f"failed to load configuration: {said}"
    assert client.refusal("model/list", modelProvider="none").message == said
    profile = client.refusal("thread/start", config={"profile": "none"})
    assert profile.message == "failed to load configuration: config profile `none` not found. There are no profiles."
    file = daemon.home / "config.toml"
    file.write_text(file.read_text().replace(f'model_provider = "{mine}"', 'model_provider = "none"'))
    assert client.refusal("thread/start").message == f"failed to load configuration: {said}"
    assert endpoint.requests.entries == []


def test_a_key_is_not_stored_in_a_file_if_another_store_is_configured(daemon: Daemon) -> None:
    file = daemon.home / "config.toml"
    text = file.read_text()
    file.write_text(f'cli_auth_credentials_store = "keyring"\n{text}')
    client = daemon.client()
    refused = client.refusal("account/login/start", type="apiKey", apiKey="sk-1")
    assert "`cli_auth_credentials_store = \"keyring\"` is not supported" in refused.message
    assert not (daemon.home / "auth.json").exists()
    file.write_text(text)
    client.call("account/login/start", type="apiKey", apiKey="sk-1")
    assert (daemon.home / "auth.json").exists()


def test_a_command_prints_the_key_of_a_provider(daemon: Daemon, endpoint: Endpoint) -> None:
    client = daemon.client()
    [mine] = client.call("config/read")["config"]["model_providers"]
    with (daemon.home / "config.toml").open("a") as file:
        file.write(f'\n[model_providers.{mine}.auth]\ncommand = "sh"\nargs = ["-c", "echo $PWD >> runs; cat key"]\n')
    thread = client.start_thread()["id"]
    failed = client.run_turn(thread, "hello")
    assert failed["status"] == "failed"
    assert "the command for the key of the provider" in failed["error"]["message"]
    assert "has failed: exit status 1: cat: key: " in failed["error"]["message"]
    assert endpoint.requests.entries == []
    (daemon.home / "key").write_text("secret\n")
    assert [client.run_turn(thread, "hello")["status"] for _ in range(2)] == ["completed", "completed"]
    assert (daemon.home / "runs").read_text().split() == [str(daemon.home)] * 2
