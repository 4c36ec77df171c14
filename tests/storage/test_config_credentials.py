"""Which variables the configuration takes credentials from."""

from typing import Any

from spindle.storage.config.credentials import key_variables
from spindle.storage.config.layers import Layer, merge_layers


def layer(disabled_reason: str | None = None, **tables: Any) -> Layer:
    return Layer({"type": "user"}, tables, disabled_reason)


def test_every_layer_that_counts_names_its_own() -> None:
    """A trusted project that gives a provider another variable does not lay the first one open."""
    layers = [
        layer(model_providers={"one": {"env_key": "OTHER"}}),
        layer("untrusted", model_providers={"two": {"env_key": "TERM"}}),
        layer(
            model_providers={"one": {"env_key": "KEY", "env_http_headers": {"X": "HEADER", "Y": 3}}},
            mcp_servers={"far": {"bearer_token_env_var": "TOKEN", "env_http_headers": {"Z": "MCP"}, "env_vars": ["LANG"]}},
        ),
    ]
    assert key_variables(merge_layers(layers), layers) == {"OTHER", "KEY", "HEADER", "TOKEN", "MCP"}


def test_what_is_no_name_names_nothing() -> None:
    raw = {"model_providers": {"a": 1, "b": {"env_key": 2, "env_http_headers": []}}, "mcp_servers": []}
    assert key_variables(raw, []) == frozenset()
