"""Check values against the known keys. Unknown keys are accepted: other versions and programs share the file."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from spindle.storage.config.config_error import describe
from spindle.storage.config.known import AGENT_ROLE, MODEL, PROFILE, PROVIDER, TOP, Kind
from spindle.storage.config.mcp_servers import mcp_faults

_APPROVALS = ("untrusted", "on-failure", "on-request", "never")
_NAMES: Mapping[type, str] = {str: "a string", int: "an integer", bool: "a boolean", dict: "a map", list: "a sequence"}


def faults(config: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """All invalid values: the keys from the top, and the fault."""
    yield from _table(config, TOP, ())
    yield from _approval(config, ())
    for key in ("profiles", "model_providers"):
        for name, value in _members(config.get(key)):
            if not isinstance(value, dict):
                yield (key, name), f"invalid type: {describe(value)}, expected a map"
    yield from _features(config.get("features"), ())
    for name, profile in _tables(config.get("profiles")):
        yield from _features(profile.get("features"), ("profiles", name))
        yield from _table(profile, PROFILE, ("profiles", name))
        yield from _approval(profile, ("profiles", name))
    for name, provider in _tables(config.get("model_providers")):
        at = ("model_providers", name)
        if name == "openai":
            yield at, "the provider `openai` is built in and cannot be redefined; give yours another name"
        yield from _table(provider, PROVIDER, at)
        if provider.get("wire_api", "responses") != "responses" and isinstance(provider["wire_api"], str):
            chat = f'`wire_api = "{provider["wire_api"]}"` is not supported. The server must offer the Responses API'
            yield (*at, "wire_api"), f'{chat} (POST base_url + "/responses"): then write `wire_api = "responses"`'
        for key in ("http_headers", "env_http_headers", "query_params"):
            for member, value in _members(provider.get(key)):
                if not isinstance(value, str):
                    yield (*at, key, member), f"invalid type: {describe(value)}, expected a string"
        yield from _auth(provider, at)
        if "name" not in provider:
            yield at, "missing field `name`"
    for name, role in _tables(config.get("agents")):
        yield from _table(role, AGENT_ROLE, ("agents", name))
    yield from mcp_faults(config.get("mcp_servers"))
    if (otel := config.get("otel")) is not None:
        from spindle.storage.config.otel import otel_faults

        yield from otel_faults(otel)


def _auth(provider: Mapping[str, Any], at: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    auth = provider.get("auth")
    if not isinstance(auth, dict):
        return
    table = cast("dict[str, Any]", auth)
    if not table.get("command"):
        yield (*at, "auth"), "missing field `command`"
    if table.get("timeout_ms") == 0:
        yield (*at, "auth", "timeout_ms"), "invalid value: integer `0`, expected a nonzero u64"
    for number, argument in enumerate(cast("list[object]", table.get("args") or [])):
        if not isinstance(argument, str):
            yield (*at, "auth", "args", str(number)), f"invalid type: {describe(argument)}, expected a string"
    for other in ("env_key", "experimental_bearer_token", "requires_openai_auth"):
        if provider.get(other):
            yield (*at, "auth"), f"provider auth cannot be combined with {other}"


def model_faults(entry: object) -> Iterator[str]:
    """The faults of an entry of a model catalogue, each with its key."""
    if not isinstance(entry, Mapping):
        yield f"invalid type: {describe(entry)}, expected a map"
        return
    model = cast("Mapping[str, Any]", entry)
    if "slug" not in model:
        yield "missing field `slug`"
    for keys, reason in _table(model, MODEL, ()):
        yield f"{'.'.join(keys)}: {reason}"
    levels = model.get("supported_reasoning_levels")
    for level in cast("list[object]", levels) if isinstance(levels, list) else ():
        if not isinstance(level, Mapping) or not isinstance(cast("Mapping[str, object]", level).get("effort"), str):
            yield "supported_reasoning_levels: missing field `effort`"


def _table(
    table: Mapping[str, Any], kinds: Mapping[str, Kind], at: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], str]]:
    for dotted, kind in kinds.items():
        keys = tuple(dotted.split("."))
        value: object = table
        for key in keys:
            value = cast("dict[str, object]", value).get(key) if isinstance(value, Mapping) else None
        if value is None:
            continue
        if isinstance(kind, tuple):
            if not isinstance(value, str):
                yield (*at, *keys), f"invalid type: {describe(value)}, expected a string"
            elif value not in kind:
                yield (*at, *keys), f"unknown variant `{value}`, expected {_one_of(kind)}"
        elif not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            yield (*at, *keys), f"invalid type: {describe(value)}, expected {_NAMES[kind]}"
        elif isinstance(value, int) and value < 0:
            yield (*at, *keys), f"invalid value: integer `{value}`, expected one that is not negative"


def _features(features: object, at: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    for name, value in _members(features):
        if not isinstance(value, bool | dict):
            yield (*at, "features", name), f"invalid type: {describe(value)}, expected a boolean"


def _approval(table: Mapping[str, Any], at: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    policy = table.get("approval_policy")
    if isinstance(policy, str):
        if policy not in _APPROVALS:
            yield (*at, "approval_policy"), f"unknown variant `{policy}`, expected {_one_of((*_APPROVALS, 'granular'))}"
    elif policy is not None and not isinstance(policy, dict):
        yield (*at, "approval_policy"), f"invalid type: {describe(policy)}, expected a string or map"


def _one_of(words: tuple[str, ...]) -> str:
    listed = [f"`{word}`" for word in words]
    return " or ".join(listed) if len(listed) == 2 else "one of " + ", ".join(listed)


def _members(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        yield from cast("dict[str, object]", value).items()


def _tables(value: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, table in _members(value):
        if isinstance(table, dict):
            yield name, cast("dict[str, Any]", table)
