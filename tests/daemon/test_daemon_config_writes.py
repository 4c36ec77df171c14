"""config.toml written through a daemon, and what loaded threads make of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spindle.storage.config.programs import hash_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from .client import Client
    from .model import Endpoint
    from .process import Daemon


def edit(path: str, value: object) -> dict[str, Any]:
    return {"keyPath": path, "value": value, "mergeStrategy": "replace"}


def offered(endpoint: Endpoint) -> set[str]:
    """The tools in the last request to the model."""
    return {tool.get("name", tool["type"]) for tool in endpoint.requests.entries[-1]["tools"]}


def test_a_value_is_written_with_its_version(daemon: Daemon, client: Client) -> None:
    file = daemon.home / "config.toml"
    before, _ = (layer["version"] for layer in client.call("config/read", includeLayers=True)["layers"])
    answer = client.call("config/value/write", **edit("review_model", "r"), expectedVersion=before, filePath=str(file))
    assert answer == {"status": "ok", "version": answer["version"], "filePath": str(file), "overriddenMetadata": None}
    read = client.call("config/read", includeLayers=True)
    assert read["config"]["review_model"] == "r"
    assert read["origins"]["review_model"]["version"] == answer["version"]
    refused = client.refusal("config/value/write", **edit("review_model", "s"), expectedVersion=before)
    assert (refused.code, refused.data) == (-32600, {"config_write_error_code": "configVersionConflict"})
    text = file.read_text()
    file.write_text("model = [")
    broken = client.refusal("config/batchWrite", edits=[edit("model", "m")])
    assert (broken.code, str(file) in broken.message) == (-32603, True)
    file.write_text(text)


def test_what_overrides_a_value_is_named(launch: Callable[..., Daemon]) -> None:
    client = launch(options=["-c", "review_model=flag"]).client()
    answer = client.call("config/batchWrite", edits=[edit("model_verbosity", "low"), edit("review_model", "mine")])
    layer = {"name": {"type": "sessionFlags"}, "version": hash_of({"review_model": "flag"})}
    assert answer["status"] == "okOverridden"
    assert answer["overriddenMetadata"] == {
        "message": "Overridden by session flags",
        "overridingLayer": layer,
        "effectiveValue": "flag",
    }


def test_a_loaded_thread_is_reloaded_on_request_at_its_next_turn(client: Client, endpoint: Endpoint) -> None:
    thread = client.start_thread()["id"]
    client.run_turn(thread, "one")
    assert "exec_command" in offered(endpoint)
    client.call("config/batchWrite", edits=[edit("features.shell_tool", False)])
    client.run_turn(thread, "two")
    assert "exec_command" in offered(endpoint)
    client.call("config/batchWrite", edits=[edit("model", "another")], reloadUserConfig=True)
    client.run_turn(thread, "three")
    assert "exec_command" not in offered(endpoint)
    assert endpoint.requests.entries[-1]["model"] != "another"


def test_a_configuration_that_the_thread_cannot_use_is_not_reloaded(client: Client, endpoint: Endpoint) -> None:
    thread = client.start_thread()["id"]
    client.run_turn(thread, "one")
    since = client.now
    client.call("config/batchWrite", edits=[edit("model_provider", "none")], reloadUserConfig=True)
    client.run_turn(thread, "two")
    warning = client.wait_for("warning", thread, since=since)
    assert warning["message"].startswith("The configuration was not reloaded: Model provider `none` not found.")
    assert "exec_command" in offered(endpoint)


def test_providers_are_listed_added_and_made_the_default(daemon: Daemon, client: Client) -> None:
    [mine] = client.call("config/read")["config"]["model_providers"]
    listed = client.call("modelProvider/list")
    assert [one["id"] for one in listed["data"]] == sorted([mine, "openai"])
    assert (listed["defaultProviderId"], listed["canChangeDefault"]) == (mine, True)
    assert client.call("modelProvider/capabilities/read") == {"imageGeneration": True, "webSearch": True}
    added = {"type": "customGateway", "name": "My GW", "baseUrl": "http://127.0.0.1:9/v1", "envKey": "GW"}
    auth = {"mode": "environmentVariable", "envKey": "GW"}
    assert client.call("modelProvider/config/write", settings=added)["provider"] == {
        "id": "my-gw",
        "name": "My GW",
        "canEdit": True,
        "baseUrl": "http://127.0.0.1:9/v1",
        "settings": {"type": "customGateway", "auth": auth},
    }
    assert client.call("modelProvider/default/set", providerId="my-gw")["status"] == "ok"
    assert client.call("modelProvider/list")["defaultProviderId"] == "my-gw"
    unknown = client.refusal("modelProvider/default/set", providerId="none")
    assert (unknown.message, unknown.data) == (
        "Model provider `none` is not configured.",
        {"config_write_error_code": "configValidationError"},
    )
    bedrock = {"type": "bedrock", "providerId": "amazon-bedrock"}
    refused = client.refusal("modelProvider/config/write", settings=bedrock)
    assert refused.message == "The provider `amazon-bedrock` is not supported."
    text = (daemon.home / "config.toml").read_text()
    (daemon.home / "config.toml").write_text("model = [")
    assert client.refusal("modelProvider/list").code == -32603
    (daemon.home / "config.toml").write_text(text)


def test_permission_profiles_are_listed_in_pages(daemon: Daemon, client: Client) -> None:
    with (daemon.home / "config.toml").open("a") as file:
        file.write('[permissions.zed]\ndescription = "Zed it"\n[permissions.zed.filesystem]\n":root" = "read"\n')
        file.write('[permissions.broken]\nextends = "zed"\n')
    client.call("config/value/write", keyPath="default_permissions", value="zed", mergeStrategy="replace")
    built_in = [":read-only", ":workspace", ":danger-full-access"]
    assert client.call("permissionProfile/list")["data"] == [
        *({"id": id, "description": None, "allowed": True} for id in built_in),
        {"id": "broken", "description": None, "allowed": False},
        {"id": "zed", "description": "Zed it", "allowed": True},
    ]
    page = client.call("permissionProfile/list", limit=0, cursor="1")
    assert ([one["id"] for one in page["data"]], page["nextCursor"]) == ([":workspace"], "2")
    assert client.call("permissionProfile/list", cursor="5") == {"data": [], "nextCursor": None}
    for cursor, reason in (("x", "invalid cursor: x"), ("6", "cursor 6 exceeds total permission profiles 5")):
        assert client.refusal("permissionProfile/list", cursor=cursor).message == reason
    assert client.refusal("permissionProfile/list", cursor="9" * 5000).message.startswith("invalid cursor: 9")


def test_features_are_listed_and_switched_for_the_process(daemon: Daemon, client: Client) -> None:
    def on(name: str, **params: Any) -> bool:
        [found] = [one for one in client.call("experimentalFeature/list", **params)["data"] if one["name"] == name]
        return bool(found["enabled"])

    before = (daemon.home / "config.toml").read_text()
    assert not on("memories")
    switched = {"memories": True, "shell_tool": False, "none": True}
    assert client.call("experimentalFeature/enablement/set", enablement=switched) == {"enablement": {"memories": True}}
    assert on("memories")
    assert on("shell_tool")
    assert client.call("config/read")["config"]["features"]["memories"] is True
    assert (daemon.home / "config.toml").read_text() == before
    thread = client.start_thread()["id"]
    assert on("memories", threadId=thread)
    none = "00000000-0000-0000-0000-000000000000"
    assert client.refusal("experimentalFeature/list", threadId=none).message == f"thread not found: {none}"
