"""Providers as clients show and edit them."""

from __future__ import annotations

from typing import Any

import pytest

from spindle.rpc.protocol.converter import structure, unstructure
from spindle.rpc.protocol.model_providers import CustomGatewayPatch
from spindle.storage.config.layers import Layer
from spindle.storage.config.provider_edits import can_change_default, gateway_edits, summaries, summary
from spindle.storage.config.writing import WriteRefused

TABLES: dict[str, Any] = {
    "plain": {"name": "Plain", "base_url": "http://x/v1"},
    "keyed": {"name": "Keyed", "base_url": "http://x/v1", "env_key": "K"},
    "secret": {"name": "Secret", "base_url": "http://user:pw@x/v1", "experimental_bearer_token": "t", "env_key": "K"},
    "headers": {"name": "H", "base_url": "http://x/v1?key=1", "http_headers": {"X": "y"}},
    "bare": {},
}
USER = Layer({"type": "user", "file": "/h/config.toml"}, {"model_providers": TABLES})


def patch(**members: object) -> CustomGatewayPatch:
    return structure({"type": "customGateway", **members}, CustomGatewayPatch)


def edited(*layers: Layer, **members: object) -> tuple[str, dict[str, object]]:
    name, edits = gateway_edits([*layers, USER], patch(**members))
    return name, {".".join(edit.keys): edit.value for edit in edits}


def test_a_summary_has_no_credentials() -> None:
    shown = {one["id"]: one for one in unstructure(summaries({"model_providers": TABLES}))}
    assert list(shown) == ["bare", "headers", "keyed", "openai", "plain", "secret"]
    assert shown["openai"]["settings"] == {"type": "openai"}
    assert not shown["openai"]["canEdit"]
    assert shown["plain"]["settings"]["auth"] == {"mode": "none"}
    assert shown["keyed"]["settings"]["auth"] == {"mode": "environmentVariable", "envKey": "K"}
    assert shown["secret"]["settings"]["auth"] == {"mode": "externallyConfigured", "envKey": "K"}
    assert shown["headers"]["settings"]["auth"] == {"mode": "externallyConfigured", "envKey": None}
    assert (shown["plain"]["baseUrl"], shown["secret"]["baseUrl"], shown["headers"]["baseUrl"]) == ("http://x/v1", None, None)
    assert (shown["bare"]["name"], shown["bare"]["baseUrl"]) == ("bare", None)


@pytest.mark.parametrize(
    ("name", "id"),
    [("My GW", "my-gw"), ("Azure! Ünï x", "azure-n-x"), ("!!!", "custom"), ("ollama", "ollama-2"), ("Plain", "plain-2")],
)
def test_a_new_provider_gets_an_id_of_its_own(name: str, id: str) -> None:
    table = f"model_providers.{id}"
    given = {f"{table}.name": name, f"{table}.base_url": "https://x/", f"{table}.wire_api": "responses"}
    assert edited(name=name, baseUrl="https://x/") == (id, given)
    assert edited(name=name, baseUrl="https://x/", envKey="K") == (id, {**given, f"{table}.env_key": "K"})


def test_what_is_not_sent_is_kept_and_null_removes() -> None:
    assert edited(providerId="keyed") == ("keyed", {})
    assert edited(providerId="keyed", name="New") == ("keyed", {"model_providers.keyed.name": "New"})
    assert edited(providerId="keyed", envKey=None)[1] == {"model_providers.keyed.env_key": None}
    assert edited(providerId="plain", envKey=None)[1] == {}
    assert edited(providerId="secret", name="New")[1] == {"model_providers.secret.name": "New"}


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({}, "Enter a provider name."),
        ({"name": " "}, "Enter a provider name."),
        ({"providerId": "plain", "name": ""}, "Enter a provider name."),
        ({"providerId": "plain", "name": None}, "Enter a provider name."),
        ({"name": "x"}, "A base URL is required to create a custom provider."),
        ({"name": "x", "baseUrl": None}, "A base URL is required to create a custom provider."),
        *(
            ({"name": "x", "baseUrl": url}, "Enter an HTTP(S) base URL without credentials, a query, or a fragment.")
            for url in ("", "x", "ftp://x/", "http://u:p@x/", "http://x/?q=1", "http://x/#f")
        ),
        *(
            ({"providerId": "plain", "envKey": name}, "Invalid API key environment variable name.")
            for name in ("", "a b", "1A", "A-B")
        ),
        ({"providerId": "secret", "envKey": "K"}, "Authentication is configured externally. Omit envKey to preserve it."),
        ({"providerId": "headers", "envKey": None}, "Authentication is configured externally. Omit envKey to preserve it."),
        ({"providerId": "openai", "name": "x"}, "A custom provider or gateway cannot use a built-in provider ID."),
        ({"providerId": "none", "name": "x"}, "Unknown provider ID."),
    ],
)
def test_an_invalid_patch_is_refused(members: dict[str, object], reason: str) -> None:
    with pytest.raises(WriteRefused) as caught:
        gateway_edits([USER], patch(**members))
    code = "configPathNotFound" if reason.startswith("Unknown") else "configValidationError"
    assert (caught.value.code, caught.value.reason) == (code, reason)


def test_what_a_stronger_layer_sets_is_read_only() -> None:
    flags = Layer({"type": "sessionFlags"}, {"model_providers": {"plain": {"name": "Flag"}}, "model_provider": "plain"})
    with pytest.raises(WriteRefused) as caught:
        edited(flags, providerId="plain", name="x")
    assert (caught.value.code, caught.value.reason) == ("configLayerReadonly", "This configuration field is read-only.")
    assert edited(flags, providerId="plain", baseUrl="http://y")[1] == {"model_providers.plain.base_url": "http://y"}
    assert not can_change_default([flags, USER])
    assert can_change_default([USER, flags])
    assert summary({"model_providers": {"plain": {"name": "Flag"}}}, "plain").name == "Flag"
