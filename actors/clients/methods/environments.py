"""environment/*: the machines where commands run. There is one: the server's own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from spindle.actors.kernel.mailbox import Reply
from spindle.actors.tools.commands.environment import user_shell
from spindle.rpc.protocol.environments import (
    EnvironmentAddParams,
    EnvironmentInfoParams,
    EnvironmentInfoResponse,
    EnvironmentShellInfo,
    EnvironmentStatusParams,
    EnvironmentStatusResponse,
)
from spindle.rpc.protocol.errors import invalid_request
from spindle.rpc.protocol.settings import LOCAL_ENVIRONMENT

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller


def add(caller: Caller, params: EnvironmentAddParams, reply: Reply[Any]) -> None:
    """environment/add: refused, since commands of this server run on its own machine only."""
    if not params.environment_id:
        raise invalid_request("exec-server protocol error: environment id cannot be empty")
    if params.environment_id == LOCAL_ENVIRONMENT:
        raise invalid_request(
            f"exec-server protocol error: environment id `{LOCAL_ENVIRONMENT}` is reserved for EnvironmentManager"
        )
    if not params.exec_server_url:
        raise invalid_request("exec-server protocol error: remote environment requires an exec-server url")
    raise invalid_request("environment/add is not supported: this server runs commands on its own machine only")


def info(caller: Caller, params: EnvironmentInfoParams, reply: Reply[Any]) -> None:
    """environment/info"""
    if params.environment_id != LOCAL_ENVIRONMENT:
        raise invalid_request(_unknown(params.environment_id))

    async def work() -> EnvironmentInfoResponse:
        shell = await trio.to_thread.run_sync(user_shell)
        return EnvironmentInfoResponse(EnvironmentShellInfo(os.path.basename(shell), shell), Path(caller.cwd).as_uri())

    caller.later(reply, work)


def status(caller: Caller, params: EnvironmentStatusParams, reply: Reply[Any]) -> None:
    """environment/status"""
    if params.environment_id == LOCAL_ENVIRONMENT:
        reply.resolve(EnvironmentStatusResponse("ready"))
    else:
        reply.resolve(EnvironmentStatusResponse("unknown", _unknown(params.environment_id)))


def _unknown(id: str) -> str:
    return f"unknown environment id `{id}`"
