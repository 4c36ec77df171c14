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
    """The server's environment by `shell_environment_policy`, without the variables of credentials, then with the changes.

    Raises RpcError. A name with `=` in it has its end at the first, as in the list that a process gets.
    """
    policy = environment_policy(config.table("shell_environment_policy"), config.key_variables)
    env = command_environment(policy, thread_id=None, inherited=os.environ)
    for given, value in (changes or {}).items():
        name, equals, start = given.partition("=")
        if not name:
            raise invalid_request(f"invalid environment variable {given!r}")
        if value is not None:
            env[name] = f"{start}={value}" if equals else value
        elif not equals:
            env.pop(name, None)
    return env


def check_text(argv: Sequence[str], changes: Mapping[str, str | None] | None) -> None:
    """Raise OSError if something has a NUL, which ends a text for the system."""
    changed = (part for name, value in (changes or {}).items() for part in (name, value or ""))
    if any("\0" in part for part in (*argv, *changed)):
        raise OSError("nul byte found in provided data")


def not_started(error: OSError, what: str) -> RpcError:
    """The error for a process that could not be started."""
    number = f" (os error {error.errno})" if error.errno else ""
    return internal_error(f"failed to spawn {what}: {error.strerror or error}{number}")
