"""The providers of config.toml as clients show and edit them (`modelProvider/*`)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, Final
from urllib.parse import urlsplit

from spindle.rpc.lenient import mapping
from spindle.rpc.protocol.model_providers import (
    CustomGatewayPatch,
    CustomGatewayProviderSettings,
    EnvironmentVariableAuth,
    ExternallyConfiguredAuth,
    GatewayAuth,
    ModelProviderSummary,
    NoGatewayAuth,
    OpenAiProviderSettings,
)
from spindle.rpc.protocol.shapes import ABSENT
from spindle.rpc.urls import url_fault
from spindle.storage.config.layers import Layer, merge_layers
from spindle.storage.config.providers import OPENAI, providers
from spindle.storage.config.tables import at
from spindle.storage.config.writing import Edit, WriteRefused

_TABLE: Final = "model_providers"
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OTHER_AUTH: Final = (
    *("experimental_bearer_token", "auth", "aws", "gateway_oauth", "requires_openai_auth"),
    *("http_headers", "env_http_headers", "query_params"),
)
"""Keys that may have or name credentials."""
_KEYS: Final = ("name", "base_url", "env_key")
"""Keys of a provider, which a patch has as attributes."""


def summaries(config: Mapping[str, Any]) -> Sequence[ModelProviderSummary]:
    """`openai` and all configured providers, in the order of their ids."""
    listed = sorted({OPENAI, *mapping(config.get(_TABLE))})
    return [summary(config, name) for name in listed]


def summary(config: Mapping[str, Any], name: str) -> ModelProviderSummary:
    """One provider of the settings."""
    if name == OPENAI:
        settings = OpenAiProviderSettings()
        return ModelProviderSummary(id=name, name="OpenAI", can_edit=False, base_url=None, settings=settings)
    table = mapping(mapping(config.get(_TABLE)).get(name))
    return ModelProviderSummary(
        id=name,
        name=str(table.get("name") or name),
        can_edit=True,
        base_url=_shown(table.get("base_url")),
        settings=CustomGatewayProviderSettings(_auth(table)),
    )


def gateway_edits(layers: Sequence[Layer], patch: CustomGatewayPatch) -> tuple[str, Sequence[Edit]]:
    """The id of the provider, and the edits of the user's file. `layers` are all outside of projects, strongest first.

    Raises WriteRefused.
    """
    config = merge_layers(layers)
    known = mapping(config.get(_TABLE))
    name = patch.provider_id
    if name is not None:
        if name not in known:
            if name in providers({}):
                raise _invalid("A custom provider or gateway cannot use a built-in provider ID.")
            raise WriteRefused("configPathNotFound", "Unknown provider ID.")
    table = mapping(known.get(name or ""))
    wanted = {key: value for key in _KEYS if (value := getattr(patch, key)) is not ABSENT}
    if not str(wanted.get("name", table.get("name")) or "").strip():
        raise _invalid("Enter a provider name.")
    if name is None and wanted.get("base_url") is None:
        raise _invalid("A base URL is required to create a custom provider.")
    if (url := wanted.get("base_url")) is not None and _shown(url) is None:
        raise _invalid("Enter an HTTP(S) base URL without credentials, a query, or a fragment.")
    if (variable := wanted.get("env_key")) is not None and not _VARIABLE.fullmatch(variable):
        raise _invalid("Invalid API key environment variable name.")
    if "env_key" in wanted and isinstance(_auth(table), ExternallyConfiguredAuth):
        raise _invalid("Authentication is configured externally. Omit envKey to preserve it.")
    if name is None:
        name = _new_id(str(wanted["name"]), {*known, *providers({})})
        wanted["wire_api"] = "responses"
    edits = [Edit((_TABLE, name, key), value) for key, value in wanted.items() if value is not None or key in table]
    _check_writable(layers, edits)
    return name, edits


def can_change_default(layers: Sequence[Layer]) -> bool:
    """Whether no layer that is stronger than the user's sets the default provider."""
    for layer in layers:
        if layer.is_user:
            break
        if "model_provider" in layer.config:
            return False
    return True


def _check_writable(layers: Sequence[Layer], edits: Sequence[Edit]) -> None:
    for layer in layers:
        if layer.is_user:
            return
        if any(at(layer.config, edit.keys) is not None for edit in edits):
            raise WriteRefused("configLayerReadonly", "This configuration field is read-only.")


def _auth(table: Mapping[str, Any]) -> GatewayAuth:
    key = table.get("env_key")
    if any(table.get(other) for other in _OTHER_AUTH):
        return ExternallyConfiguredAuth(key)
    return NoGatewayAuth() if key is None else EnvironmentVariableAuth(key)


def _shown(url: object) -> str | None:
    """The URL, if it has no place for a secret."""
    if not isinstance(url, str) or url_fault(url) is not None:
        return None
    parts = urlsplit(url)
    return url if not ("@" in parts.netloc or "?" in url or "#" in url) else None


def _new_id(name: str, taken: set[str]) -> str:
    words = "-".join(re.findall("[a-z0-9]+", name.lower())) or "custom"
    candidates = (words if number == 1 else f"{words}-{number}" for number in count(1))
    return next(candidate for candidate in candidates if candidate not in taken)


def _invalid(reason: str) -> WriteRefused:
    return WriteRefused("configValidationError", reason)
