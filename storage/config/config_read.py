"""The answer to `config/read`: the settings in the form of the app-server protocol."""

from collections.abc import Mapping
from typing import Any

from spindle.storage.config.effective import Config
from spindle.storage.config.known import SHOWN, SHOWN_PROFILE, SHOWN_PROVIDER, SHOWN_WORKSPACE_WRITE
from spindle.storage.config.layers import origins

# Always tables, as clients read their members.
_TABLES = ("profiles", "marketplaces", "plugins", "mcp_servers", "model_providers", "features")


def config_read(config: Config, include_layers: bool = False) -> dict[str, Any]:
    """The JSON answer to `config/read`.

    `config` has the merged settings before any profile, with unknown keys, and null for known keys that are not set;
    `origins` the layer of each leaf; `layers` all layers, strongest first, only on request.
    """
    shown: dict[str, Any] = dict.fromkeys(SHOWN)
    shown |= {key: {} for key in _TABLES}
    shown |= config.merged
    if shown["tools"] is not None:
        tools: dict[str, Any] = shown["tools"]
        search: Any = tools.get("web_search")
        # Formerly a boolean; clients expect a table or null.
        shown["tools"] = {"view_image": None, **tools, "web_search": None if isinstance(search, bool) else search}
    if shown["sandbox_workspace_write"] is not None:
        shown["sandbox_workspace_write"] = {**SHOWN_WORKSPACE_WRITE, **shown["sandbox_workspace_write"]}
    shown["profiles"] = _filled(shown["profiles"], dict.fromkeys(SHOWN_PROFILE))
    shown["model_providers"] = _filled(shown["model_providers"], SHOWN_PROVIDER)
    if shown["analytics"] is not None:
        shown["analytics"] = {"enabled": None, **shown["analytics"]}
    answer: dict[str, Any] = {"config": shown, "origins": origins(config.layers), "layers": None}
    if include_layers:
        answer["layers"] = [
            {
                "name": layer.source,
                "version": layer.version,
                "config": layer.config,
                "disabledReason": layer.disabled_reason,
            }
            for layer in config.layers
        ]
    return answer


def _filled(tables: Mapping[str, Any], members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {**members, **table} for name, table in tables.items()}
