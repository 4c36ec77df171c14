"""thread/shellCommand and thread/backgroundTerminals: commands in a thread that no call of the model waits for."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from spindle.actors.clients.identity import thread_id
from spindle.actors.clients.requests import mapped
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.registry.messages import ToThread
from spindle.actors.thread.messages import EndTerminal, EndTerminals, ListTerminals, RunScript
from spindle.actors.tools.commands.sessions import Terminal
from spindle.rpc.protocol.errors import INVALID_PARAMS, RpcError, invalid_request
from spindle.rpc.protocol.thread_changes import (
    ThreadBackgroundTerminal,
    ThreadBackgroundTerminalsCleanParams,
    ThreadBackgroundTerminalsCleanResponse,
    ThreadBackgroundTerminalsListParams,
    ThreadBackgroundTerminalsListResponse,
    ThreadBackgroundTerminalsTerminateParams,
    ThreadBackgroundTerminalsTerminateResponse,
    ThreadShellCommandParams,
    ThreadShellCommandResponse,
)

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller


def _empty(response: Callable[[], object]) -> Callable[[object], object]:
    """Answers with a response that has nothing to say."""
    return lambda _done: response()


def shell_command(caller: Caller, params: ThreadShellCommandParams, reply: Reply[Any]) -> None:
    """thread/shellCommand"""
    id = thread_id(params.thread_id)
    if not params.command.strip():
        raise invalid_request("command must not be empty")
    if params.timeout_ms is not None and params.timeout_ms < 0:
        text = f"thread/shellCommand timeoutMs must be non-negative, got {params.timeout_ms}"
        raise RpcError(INVALID_PARAMS, text)
    out = mapped(reply, _empty(ThreadShellCommandResponse))
    message = RunScript(reply=out, script=params.command, timeout_ms=params.timeout_ms)
    caller.backend.registry.route(ToThread(id, message))


def clean(caller: Caller, params: ThreadBackgroundTerminalsCleanParams, reply: Reply[Any]) -> None:
    """thread/backgroundTerminals/clean"""
    out = mapped(reply, _empty(ThreadBackgroundTerminalsCleanResponse))
    caller.backend.registry.route(ToThread(thread_id(params.thread_id), EndTerminals(reply=out)))


def list_(caller: Caller, params: ThreadBackgroundTerminalsListParams, reply: Reply[Any]) -> None:
    """thread/backgroundTerminals/list"""
    start = 0 if params.cursor is None else _offset(params.cursor)

    def page(terminals: list[Terminal]) -> ThreadBackgroundTerminalsListResponse:
        end = len(terminals) if params.limit is None else start + max(params.limit, 1)
        more = str(end) if end < len(terminals) else None
        return ThreadBackgroundTerminalsListResponse([_shown(one) for one in terminals[start:end]], more)

    message = ListTerminals(reply=mapped(reply, page))
    caller.backend.registry.route(ToThread(thread_id(params.thread_id), message))


def terminate(caller: Caller, params: ThreadBackgroundTerminalsTerminateParams, reply: Reply[Any]) -> None:
    """thread/backgroundTerminals/terminate"""
    if _NUMBER.fullmatch(params.process_id) is None:
        raise invalid_request("invalid background terminal process id: invalid digit found in string")
    message = EndTerminal(reply=mapped(reply, ThreadBackgroundTerminalsTerminateResponse), process_id=params.process_id)
    caller.backend.registry.route(ToThread(thread_id(params.thread_id), message))


_NUMBER: Final = re.compile(r"[+-]?[0-9]+")
"""How a client names a terminal."""


def _offset(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdigit()):
        raise invalid_request(f"invalid cursor: {cursor}")
    return int(cursor)


def _shown(terminal: Terminal) -> ThreadBackgroundTerminal:
    return ThreadBackgroundTerminal(
        item_id=terminal.item_id,
        process_id=terminal.process_id,
        command=terminal.command,
        cwd=terminal.cwd,
        os_pid=terminal.os_pid,
    )
