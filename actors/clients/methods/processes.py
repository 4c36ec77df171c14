"""process/*: processes of the client without a sandbox; the client is trusted as it is with files."""

from __future__ import annotations

import os
from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final

import trio
from attrs import evolve

from spindle.actors.clients.processes.launching import (
    CAP,
    TIMEOUT,
    check,
    check_size,
    check_text,
    environment,
    not_started,
    seconds,
)
from spindle.actors.clients.processes.owned import Owned, Words, find, write
from spindle.actors.clients.processes.running import Ended, Running, Stream, Wanted
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.tools.commands.execution import plain
from spindle.actors.tools.commands.process import COLUMNS, ROWS, Command
from spindle.actors.tools.commands.runner import check_exists
from spindle.rpc.protocol.errors import invalid_request
from spindle.rpc.protocol.processes import (
    ProcessExitedNotification,
    ProcessKillParams,
    ProcessKillResponse,
    ProcessOutputDeltaNotification,
    ProcessResizePtyParams,
    ProcessResizePtyResponse,
    ProcessSpawnParams,
    ProcessSpawnResponse,
    ProcessWriteStdinParams,
    ProcessWriteStdinResponse,
)
from spindle.rpc.protocol.shapes import Absent

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller

METHOD: Final = "process/spawn"
WORDS: Final = Words(
    "process/writeStdin", "no active process for process handle", "duplicate active process handle", "process"
)
SIGNALLED: Final = 128
"""Added to the number of the signal that ended a process."""


def spawn(caller: Caller, params: ProcessSpawnParams, reply: Reply[Any]) -> None:
    """process/spawn: answered when the process runs."""
    wanted, handle = _wanted(params), params.process_handle
    owned = caller.own(Owned)

    def emit(stream: Stream, data: bytes, capped: bool) -> None:
        caller.notify(ProcessOutputDeltaNotification(handle, stream, b64encode(data).decode(), capped))

    process = Running(caller.backend.services.warden, wanted, emit, caller.subscriber.outbox.room, owned.held)
    owned.add(owned.spawned, handle, process, WORDS)

    async def run() -> None:
        try:
            full = await trio.to_thread.run_sync(prepare)
            ended = await process.run(full, plain, task_status=_Started(reply))
        except OSError as error:
            reply.reject(not_started(error, "process"))
        except Exception as error:
            reply.reject(error)
        else:
            caller.notify(_exited(handle, ended))
        finally:
            del owned.spawned[handle]

    def prepare() -> Command:
        check_text(params.command, params.env)
        full = evolve(wanted.command, env=environment(caller.backend.config(), params.env))
        check_exists(full)
        return full

    caller.start("a process of a client", run)


def write_stdin(caller: Caller, params: ProcessWriteStdinParams, reply: Reply[Any]) -> None:
    """process/writeStdin"""
    table, text = caller.own(Owned).spawned, params.delta_base64
    write(table, params.process_handle, text, params.close_stdin, reply, ProcessWriteStdinResponse, WORDS)


def kill(caller: Caller, params: ProcessKillParams, reply: Reply[Any]) -> None:
    """process/kill"""
    find(caller.own(Owned).spawned, params.process_handle, WORDS).kill()
    reply.resolve(ProcessKillResponse())


def resize_pty(caller: Caller, params: ProcessResizePtyParams, reply: Reply[Any]) -> None:
    """process/resizePty"""
    check_size(params.size, "process")
    find(caller.own(Owned).spawned, params.process_handle, WORDS).resize(params.size.rows, params.size.cols)
    reply.resolve(ProcessResizePtyResponse())


class _Started:
    """Answers when the process runs."""

    def __init__(self, reply: Reply[Any]) -> None:
        self._reply = reply

    def started(self, value: object = None) -> None:
        self._reply.resolve(ProcessSpawnResponse())


def _wanted(params: ProcessSpawnParams) -> Wanted:
    """The request as a process to run; its environment is still missing. Raises RpcError."""
    if not params.process_handle:
        raise invalid_request("processHandle must not be empty")
    check(METHOD, params.command, params.tty, params.size, "process")
    writable = params.tty or params.stream_stdin
    command = Command(
        argv=params.command,
        cwd=os.path.normpath(params.cwd),
        env={},
        tty=params.tty,
        stdin=writable,
        split=not params.tty,
        size=(ROWS, COLUMNS) if params.size is None else (params.size.rows, params.size.cols),
    )
    return Wanted(
        command=command,
        timeout=TIMEOUT if isinstance(params.timeout_ms, Absent) else seconds(METHOD, params.timeout_ms),
        cap=CAP if isinstance(params.output_bytes_cap, Absent) else params.output_bytes_cap,
        streamed=params.tty or params.stream_stdout_stderr,
        writable=writable,
    )


def _exited(handle: str, ended: Ended) -> ProcessExitedNotification:
    out, errors = ended.streams["stdout"], ended.streams["stderr"]
    return ProcessExitedNotification(
        process_handle=handle,
        exit_code=ended.status if ended.status >= 0 else SIGNALLED - ended.status,
        output_drain_timed_out=ended.held,
        stdout=out.text(),
        stdout_cap_reached=out.capped,
        stderr=errors.text(),
        stderr_cap_reached=errors.capped,
    )
