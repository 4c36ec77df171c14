"""command/exec: a command outside of any thread, in the sandbox that the configuration or the request names."""

from __future__ import annotations

import os
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

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
from spindle.actors.clients.processes.owned import Owned, Words, find
from spindle.actors.clients.processes.owned import write as write_to
from spindle.actors.clients.processes.running import MOST, Running, Stream, Wanted
from spindle.actors.clients.requests import check_profile
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.settings.allowed import check as check_allowed
from spindle.actors.settings.allowed import limited
from spindle.actors.settings.requests import settings_for
from spindle.actors.settings.restrictions import asked_sandbox
from spindle.actors.settings.settings import Settings
from spindle.actors.tools.commands.execution import confined, plain
from spindle.actors.tools.commands.process import COLUMNS, ROWS, Command
from spindle.actors.tools.commands.runner import check_exists
from spindle.actors.tools.sandbox.confinement import Confinement, Place
from spindle.actors.tools.sandbox.profile import ProfileError, of_settings
from spindle.actors.tools.sandbox.sandbox import SandboxUnavailable
from spindle.rpc.protocol.errors import INVALID_PARAMS, RpcError, internal_error, invalid_request
from spindle.rpc.protocol.invalid import describe
from spindle.rpc.protocol.processes import (
    CommandExecOutputDeltaNotification,
    CommandExecParams,
    CommandExecResizeParams,
    CommandExecResizeResponse,
    CommandExecResponse,
    CommandExecTerminateParams,
    CommandExecTerminateResponse,
    CommandExecWriteParams,
    CommandExecWriteResponse,
)
from spindle.rpc.protocol.settings import ExternalSandboxPolicy
from spindle.rpc.protocol.threads import ThreadStartParams
from spindle.storage.config import Config, ConfigError

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller

METHOD: Final = "command/exec"
WRITING: Final = Words(
    "command/exec/write",
    "no active command/exec for process id",
    "duplicate active command/exec process id",
    "command/exec",
)
_UNSET: Final = "CODEX_SANDBOX_NETWORK_DISABLED"


def execute(caller: Caller, params: CommandExecParams, reply: Reply[Any]) -> None:
    """command/exec"""
    wanted = _wanted(caller, params)
    owned = caller.own(Owned)
    name: object = object() if params.process_id is None else params.process_id

    def emit(stream: Stream, data: bytes, capped: bool) -> None:
        text = b64encode(data).decode()
        caller.notify(CommandExecOutputDeltaNotification(params.process_id or "", stream, text, capped))

    process = Running(caller.backend.services.warden, wanted, emit, caller.subscriber.outbox.room, owned.held)
    owned.add(owned.commands, name, process, WRITING)

    async def run() -> None:
        try:
            reply.resolve(await _run(caller, params, process))
        except OSError as error:
            reply.reject(not_started(error, "command"))
        except Exception as error:
            reply.reject(error)
        finally:
            del owned.commands[name]

    caller.start("a command of a client", run)


def write(caller: Caller, params: CommandExecWriteParams, reply: Reply[Any]) -> None:
    """command/exec/write"""
    table, text = caller.own(Owned).commands, params.delta_base64
    write_to(table, params.process_id, text, params.close_stdin, reply, CommandExecWriteResponse, WRITING)


def resize(caller: Caller, params: CommandExecResizeParams, reply: Reply[Any]) -> None:
    """command/exec/resize"""
    check_size(params.size, METHOD)
    find(caller.own(Owned).commands, params.process_id, WRITING).resize(params.size.rows, params.size.cols)
    reply.resolve(CommandExecResizeResponse())


def terminate(caller: Caller, params: CommandExecTerminateParams, reply: Reply[Any]) -> None:
    """command/exec/terminate: answered before the command itself."""
    find(caller.own(Owned).commands, params.process_id, WRITING).kill()
    reply.resolve(CommandExecTerminateResponse())


def _wanted(caller: Caller, params: CommandExecParams) -> Wanted:
    """The request as a process to run; its environment is still missing. Raises RpcError."""
    check(METHOD, params.command, params.tty, params.size, METHOD)
    if params.process_id is None and (params.tty or params.stream_stdin or params.stream_stdout_stderr):
        raise invalid_request("command/exec tty or streaming requires a client-supplied processId")
    if params.timeout_ms is not None and params.disable_timeout:
        raise RpcError(INVALID_PARAMS, "command/exec cannot set both timeoutMs and disableTimeout")
    if params.output_bytes_cap is not None and params.disable_output_cap:
        raise RpcError(INVALID_PARAMS, "command/exec cannot set both outputBytesCap and disableOutputCap")
    asked = None if params.timeout_ms is None else seconds(METHOD, params.timeout_ms)
    cap = CAP if params.output_bytes_cap is None else params.output_bytes_cap
    size = (ROWS, COLUMNS) if params.size is None else (params.size.rows, params.size.cols)
    writable = params.tty or params.stream_stdin
    command = Command(
        argv=params.command,
        cwd=os.path.normpath(os.path.join(caller.cwd, params.cwd or "")),
        env={},
        tty=params.tty,
        stdin=writable,
        split=not params.tty,
        size=size,
    )
    return Wanted(
        command=command,
        timeout=seconds(METHOD, None) if params.disable_timeout else TIMEOUT if asked is None else asked,
        cap=None if params.disable_output_cap else cap,
        streamed=params.tty or params.stream_stdout_stderr,
        writable=writable,
    )


async def _run(caller: Caller, params: CommandExecParams, process: Running) -> CommandExecResponse:
    """Run the command and answer. Raises RpcError, and OSError if it cannot be started."""
    backend, command = caller.backend, process.wanted.command

    def prepare() -> tuple[Command, Confinement | None]:
        check_text(params.command, params.env)
        try:
            config = backend.config_loader.load(Path(command.cwd))
        except ConfigError as error:
            raise internal_error(f"failed to load configuration: {error}") from error
        settings = _settings(config, params, command.cwd)
        env = environment(config, params.env)
        place = Place(command.cwd, str(backend.home.path), env.get("TMPDIR"))
        try:
            confinement = of_settings(settings.sandbox, settings.profile, place)
        except ProfileError as error:
            raise invalid_request(f"invalid permission profile: {error}") from error
        if isinstance(settings.sandbox, ExternalSandboxPolicy) and settings.sandbox.network_access == "restricted":
            env[_UNSET] = "1"
        full = evolve(command, env=env, confinement=confinement)
        check_exists(full)
        return full, confinement

    full, confinement = await trio.to_thread.run_sync(prepare)
    services = backend.services
    if confinement is None:
        ended = await process.run(full, plain)
    else:
        try:
            ended = await process.run(full, confined(services.sandbox, confinement))
        except SandboxUnavailable as error:
            raise internal_error(f"the command was not run: {error}") from error
    if ended.lost:
        raise invalid_request(
            f"the command has ended with exit code {max(ended.status, -1)}, but its output is more than is kept: "
            f"{MOST} bytes for all commands of a client; streamStdoutStderr has no such limit"
        )
    out, errors = (ended.streams[name].text() for name in ("stdout", "stderr"))
    return CommandExecResponse(max(ended.status, -1), out, errors)


def _settings(config: Config, params: CommandExecParams, cwd: str) -> Settings:
    """The settings with the sandbox that the request names, or else the configuration. Raises RpcError."""
    settings = settings_for(config, ThreadStartParams(), server_cwd=cwd)
    profile = params.permission_profile
    if profile is not None and not isinstance(profile, str | dict):
        raise invalid_request(f"Invalid request: invalid type: {describe(profile)}, expected a string (at permissionProfile)")
    if profile is not None and params.sandbox_policy is not None:
        raise invalid_request("`permissionProfile` cannot be combined with `sandboxPolicy`")
    given = cast("dict[str, object]", profile) if isinstance(profile, dict) else None
    check_profile(given)
    asked = asked_sandbox(
        config,
        sandbox_policy=params.sandbox_policy,
        profile=given,
        permissions=profile if isinstance(profile, str) else None,
    )
    if asked is None:
        return limited(settings, config.requirements)[0]
    settings = evolve(settings, sandbox=asked[0], profile=asked[1])
    check_allowed(settings, config.requirements)
    return settings
