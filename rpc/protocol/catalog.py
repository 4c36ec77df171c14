"""The methods a client may call: their parameters, and which of them need the experimentalApi capability.

The names are those of Codex 0.124, in its order, followed by those of later versions, in theirs. The error for an
unknown method lists them. A parameter class is imported when its method is first called.
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final

import attrs

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.converter import structure
from spindle.rpc.protocol.errors import RpcError, invalid_request
from spindle.rpc.protocol.invalid import InvalidValue, Unsupported, invalid_type, one_of
from spindle.rpc.protocol.method_table import TABLE
from spindle.rpc.protocol.shapes import ABSENT, wire_name


@frozen
class Method:
    """A method. `params` and `response` name classes in `module` of this package.

    `params` is None where there are none; a "?" behind it says that a request may leave them out.
    """

    name: str
    module: str
    params: str | None
    response: str
    experimental: bool


EXPERIMENTAL_NOTIFICATIONS: Final = frozenset(
    (
        "process/exited",
        "process/outputDelta",
        "project/changed",
        "rawResponse/completed",
        "thread/project/updated",
        "thread/queue/changed",
        "thread/readState/changed",
        "thread/search/partial",
        "thread/settings/updated",
        "turn/moderationMetadata",
    )
)
"""Notifications that are sent only to connections with the experimentalApi capability."""


METHODS: Final[Mapping[str, Method]] = MappingProxyType(
    {row[0]: Method(*row) for row in TABLE}
)
"""All served methods, by name."""


@cache
def params_class(method: str) -> Any | None:
    """The class (or tagged union) of a method's parameters; None where it has none."""
    entry = METHODS[method]
    if entry.params is None:
        return None
    return getattr(import_module(f"spindle.rpc.protocol.{entry.module}"), entry.params.rstrip("?"))


@cache
def response_class(method: str) -> Any:
    """The class (or tagged union) of the answer to a method."""
    entry = METHODS[method]
    return getattr(import_module(f"spindle.rpc.protocol.{entry.module}"), entry.response)


def structure_params(method: str, params: object, has_params: bool = True) -> Any:
    """Structure a request's decoded parameters as the class of its method.

    Returns None for methods without parameters. Raises `RpcError` (-32600) for an unknown method, missing parameters,
    parameters of the wrong shape, and unsupported members.
    """
    entry = METHODS.get(method)
    if entry is None:
        raise _invalid(f"unknown variant `{method}`, expected {one_of(tuple(METHODS))}")
    if entry.params is None:
        if params is None or params == {}:
            return None
        raise _invalid(invalid_type(params, "unit").message)
    if not has_params or params is None:
        if not entry.params.endswith("?"):
            raise _invalid("missing field `params`")
        params = {}
    cls: Any = params_class(method)
    try:
        return structure(params, cls)
    except Unsupported as error:
        raise invalid_request(f"{method}.{error.path} is not supported") from error
    except InvalidValue as error:
        raise _invalid(str(error)) from error


def check_experimental(method: str, params: object) -> None:
    """Refuse methods and members that need the experimentalApi capability.

    `params` is the result of `structure_params`. Raises `RpcError` (-32600) with the name of the method or member.
    """
    reason = _experimental_use(method, params)
    if reason is not None:
        raise invalid_request(f"{reason} requires experimentalApi capability")


def parse_params(method: str, params: object, has_params: bool, experimental: bool) -> Any:
    """Structure the parameters, then check them unless the connection is `experimental`. Raises `RpcError`."""
    structured = structure_params(method, params, has_params)
    if not experimental:
        check_experimental(method, structured)
    return structured


def _invalid(message: str) -> RpcError:
    return invalid_request(f"Invalid request: {message}")


def _experimental_use(method: str, params: object) -> str | None:
    if METHODS[method].experimental:
        return method
    cls: Any = type(params)
    if not attrs.has(cls):
        return None
    variant: str | None = getattr(params, "EXPERIMENTAL", None)
    if variant is not None:
        return variant
    for attribute, field, nullable in _gated(cls):
        value = getattr(params, attribute)
        if field is not None and (value is not ABSENT if nullable else value is not None and value is not False):
            return f"{method}.{field}"
        if field is None:
            inner: str | None = getattr(value, "EXPERIMENTAL", None)
            if inner is not None:
                return inner
    return None


@cache
def _gated(cls: Any) -> tuple[tuple[str, str | None, bool], ...]:
    """The attributes to check, in order: their names, their names in errors (None if only some values are experimental), and
    whether null is a value of its own.
    """
    gated: list[tuple[str, str | None, bool]] = []
    for attribute in attrs.fields(cls):
        mark = attribute.metadata.get("experimental")
        if mark is not None:
            name = mark if isinstance(mark, str) else wire_name(attribute)
            gated.append((attribute.name, name, attribute.default is ABSENT))
        elif attribute.name == "approval_policy":
            gated.append((attribute.name, None, False))
    return tuple(gated)
