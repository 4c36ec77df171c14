"""Methods that need the vendor's cloud, hardware or another system: the answers of Codex for a user who is not signed in."""

from __future__ import annotations

import json
import socket
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from benchmarks.driving import Refused

from spindle.actors.clients.methods import _TABLE as TABLE
from spindle.rpc.protocol.catalog import response_class
from spindle.rpc.protocol.converter import structure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .client import Client
    from .process import Daemon

UNKNOWN = "0199a213-81c0-7800-8aa1-bbab2a035a53"
CHALLENGE = "A" * 43
KEY = f"dk_osn_{CHALLENGE}"
SIGNED = {
    "type": "remoteControlClientConnection",
    "audience": "remote_control_client_websocket",
    **dict.fromkeys(("nonce", "sessionId", "targetOrigin", "targetPath", "accountUserId", "clientId"), "x"),
    "tokenSha256Base64url": "x",
    "tokenExpiresAt": 1,
    "scopes": [],
}

ANSWERS: list[tuple[str, dict[str, Any] | None, dict[str, Any]]] = [
    ("app/list", {}, {"data": [], "nextCursor": None}),
    ("app/read", {"appIds": ["a", "b"]}, {"apps": [], "missingAppIds": ["a", "b"]}),
    ("app/installed", {}, {"apps": []}),
    ("account/gatewayOAuth/cancel", None, {}),
    ("account/bedrock/checkGovCloudRequirements", {}, {"isGovCloud": False, "shouldWarn": False}),
    ("account/securitySetup/read", None, {"notice": None}),
    ("accountSession/list", {}, {"activeSessionId": None, "sessions": []}),
    ("mcpServer/event/stream/stop", {"subscriptionId": "x"}, {}),
    (
        "thread/realtime/list",
        {"threadId": UNKNOWN, "limit": 500},
        {"data": [], "nextCursor": None, "snapshotEnd": 0, "projectedThroughItemIndex": 0, "coverage": "unsupported"},
    ),
    (
        "userVerification/status",
        {},
        {
            "credentialId": None,
            "unavailableReason": "providerUnavailable",
            "unavailableMessage": "User verification is not available in this build or account.",
        },
    ),
    ("userVerification/cancel", {"requestId": 1}, {}),
    ("windowsSandbox/readiness", None, {"status": "notConfigured"}),
]

UNVERIFIABLE = "User verification is not available in this build or account."
CATALOGUE = "chatgpt authentication required for remote plugin catalog"
INVALID_KEY = "invalid device key payload"
INVALID_CHALLENGE = "Invalid verification challenge or display text."
REFUSALS: list[tuple[str, dict[str, Any] | None, int, str]] = [
    (
        "plugin/skill/read",
        {"remoteMarketplaceName": "m", "remotePluginId": "p", "skillName": "s"},
        -32600,
        f"read remote plugin skill details: {CATALOGUE}",
    ),
    (
        "plugin/skill/read",
        {"remoteMarketplaceName": "m", "remotePluginId": "!", "skillName": "s"},
        -32600,
        "invalid remote plugin id: only ASCII letters, digits, `_`, `-`, and `~` are allowed",
    ),
    ("plugin/share/save", {"pluginPath": "/tmp/x"}, -32600, f"save remote plugin share: {CATALOGUE}"),
    (
        "plugin/share/save",
        {"pluginPath": "/tmp/x", "discoverability": "LISTED"},
        -32600,
        "discoverability LISTED is not supported for plugin/share/save; use UNLISTED or PRIVATE",
    ),
    (
        "plugin/share/updateTargets",
        {"discoverability": "PRIVATE", "remotePluginId": "p", "shareTargets": []},
        -32600,
        f"update remote plugin share targets: {CATALOGUE}",
    ),
    ("plugin/share/list", {}, -32600, f"list remote plugin shares: {CATALOGUE}"),
    ("plugin/share/checkout", {"remotePluginId": "!"}, -32600, "invalid remote plugin id"),
    ("plugin/share/delete", {"remotePluginId": "p"}, -32600, f"delete remote plugin share: {CATALOGUE}"),
    ("account/gatewayOAuth/login", None, -32600, "The selected provider does not use gateway OAuth"),
    (
        "account/bedrock/setup",
        {"type": "environment", "region": "us-east-1"},
        -32600,
        "Amazon Bedrock is not supported by this server",
    ),
    ("account/gcp/setup", {"projectId": "p"}, -32600, "Google Cloud is not supported by this server"),
    ("app/list", {"threadId": UNKNOWN}, -32600, f"thread not found: {UNKNOWN}"),
    ("account/rateLimits/read", None, -32600, "codex account authentication required to read rate limits"),
    ("account/rateLimits/read", {}, -32600, "codex account authentication required to read rate limits"),
    ("account/usage/read", None, -32600, "codex account authentication required to read token usage"),
    (
        "account/workspaceMessages/read",
        None,
        -32600,
        "codex account authentication required to read workspace messages",
    ),
    (
        "account/sendAddCreditsNudgeEmail",
        {"creditType": "credits"},
        -32600,
        "codex account authentication required to notify workspace owner",
    ),
    (
        "account/sendAddCreditsNudgeEmail",
        {"creditType": "x"},
        -32600,
        "Invalid request: unknown variant `x`, expected `credits` or `usage_limit` (at creditType)",
    ),
    ("account/rateLimitResetCredit/consume", {"idempotencyKey": ""}, -32600, "idempotencyKey must not be empty"),
    (
        "account/rateLimitResetCredit/consume",
        {"idempotencyKey": "k"},
        -32600,
        "codex account authentication required for rate limit reset credits",
    ),
    (
        "accountSession/switch",
        {"accountId": "a", "sessionId": "s"},
        -32600,
        "Workspace switching requires a managed ChatGPT login",
    ),
    ("thread/realtime/list", {"threadId": UNKNOWN, "limit": 0}, -32600, "realtime page size must be between 1 and 500"),
    ("thread/realtime/stop", {"threadId": UNKNOWN}, -32600, f"thread not found: {UNKNOWN}"),
    (
        "userVerification/cancel",
        {"requestId": 1.5},
        -32600,
        "Invalid request: data did not match any variant of untagged enum RequestId",
    ),
    ("userVerification/enroll", {}, -32603, UNVERIFIABLE),
    ("userVerification/delete", {}, -32603, UNVERIFIABLE),
    ("userVerification/verify", {"challenge": CHALLENGE, "title": "t", "description": "d"}, -32603, UNVERIFIABLE),
    (
        "userVerification/verify",
        {"challenge": "AB", "title": "t", "description": "d"},
        -32602,
        INVALID_CHALLENGE,
    ),
    ("userVerification/verify", {"challenge": CHALLENGE, "title": "", "description": "d"}, -32602, INVALID_CHALLENGE),
    (
        "userVerification/verify",
        {"challenge": CHALLENGE, "title": "t" * 257, "description": "d"},
        -32602,
        INVALID_CHALLENGE,
    ),
    ("remoteControl/enable", None, -32600, "remote control requires ChatGPT authentication"),
    ("remoteControl/disable", {}, -32600, "remote control requires ChatGPT authentication"),
    ("remoteControl/pairing/start", {}, -32600, "remote control pairing requires remote control to be enabled"),
    (
        "remoteControl/pairing/status",
        {},
        -32600,
        "remoteControl/pairing/status requires pairingCode or manualPairingCode",
    ),
    (
        "remoteControl/pairing/status",
        {"pairingCode": "a", "manualPairingCode": "b"},
        -32600,
        "remoteControl/pairing/status accepts either pairingCode or manualPairingCode, not both",
    ),
    ("remoteControl/client/list", {"environmentId": "e"}, -32600, "remote control requires ChatGPT authentication"),
    (
        "remoteControl/client/revoke",
        {"environmentId": "e", "clientId": "c"},
        -32600,
        "remote control requires ChatGPT authentication",
    ),
    (
        "mcpServer/event/stream/start",
        {"threadId": UNKNOWN, "server": "s", "name": "n", "subscriptionId": "x", "arguments": {}},
        -32600,
        "MCP event subscriptions are only supported for hosted apps",
    ),
    (
        "device/key/create",
        {"accountUserId": "", "clientId": "c"},
        -32600,
        f"{INVALID_KEY}: accountUserId must not be empty",
    ),
    (
        "device/key/create",
        {"accountUserId": "u", "clientId": "c"},
        -32600,
        "hardware-backed device keys are not available on this platform",
    ),
    (
        "device/key/public",
        {"keyId": "x"},
        -32600,
        "invalid device key payload: keyId must be dk_hse_, dk_tpm_, or dk_osn_ "
        "followed by unpadded base64url-encoded 32 bytes",
    ),
    ("device/key/public", {"keyId": KEY}, -32600, "device key not found"),
    ("device/key/sign", {"keyId": KEY, "payload": SIGNED}, -32600, "device key not found"),
]


def ask(client: Client, method: str, params: dict[str, Any] | None) -> tuple[Any, Any]:
    """The error and the result of a request whose params may be left out."""
    id = str(uuid.uuid4())
    request = {"id": id, "method": method} | ({} if params is None else {"params": params})
    client.write([json.dumps(request).encode()])
    try:
        return None, client.answer(id)
    except Refused as refused:
        return refused, None


def test_each_method_answers_as_the_reference_does(experimental: Client) -> None:
    for method, params, expected in ANSWERS:
        error, result = ask(experimental, method, params)
        assert (method, error, result) == (method, None, expected)
        structure(result, response_class(method))
    for method, params, code, message in REFUSALS:
        error, result = ask(experimental, method, params)
        assert (method, result, error.code, error.message) == (method, None, code, message)


def test_every_row_has_a_scenario() -> None:
    rows = {method for method, (module, _) in TABLE.items() if module == "elsewhere"}
    notified = {
        "windowsSandbox/setupStart",
        "thread/realtime/start",
        "thread/realtime/listVoices",
        "remoteControl/status/read",
    }
    notified |= {f"thread/realtime/append{what}" for what in ("Audio", "Text", "Speech")}
    assert rows - notified == {method for method, *_ in (*ANSWERS, *REFUSALS)}


def test_remote_control_is_disabled_and_names_the_installation(experimental: Client, home: Path) -> None:
    (home / "installation_id").write_text("damaged")
    told = experimental.call("remoteControl/status/read")
    id = told["installationId"]
    assert told == {
        "status": "disabled",
        "serverName": socket.gethostname(),
        "installationId": str(uuid.UUID(id)),
        "environmentId": None,
    }
    assert (home / "installation_id").read_text() == id
    assert experimental.call("remoteControl/status/read")["installationId"] == id


def test_a_voice_session_fails_and_the_thread_stays_usable(experimental: Client) -> None:
    thread = experimental.start_thread()["id"]
    audio = {"data": "AAAA", "sampleRate": 24000, "numChannels": 1}
    asked: list[tuple[str, dict[str, Any], str | None]] = [
        ("start", {"outputModality": "audio"}, "realtime conversation requires API key auth"),
        ("appendAudio", {"audio": audio}, "conversation is not running"),
        ("appendText", {"text": "x"}, "conversation is not running"),
        ("appendSpeech", {"text": "x"}, "conversation is not running"),
        ("stop", {}, None),
    ]
    for name, params, message in asked:
        since = experimental.now
        assert experimental.call(f"thread/realtime/{name}", threadId=thread, **params) == {}
        what = "thread/realtime/error" if message else "thread/realtime/closed"
        told = experimental.wait_for(what, thread, since=since)
        assert told == {"threadId": thread} | ({"message": message} if message else {"reason": "requested"})
    assert experimental.run_turn(thread, "hello")["status"] == "completed"
    assert experimental.call("thread/realtime/listVoices")["voices"]["defaultV2"] == "marin"


@pytest.mark.parametrize(("mode", "word"), [("elevated", "elevated"), ("unelevated", "legacy")])
def test_the_sandbox_of_windows_cannot_be_prepared(client: Client, mode: str, word: str) -> None:
    since = client.now
    assert client.call("windowsSandbox/setupStart", mode=mode) == {"started": True}
    told = client.messages.find(lambda message: message.get("method") == "windowsSandbox/setupCompleted", since)[
        "params"
    ]
    assert told == {
        "mode": mode,
        "success": False,
        "error": f"{word} Windows sandbox setup is only supported on Windows",
    }


def test_a_user_with_an_api_key_is_told_that_it_is_not_enough(experimental: Client) -> None:
    experimental.call("account/login/start", type="apiKey", apiKey="sk-test")
    for method, message in {
        "account/usage/read": "chatgpt authentication required to read token usage",
        "remoteControl/enable": "remote control requires ChatGPT authentication; API key auth is not supported",
        "plugin/share/list": f"list remote plugin shares: {CATALOGUE}; api key auth is not supported",
    }.items():
        assert experimental.refusal(method).message == message


def test_the_server_says_how_it_fares(experimental: Client, daemon: Daemon) -> None:
    experimental.start_thread()
    told = experimental.call("server/diagnostics")
    assert told["process"]["id"] == daemon.process.pid
    assert told["process"]["residentMemoryBytes"] > 1_000_000
    counts = {gauge["name"]: gauge["value"] for gauge in told["gauges"]}
    assert counts == {"app.clients.connected": 1, "core.processes.running": 0, "core.threads.live": 1}


def test_there_is_one_environment(experimental: Client) -> None:
    told = experimental.call("environment/info", environmentId="local")
    assert told["shell"]["path"].endswith(told["shell"]["name"])
    assert told["cwd"].startswith("file:///")
    assert experimental.call("environment/status", environmentId="local") == {"status": "ready", "error": None}
    unknown = "unknown environment id `x`"
    assert experimental.call("environment/status", environmentId="x") == {"status": "unknown", "error": unknown}
    assert experimental.refusal("environment/info", environmentId="x").message == unknown
    for id, message in {"": "cannot be empty", "local": "is reserved", "x": "on its own machine only"}.items():
        assert message in experimental.refusal("environment/add", environmentId=id, execServerUrl="ws://x").message


def test_credentials_of_aws_are_found_and_not_shown(launch: Callable[..., Daemon], tmp_path: Path) -> None:
    (tmp_path / "config").write_text(
        "[default]\nregion = us-east-1\n[profile work]\nregion = eu-west-1\n[sso-session s]\n"
    )
    (tmp_path / "credentials").write_text("[default]\naws_secret_access_key = secret-1\n[other]\n")
    files = {"AWS_CONFIG_FILE": tmp_path / "config", "AWS_SHARED_CREDENTIALS_FILE": tmp_path / "credentials"}
    prefix = [
        "env",
        *(f"{name}={path}" for name, path in files.items()),
        "AWS_BEARER_TOKEN_BEDROCK=secret-2",
        "AWS_REGION=r",
    ]
    client = launch(prefix=prefix).client(experimentalApi=True)
    told = client.call("account/bedrock/discover")
    assert told == {
        "environmentCredentials": [{"type": "bedrockApiKey", "region": "r"}],
        "profiles": [
            {"name": "default", "region": "us-east-1"},
            {"name": "other", "region": None},
            {"name": "work", "region": "eu-west-1"},
        ],
    }


def test_no_login_waits_and_no_provider_has_a_gateway(client: Client) -> None:
    assert client.refusal("account/login/cancel", loginId="x").message == "invalid login id: x"
    assert client.call("account/login/cancel", loginId=UNKNOWN) == {"status": "notFound"}
    told = client.call("account/gatewayOAuth/read")
    assert (told["required"], told["status"], told["supportsDeviceAuth"]) == (False, None, False)


@pytest.mark.parametrize(
    ("method", "kind", "message"),
    [
        ("chatgpt", {"type": "apiKey", "apiKey": "x"}, "API key login is disabled. Use ChatGPT login instead."),
        ("api", {"type": "chatgpt"}, "ChatGPT login is disabled. Use API key login instead."),
    ],
)
def test_the_configuration_may_allow_one_way_to_log_in(
    launch: Callable[..., Daemon], method: str, kind: dict[str, Any], message: str
) -> None:
    client = launch(options=["-c", f'forced_login_method="{method}"']).client()
    assert client.refusal("account/login/start", **kind).message == message
