"""What the two ways to run a process have in common: the checks of a request, and the process's environment."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from spindle.actors.tools.commands.environment import command_environment, environment_policy
from spindle.rpc.protocol.errors import INVALID_PARAMS, RpcError, internal_error, invalid_request
from spindle.storage.config import Config

CAP: Final = 1024 * 1024
"""Bytes of each stream, if the client names no cap."""
TIMEOUT: Final = 10.0
"""Seconds, if the client names no timeout."""


class Size(Protocol):
    """The size of a terminal."""

    @property
    def rows(self) -> int: ...

    @property
    def cols(self) -> int: ...


def check(method: str, command: Sequence[str], tty: bool, size: Size | None, what: str) -> None:
    """Raise RpcError for an empty command, and for a size that a process cannot have. `what` precedes "size" in errors."""
    if not command:
        raise invalid_request("command must not be empty")
    if any("\0" in part for part in command):
        raise invalid_request("command must not contain NUL")
    if size is not None and not tty:
        raise RpcError(INVALID_PARAMS, f"{method} size requires tty: true")
    if size is not None:
        check_size(size, what)


def check_size(size: Size, what: str) -> None:
    """Raise RpcError for a size of 0."""
    if size.rows == 0 or size.cols == 0:
        raise RpcError(INVALID_PARAMS, f"{what} size rows and cols must be greater than 0")


def seconds(method: str, milliseconds: int | None) -> float:
    """A timeout in seconds; None is none. Raises RpcError for a negative one."""
    if milliseconds is None:
        return math.inf
    if milliseconds < 0:
        raise RpcError(INVALID_PARAMS, f"{method} timeoutMs must be non-negative, got {milliseconds}")
    return milliseconds / 1000


def environment(config: Config, changes: Mapping[str, str | None] | None) -> dict[str, str]:
    """The server's environment by `shell_environment_policy`, without the variables of credentials, then with the changes."""
    policy = environment_policy(config.table("shell_environment_policy"), config.key_variables)
    env = command_environment(policy, thread_id=None, inherited=os.environ)
    for name, value in (changes or {}).items():
        if not name or "=" in name or "\0" in name or "\0" in (value or ""):
            raise invalid_request(f"invalid environment variable {name!r}")
        if value is None:
            env.pop(name, None)
        else:
            env[name] = value
    return env


def not_started(error: OSError, what: str) -> RpcError:
    """The error for a process that could not be started."""
    number = f" (os error {error.errno})" if error.errno else ""
    return internal_error(f"failed to spawn {what}: {error.strerror or error}{number}")
