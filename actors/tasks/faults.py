"""Faults: what foreign code raised, told apart from cancellation, so that it hurts nothing else.

Foreign code is a tool, a model, a hook, a background task: it may raise anything, `SystemExit` included, and a nursery of its
own may raise its error together with the `Cancelled` of an interrupt.
"""

from __future__ import annotations

import logging
import math
from typing import Any, cast

import trio

log = logging.getLogger("spindle")


class Crashed(Exception):
    """Foreign code raised `cause`, which is no Exception: what is meant to end a program or a generator."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(f"{type(cause).__name__}: {cause}")
        self.__cause__ = cause


def parts(raised: BaseException) -> tuple[BaseException | None, Exception | None]:
    """(the cancellation in `raised`, to be raised again; what else went wrong).

    An error alone in its group comes without the group; what is no Exception comes as Crashed.
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
    """What went wrong in `raised`. Raises the cancellation in it, if there is one, after logging the rest as `what`.

    A Cancelled that was not meant for the current task, as one that another task has handed on, is a fault like any other.
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
        # what is raised holds this frame: a frame that holds what is raised would stay until the collector comes
        del raised, cancelled, error


def keyboard(raised: BaseException) -> bool:
    """Whether `raised` has a KeyboardInterrupt in it. Where trio may deliver one, it is the program's and has to pass."""
    if isinstance(raised, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", raised).subgroup(KeyboardInterrupt) is not None
    return isinstance(raised, KeyboardInterrupt)


def said(error: Exception) -> str:
    """What `error` says, as text that can be encoded."""
    try:
        return str(error).encode("utf-8", "replace").decode()
    except Exception:  # its words are foreign code too
        return type(error).__name__


def explain(raised: BaseException, what: str) -> str:
    """Log what went wrong in `raised` as a failure of `what`, and return it in words, after its type. Raises as `fault`."""
    try:
        error = fault(raised, what)
        log.error("%s failed", what, exc_info=error)
        return said(error) if isinstance(error, Crashed) else f"{type(error).__name__}: {said(error)}"
    finally:
        del raised  # see `fault`
