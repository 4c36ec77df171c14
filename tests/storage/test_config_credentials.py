"""The variables from which the configuration takes credentials."""

from typing import Any

from spindle.storage.config.credential_variables import key_variables
from spindle.storage.config.layers import Layer, merge_layers


def layer(disabled_reason: str | None = None, **tables: Any) -> Layer:
    return Layer({"type": "user"}, tables, disabled_reason)


def test_each_enabled_layer_names_its_variables() -> None:
    """A trusted project cannot reveal a provider's variable by giving it another one."""
    layers = [
        layer(model_providers={"one": {"env_key": "OTHER"}}),
        layer("untrusted", model_providers={"two": {"env_key": "TERM"}}),
        layer(
            model_providers={"one": {"env_key": "KEY", "env_http_headers": {"X": "HEADER", "Y": 3}}},
            mcp_servers={"far": {"bearer_token_env_var": "TOKEN", "env_http_headers": {"Z": "MCP"}, "env_vars": ["LANG"]}},
        ),
    ]
    assert key_variables(merge_layers(layers), layers) == {"OTHER", "KEY", "HEADER", "TOKEN", "MCP"}


def test_invalid_names_are_ignored() -> None:
    raw = {"model_providers": {"a": 1, "b": {"env_key": 2, "env_http_headers": []}}, "mcp_servers": []}
    assert key_variables(raw, []) == frozenset()
