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
