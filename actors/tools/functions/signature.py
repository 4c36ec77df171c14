"""The parameters of a function, as the model gives them."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, get_type_hints

import attrs

from spindle.actors.tools.functions.context import deps_of
from spindle.actors.tools.functions.conversion import Conversion
from spindle.actors.tools.functions.docstrings import described
from spindle.actors.tools.functions.members import bare
from spindle.actors.tools.functions.schema import NoSchema


class Signature:
    """The signature of `function`. Raises TypeError, which names the function and the parameter that has no JSON schema.

    `names` are local names that types in strings may use.
    """

    def __init__(self, function: Callable[..., Any], names: Mapping[str, Any]) -> None:
        self._what = getattr(function, "__qualname__", repr(function))
        parameters = self._parameters(function)
        names = {**names, **_closed_over(function)}
        hints = self._hints(function, names)
        self.context: str | None = None
        """The parameter that gets the ToolContext, if any."""
        self.deps: Any = None
        """The type of `deps` that its annotation names; see `deps_of`."""
        self.description, notes = described(inspect.getdoc(_inner(function)) or "", parameters)
        fields: dict[str, Any] = {}
        for name, parameter in parameters.items():
            if name not in hints:
                raise self._error(f"the parameter {name} has no type")
            kind, note = bare(hints[name])
            if (deps := deps_of(kind)) is not None:
                self.deps, self.context = deps, name
                continue
            default: Any = attrs.NOTHING if parameter.default is parameter.empty else parameter.default
            noted: Any = Annotated[hints[name], notes[name]] if note is None and name in notes else hints[name]
            fields[name] = attrs.field(type=noted, default=default, kw_only=True, alias=name)
        arguments = attrs.make_class("arguments", fields)
        try:
            self._conversion: Conversion[Any] = Conversion(arguments, names=names)
        except NoSchema as error:
            raise self._error(f"the parameter {error}") from error
        self.schema = self._conversion.schema
        self.names = list(fields)
        """The parameters that the model gives."""

    def read(self, given: object) -> dict[str, Any]:
        """The arguments by name in what the model gave. Raises Misfit."""
        arguments = self._conversion.read(given)
        return {name: getattr(arguments, name) for name in self.names}

    def text(self, result: object) -> str:
        """A result for the model. Raises TypeError for one that is no JSON."""
        return self._conversion.text(result)

    def _parameters(self, function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise self._error("a generator has no result; return a list")
        try:
            parameters = inspect.signature(function).parameters
        except ValueError as error:
            raise self._error("its signature is not known; wrap it in a function with types") from error
        for parameter in parameters.values():
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                raise self._error(f"the parameter {parameter} cannot be passed by name")
        return parameters

    def _hints(self, function: Callable[..., Any], names: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            return get_type_hints(_inner(function), localns=dict(names), include_extras=True)
        except NameError as error:
            unknown = re.compile(rf"\b{re.escape(error.name or '')}\b")
            users = [name for name, kind in _inner(function).__annotations__.items() if unknown.search(str(kind))]
            where = f"the parameter {users[0]}: " if users and users[0] != "return" else ""
            raise self._error(f"{where}{error}; define it in the module, or decorate the function with spindle.tool") from error
        except TypeError as error:
            raise self._error(f"its types are not known: {error}") from error

    def _error(self, reason: str) -> TypeError:
        return TypeError(f"{self._what}: {reason}")


def _inner(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of a `functools.partial`."""
    inner: Callable[..., Any] = getattr(function, "func", function)
    return _inner(inner) if type(function) is functools.partial else function


def _closed_over(function: Callable[..., Any]) -> Mapping[str, Any]:
    """The local names around the function that it uses."""
    function = _inner(function)
    inner = inspect.unwrap(getattr(function, "__func__", function))
    code, cells = getattr(inner, "__code__", None), getattr(inner, "__closure__", None) or ()
    names: dict[str, Any] = {}
    for name, cell in zip(code.co_freevars if code is not None else (), cells, strict=False):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return names
