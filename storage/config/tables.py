"""Tables of settings as plain data: merging, and values at a path of keys."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from spindle.storage.config.config_error import ConfigError, describe


def merge(weaker: Mapping[str, Any], stronger: Mapping[str, Any]) -> dict[str, Any]:
    """Merge tables key by key; other values of the stronger one replace those of the weaker one."""
    merged = dict(weaker)
    for key, value in stronger.items():
        old: Any = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            merged[key] = merge(cast("dict[str, Any]", old), cast("dict[str, Any]", value))
        else:
            merged[key] = value
    return merged


def at(table: Mapping[str, Any], keys: Sequence[str]) -> object:
    """The value at a path of keys; None if there is none."""
    value: object = table
    for key in keys:
        if not isinstance(value, dict | Mapping):
            return None
        value = cast("Mapping[str, object]", value).get(key)
    return value


def put(content: Mapping[str, Any], keys: Sequence[str], value: object, *, upsert: bool = False) -> dict[str, Any]:
    """A copy of the settings with one value changed. `upsert` merges a table into the table that is there.

    None removes the value; where there is none, nothing changes. Raises ConfigError if a value on the way is no table.
    """
    changed = dict(content)
    key, *rest = keys
    old: Any = changed.get(key)
    if rest:
        if value is None and not isinstance(old, dict):
            return changed
        if old is not None and not isinstance(old, dict):
            raise ConfigError(f"cannot set value on non-table parent: `{key}` is {describe(old)}")
        changed[key] = put(cast("dict[str, Any]", old or {}), rest, value, upsert=upsert)
    elif value is None:
        changed.pop(key, None)
    elif upsert and isinstance(old, dict) and isinstance(value, dict):
        changed[key] = merge(cast("dict[str, Any]", old), cast("dict[str, Any]", value))
    else:
        changed[key] = value
    return changed


def filled(table: Mapping[str, Any]) -> Mapping[str, Any]:
    """The table without empty tables."""
    out: dict[str, Any] = {}
    for key, value in table.items():
        inner = filled(cast("dict[str, Any]", value)) if isinstance(value, dict) else value
        if inner or not isinstance(value, dict):
            out[key] = inner
    return out
