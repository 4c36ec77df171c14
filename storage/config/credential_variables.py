"""The environment variables with credentials, by the configuration."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, cast

from spindle.storage.config.layers import Layer

_TABLES: Final = ("model_providers", "mcp_servers")
_VARIABLE: Final = ("env_key", "bearer_token_env_var")
_HEADERS: Final = "env_http_headers"


def key_variables(raw: Mapping[str, Any], layers: Iterable[Layer]) -> frozenset[str]:
    """The variables from which providers and MCP servers take keys, tokens and headers, whether they are used or not.

    Each layer counts by itself: a project cannot reveal a provider's variable by naming another one.
    """
    tables = [raw, *(layer.config for layer in layers if layer.disabled_reason is None)]
    return frozenset(name for table in tables for name in _named(table))


def _named(config: Mapping[str, Any]) -> Iterator[str]:
    for table in _TABLES:
        for entry in map(_members, _members(config.get(table)).values()):
            named = [*(entry.get(key) for key in _VARIABLE), *_members(entry.get(_HEADERS)).values()]
            yield from (name for name in named if isinstance(name, str))


def _members(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
