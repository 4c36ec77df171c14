"""A function with its options: what `@spindle.tool` makes."""

from __future__ import annotations

import sys
import types
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property, update_wrapper
from typing import Any, Concatenate, Final, Generic, Literal, ParamSpec, Self, TypeAlias, TypeVar, cast, overload

from spindle.actors.tools.functions.signature import Signature
from spindle.rpc.lazy_class import frozen

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")

NeedsApproval: TypeAlias = bool | Callable[..., bool | Awaitable[bool]]
"""Whether the user is asked before a call. A function decides it by the ToolContext and the arguments."""
OnError: TypeAlias = Literal["message", "type", "raise"] | Callable[[Exception], str]
"""What the model reads of an exception: `"message"`, its type and message; `"type"`, its type; or what a function returns.

With `"raise"` the turn fails with it.
"""
_ON_ERROR: Final = ("message", "type", "raise")


@frozen(kw_only=True)
class ToolOptions:
    """How a function is offered and called; see `tool`."""

    name: str | None = None
    description: str | None = None
    needs_approval: NeedsApproval = False
    timeout: float | None = None
    on_error: OnError = "message"

    def check(self, what: str) -> None:
        """Raise TypeError or ValueError for a value that is none of those allowed."""
        if not (isinstance(self.needs_approval, bool) or callable(self.needs_approval)):
            raise TypeError(f"{what}: needs_approval must be True, False or a function, not {self.needs_approval!r}")
        if not (self.on_error in _ON_ERROR or callable(self.on_error)):
            raise ValueError(f"{what}: on_error must be one of {', '.join(_ON_ERROR)} or a function, not {self.on_error!r}")
        for option, kind in (("name", str), ("description", str), ("timeout", int | float)):
            if (value := getattr(self, option)) is not None and not isinstance(value, kind):
                raise TypeError(f"{what}: {option} must be {'a text' if kind is str else 'seconds'}, not {value!r}")
        if self.timeout is not None and not self.timeout > 0:
            raise ValueError(f"{what}: timeout must be more than 0 seconds, not {self.timeout!r}")


class FunctionTool(Generic[P, R]):
    """A function that the model may call. To call it yourself, call it as the function."""

    def __init__(
        self, function: Callable[P, R], options: ToolOptions | None = None, names: Mapping[str, Any] | None = None
    ) -> None:
        """`names` are local names that types in strings may use."""
        self.options = options or ToolOptions()
        self.options.check(getattr(function, "__qualname__", repr(function)))
        self.function, self.names = function, names or {}
        update_wrapper(cast("Any", self), function, updated=())

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    @overload
    def __get__(self, instance: None, owner: object = None) -> Self: ...
    @overload
    def __get__(self: FunctionTool[Concatenate[Any, Q], R], instance: object, owner: object = None) -> FunctionTool[Q, R]: ...
    def __get__(self, instance: object, owner: object = None) -> Any:
        """The tool of a method, bound as the method is."""
        return self if instance is None else self.bound(instance)

    def bound(self, instance: object) -> FunctionTool[..., R]:
        """The tool with `instance` as its first argument."""
        return FunctionTool(cast("Any", types.MethodType(self.function, instance)), self.options, self.names)

    @property
    def name(self) -> str:
        """Its name for the model."""
        return self.options.name or str(getattr(self.function, "__name__", ""))

    @property
    def description(self) -> str:
        """What the model is offered it with: the docstring, unless another text was given."""
        return self.signature.description if self.options.description is None else self.options.description

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The JSON schema of its parameters. Raises TypeError if they have none."""
        return self.signature.schema

    @cached_property
    def signature(self) -> Signature:
        """Its parameters and their conversion. Raises TypeError."""
        return Signature(self.function, self.names)

    def __repr__(self) -> str:
        return f"<tool {self.name}>"


@overload
def tool(
    function: Callable[P, R],
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    needs_approval: NeedsApproval = False,
    timeout: float | None = None,
    on_error: OnError = "message",
) -> FunctionTool[P, R]: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    needs_approval: NeedsApproval = False,
    timeout: float | None = None,
    on_error: OnError = "message",
) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    needs_approval: NeedsApproval = False,
    timeout: float | None = None,
    on_error: OnError = "message",
) -> Any:
    """Make a tool of a function, with options: `@tool`, `@tool(timeout=5)` or `tool(function, timeout=5)`.

    name: for the model; by default that of the function.
    description: for the model; by default the docstring.
    needs_approval: whether the user is asked before each call, or `f(context, **arguments)`, which says so, sync or async.
        The thread's policy `never` with full access never asks, as for tools of MCP servers.
    timeout: seconds after which the call fails and the model reads that it timed out. The wait for an approval does not
        count. An async function is cancelled. Any other goes on in its worker thread, which the thread's end waits for, and
        its result is dropped.
    on_error: what the model reads of an exception, see `OnError`.
    Raises TypeError or ValueError for an option that is none of these.
    """
    options = ToolOptions(
        name=name, description=description, needs_approval=needs_approval, timeout=timeout, on_error=on_error
    )
    names = sys._getframe(1).f_locals  # pyright: ignore[reportPrivateUsage]  # the types of a local function may be local classes

    def decorate(given: Callable[..., Any]) -> FunctionTool[..., Any]:
        if isinstance(given, FunctionTool):
            return FunctionTool(given.function, options, given.names)
        if isinstance(given, classmethod | staticmethod) or not callable(given):
            raise TypeError(f"{given!r} is no function; put @classmethod and @staticmethod above @spindle.tool")
        if options.name is None and not hasattr(given, "__name__"):
            raise TypeError(f"{given!r} has no name of its own; give it one with `name=`")
        local = "<locals>" in getattr(given, "__qualname__", "") and any(
            isinstance(kind, str) for kind in getattr(given, "__annotations__", {}).values()
        )
        return FunctionTool(given, options, dict(names) if local else None)

    return decorate if function is None else decorate(function)
