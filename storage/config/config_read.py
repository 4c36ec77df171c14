"""The answer to `config/read`: the settings in the form of the app-server protocol."""

from collections.abc import Mapping
from typing import Any

from spindle.storage.config.effective import Config
from spindle.storage.config.features import SWITCHED, features
from spindle.storage.config.layers import origins
from spindle.storage.config.shown import filled

_NONE: Mapping[str, bool] = {}


def config_read(config: Config, include_layers: bool = False, switched: Mapping[str, bool] = _NONE) -> dict[str, Any]:
    """The JSON answer to `config/read`.

    `config` has the merged settings before any profile, with unknown keys, and null for known keys that are not set;
    `origins` the layer of each leaf; `layers` all layers, strongest first, only on request. `switched` are the features
    that clients have switched in this process.
    """
    shown = filled(config.merged)
    runtime = {one.name: one.enabled for one in features(config, switched) if one.name in SWITCHED}
    shown["features"] = {**runtime, **shown["features"]}
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
