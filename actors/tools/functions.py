"""Python functions as tools: an embedding application passes them to `start_thread`, and the model calls them.

The schema comes from the signature, so parameters need types; the description is the docstring. An async function runs in the
turn's task and is cancelled with it. Any other runs in a worker thread, and a cancelled turn waits for it. Anything a function
raises, even SystemExit, is the answer to the model. Clients see the calls as calls of dynamic tools.
"""

from __future__ import annotations

import enum
import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any, Literal, TypeAlias, Union, cast, get_args, get_origin, get_type_hints

import attrs
import orjson
import trio
from cattrs import BaseValidationError, transform_error
from cattrs.preconf.orjson import make_converter

from spindle.actors.tools.dynamic import check_dynamic_tools, failed, shown
from spindle.actors.tools.interface import Call, Output, ToolHost
from spindle.rpc.protocol.approvals import DynamicToolCallResponse
from spindle.rpc.protocol.items import TextOutput
from spindle.rpc.protocol.settings import DynamicToolSpec

Explain: TypeAlias = Callable[[BaseException, str], str]
"""Logs an exception as a failure of the named code and returns it as text; re-raises a cancellation in it."""

_SCALARS: Mapping[object, str] = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
_LISTS = (list, Sequence, tuple, set, frozenset, AbstractSet)
_TABLES = (dict, Mapping)


class FunctionTool:
    """One function. Raises TypeError if its signature has no JSON schema."""

    kind: Literal["function"] = "function"
    namespace: str | None = None

    def __init__(self, function: Callable[..., Any], explain: Explain, limiter: trio.CapacityLimiter) -> None:
        """`limiter` bounds the worker threads of functions that are not async."""
        self._explain, self._limiter = explain, limiter
        self.name = function.__name__
        self._function = function
        self._converter = make_converter(forbid_extra_keys=True)
        self._arguments = _arguments_class(function)
        schema = _object(self._arguments, ())
        self._spec = DynamicToolSpec(self.name, inspect.getdoc(function) or "", schema)
        self.offer: dict[str, Any] = {
            "type": "function",
            "name": self.name,
            "description": self._spec.description,
            "strict": False,
            "parameters": schema,
        }

    async def run(self, call: Call, host: ToolHost) -> Output:
        """Call the function. An exception fails the call, not the turn; the model gets its text."""
        return await shown(self._spec, call, host, self._answer)

    async def _answer(self, given: object) -> DynamicToolCallResponse:
        if not isinstance(given, dict):
            return failed("the arguments do not fit: they must be an object")
        try:
            arguments = self._converter.structure(given, self._arguments)
        except Exception as error:  # each type may raise its own
            return failed(f"the arguments do not fit: {_why(error)}")
        named = {field.name: getattr(arguments, field.name) for field in attrs.fields(self._arguments)}
        try:
            if inspect.iscoroutinefunction(self._function):
                result = await self._function(**named)
            else:
                result = await trio.to_thread.run_sync(partial(self._function, **named), limiter=self._limiter)
            return DynamicToolCallResponse([TextOutput(self._text(result))], success=True)
        except BaseException as raised:  # a function may raise anything
            return failed(self._explain(raised, f"the function {self.name}"))

    def _text(self, result: object) -> str:
        return result if isinstance(result, str) else orjson.dumps(self._converter.unstructure(result)).decode()


def function_tools(
    functions: Sequence[Callable[..., Any]], explain: Explain, limiter: trio.CapacityLimiter
) -> list[FunctionTool]:
    """A tool for each function. Raises TypeError, and RpcError for a name that a model cannot call or a duplicate name."""
    tools = [FunctionTool(function, explain, limiter) for function in functions]
    check_dynamic_tools([DynamicToolSpec(tool.name, "", {}) for tool in tools])
    return tools


def _arguments_class(function: Callable[..., Any]) -> type[Any]:
    """A class with one attribute for each parameter."""
    hints = get_type_hints(function)
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(f"{function.__name__}: the parameter {parameter} cannot be passed by name")
        if name not in hints:
            raise TypeError(f"{function.__name__}: the parameter {name} has no type")
        default = attrs.NOTHING if parameter.default is parameter.empty else parameter.default
        fields[name] = attrs.field(type=hints[name], default=default, kw_only=True)
    return attrs.make_class(f"{function.__name__}_arguments", fields)


def _schema(kind: Any, within: Sequence[Any] = ()) -> dict[str, Any]:
    """The JSON schema of a type; `within` are the enclosing classes. Raises TypeError for a type without one."""
    if kind is Any or kind is object:
        return {}
    if kind in _SCALARS:
        return {"type": _SCALARS[kind]}
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal:
        return {"enum": list(args)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(arg, within) for arg in args]}
    if (origin or kind) in _LISTS:
        items = [arg for arg in args if arg is not Ellipsis]
        if len(items) > 1:
            raise TypeError(f"{kind}: the members of a list must be of one type")
        return {"type": "array", "items": _schema(items[0], within) if items else {}}
    if (origin or kind) in _TABLES:
        if args and args[0] is not str:
            raise TypeError(f"{kind}: the keys of an object must be strings")
        return {"type": "object", "additionalProperties": _schema(args[1], within) if args else {}}
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return {"enum": [member.value for member in kind]}
    if isinstance(kind, type) and attrs.has(cast("type[Any]", kind)):
        if kind in within:
            raise TypeError(f"{kind} contains itself, which is not supported")
        return _object(attrs.resolve_types(kind), [*within, kind])
    raise TypeError(f"{kind} has no JSON schema")


def _object(kind: Any, within: Sequence[Any]) -> dict[str, Any]:
    fields = attrs.fields(kind)
    return {
        "type": "object",
        "properties": {field.name: _schema(field.type, within) for field in fields},
        "required": [field.name for field in fields if field.default is attrs.NOTHING],
        "additionalProperties": False,
    }


def _why(error: Exception) -> str:
    """One line, with the paths of the invalid members."""
    return "; ".join(transform_error(error)) if isinstance(error, BaseValidationError) else str(error)
