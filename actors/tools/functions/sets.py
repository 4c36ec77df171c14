"""Tool sets: the functions of an object, a class or a module."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from attrs import evolve

from spindle.actors.tools.functions.tool import FunctionTool


def tools_of(source: object, prefix: str = "") -> list[FunctionTool[..., Any]]:
    """The tools in `source`, their names after `prefix`.

    A function is one tool. An instance gives its public methods, a class its public static and class methods. A module gives
    the functions of its `__all__`, else those that are defined in it, have a docstring and are public. Raises TypeError.
    """
    found: Sequence[FunctionTool[..., Any]]
    if isinstance(source, FunctionTool):
        found = [cast("FunctionTool[..., Any]", source)]
    elif inspect.isroutine(source):
        found = [FunctionTool(source)]
    elif inspect.ismodule(source):
        found = [*_of_module(source)]
    else:
        found = [*_of_object(source)]
    if not found:
        raise TypeError(f"there is no tool in {source!r}; give functions, or objects, classes or modules with public ones")
    if not prefix:
        return [*found]
    return [FunctionTool(one.function, evolve(one.options, name=prefix + one.name), one.names) for one in found]


def named_apart(sources: Sequence[object]) -> list[FunctionTool[..., Any]]:
    """The tools of all `sources`. Raises TypeError, also for two of one name."""
    tools: dict[str, FunctionTool[..., Any]] = {}
    for source in sources:
        for tool in tools_of(source):
            if (other := tools.setdefault(tool.name, tool)) is not tool:
                raise TypeError(f"{_place(other)} and {_place(tool)} are both tools of the name {tool.name}")
    return [*tools.values()]


def _of_module(module: types.ModuleType) -> Iterator[FunctionTool[..., Any]]:
    listed: Sequence[str] | None = getattr(module, "__all__", None)
    for name in vars(module) if listed is None else listed:
        one: Any = getattr(module, name)
        ours = getattr(one, "__module__", None) == module.__name__ and one.__doc__ and not name.startswith("_")
        if (listed is not None or ours) and (tool := _tool_in(one)) is not None:
            yield tool


def _of_object(source: object) -> Iterator[FunctionTool[..., Any]]:
    kind = source if isinstance(source, type) else type(source)
    names = dict.fromkeys(name for base in reversed(kind.__mro__) if base is not object for name in vars(base))
    for name in names:
        if name.startswith("_"):
            continue
        raw: Any = inspect.getattr_static(kind, name)
        tool = _tool_in(raw.__func__ if isinstance(raw, classmethod | staticmethod) else raw)  # pyright: ignore[reportUnknownMemberType]
        if tool is None:
            continue
        if isinstance(raw, staticmethod):
            yield tool
        elif isinstance(raw, classmethod):
            yield tool.bound(kind)
        elif source is kind:
            raise TypeError(f"{_place(tool)} is a method of instances; pass an instance of {kind.__qualname__}")
        else:
            yield tool.bound(source)


def _tool_in(value: Any) -> FunctionTool[..., Any] | None:
    if isinstance(value, FunctionTool):
        return cast("FunctionTool[..., Any]", value)
    return FunctionTool(value) if inspect.isfunction(value) else None


def _place(tool: FunctionTool[..., Any]) -> str:
    function: Callable[..., Any] = tool.function
    return f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', tool.name)}"
