"""What a function may know of the call that it carries out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar, get_args, get_origin

import attrs

D = TypeVar("D")

@attrs.frozen(eq=False)
class ToolContext(Generic[D]):
    """The call of a tool. A parameter with this annotation gets it; the model does not see that parameter.

    `deps` is what `start_thread(deps=…)` was given, such as a database of the application. A function may use the runtime and
    the thread, but must not wait for the end of its own turn.
    """

    thread_id: str
    turn_id: str
    call_id: str
    deps: D
    _emit: Callable[[str], Awaitable[None]]

    async def emit_progress(self, message: str) -> None:
        """Notify the subscribers of how far the call is: at most 1,000 characters, and 20 times a second.

        They get `item/mcpToolCall/progress` with the id of the call's item. Of more, only the last is sent, when the call
        ends. In a function that is not async: `trio.from_thread.run(context.emit_progress, message)`.
        """
        await self._emit(message)


def deps_of(kind: Any) -> Any:
    """The type of `deps` in the annotation of a ToolContext, Any if it names none; None if this is another type."""
    if kind is ToolContext:
        return Any
    return get_args(kind)[0] if get_origin(kind) is ToolContext else None
