"""Faults: exceptions of foreign code, separated from cancellation, so that they end only the call that met them.

Foreign code is a tool, a model, a hook or a background task. It may raise anything, even `SystemExit`. If it has a nursery, its
error may come in one group with the `Cancelled` of an interrupt.
"""

from __future__ import annotations

import logging
import math
from typing import Any, cast

import trio

log = logging.getLogger("spindle")


class Crashed(Exception):
    """Foreign code raised `cause`, which is not an Exception: what is meant to end a program or a generator."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(f"{type(cause).__name__}: {cause}")
        self.__cause__ = cause


def parts(raised: BaseException) -> tuple[BaseException | None, Exception | None]:
    """(the cancellation in `raised`, to be raised again; what else went wrong).

    An error alone in its group comes without the group; what is not an Exception comes as Crashed.
    """
    if isinstance(raised, trio.Cancelled):
        return raised, None
    cancelled: BaseException | None = None
    error: BaseException | None = raised
    if isinstance(raised, BaseExceptionGroup):
        cancelled, error = cast("BaseExceptionGroup[BaseException]", raised).split(trio.Cancelled)
    error = _alone(error)
    return cancelled, error if isinstance(error, Exception | None) else Crashed(error)


def _alone(error: BaseException | None) -> BaseException | None:
    if not isinstance(error, BaseExceptionGroup):
        return error
    inner: Any = cast("Any", error).exceptions
    return _alone(inner[0]) if len(inner) == 1 else cast("BaseException", error)


def fault(raised: BaseException, what: str) -> Exception:
    """Return the error in `raised`. If there is a cancellation in it, log the error under `what` and raise the cancellation.

    A Cancelled that does not belong to the current task, for example one passed on from another task, counts as an error.
    """
    cancelled, error = parts(raised)
    try:
        if cancelled is None:
            assert error is not None
            return error
        if trio.current_effective_deadline() != -math.inf:
            return Crashed(raised)
        if error is not None:
            log.error("%s failed while it was cancelled", what, exc_info=error)
        raise cancelled
    finally:
        # the exception holds this frame; if the frame held the exception, both would wait for the garbage collector
        del raised, cancelled, error


def keyboard(raised: BaseException) -> bool:
    """Whether `raised` has a KeyboardInterrupt in it. Where trio may deliver one, it is the program's and has to pass."""
    if isinstance(raised, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", raised).subgroup(KeyboardInterrupt) is not None
    return isinstance(raised, KeyboardInterrupt)


def message_of(error: Exception) -> str:
    """The message of `error`, as text that can be encoded."""
    try:
        return str(error).encode("utf-8", "replace").decode()
    except Exception:  # __str__ is foreign code too
        return type(error).__name__


def explain(raised: BaseException, what: str) -> tuple[Exception, str]:
    """Log the error in `raised` as a failure of `what`; return it, and its type and message.

    Raises a cancellation as `fault` does.
    """
    try:
        error = fault(raised, what)
        log.error("%s failed", what, exc_info=error)
        text = message_of(error) if isinstance(error, Crashed) else f"{type(error).__name__}: {message_of(error)}"
        return error, text
    finally:
        del raised  # see `fault`
