"""The arguments of the tools that run commands, and the texts of their failures."""

import os
from collections.abc import Sequence

from attrs import field

from spindle.actors.tools.commands import quoting
from spindle.actors.tools.commands.decision import SandboxPermissions
from spindle.actors.tools.truncation import DEFAULT_LIMIT, Limit
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.shapes import I32, USize

_YIELD = {"wire": "yield_time_ms"}
_MOST = {"wire": "max_output_tokens"}
_PERMISSIONS = {"wire": "sandbox_permissions"}
_PREFIX = {"wire": "prefix_rule"}
_TIMEOUT = {"wire": "timeout_ms"}


@frozen(kw_only=True)
class ExecCommand:
    """`exec_command`: a script that may run longer than the call."""

    cmd: str
    workdir: str | None = None
    shell: str | None = None
    login: bool = True
    tty: bool = False
    yield_time_ms: USize | None = field(default=None, metadata=_YIELD)
    max_output_tokens: USize | None = field(default=None, metadata=_MOST)
    sandbox_permissions: SandboxPermissions = field(default="use_default", metadata=_PERMISSIONS)
    justification: str | None = None
    prefix_rule: Sequence[str] | None = field(default=None, metadata=_PREFIX)


@frozen(kw_only=True)
class WriteStdin:
    """`write_stdin`: input for a session; empty to read new output."""

    session_id: I32 = field(metadata={"wire": "session_id"})
    chars: str = ""
    yield_time_ms: USize | None = field(default=None, metadata=_YIELD)
    max_output_tokens: USize | None = field(default=None, metadata=_MOST)


@frozen(kw_only=True)
class Shell:
    """`shell`: a program and its arguments."""

    command: Sequence[str]
    workdir: str | None = None
    timeout_ms: USize | None = field(default=None, metadata=_TIMEOUT)
    sandbox_permissions: SandboxPermissions = field(default="use_default", metadata=_PERMISSIONS)
    justification: str | None = None
    prefix_rule: Sequence[str] | None = field(default=None, metadata=_PREFIX)


@frozen(kw_only=True)
class ShellCommand:
    """`shell_command`: a script."""

    command: str
    workdir: str | None = None
    login: bool = True
    timeout_ms: USize | None = field(default=None, metadata=_TIMEOUT)
    sandbox_permissions: SandboxPermissions = field(default="use_default", metadata=_PERMISSIONS)
    justification: str | None = None
    prefix_rule: Sequence[str] | None = field(default=None, metadata=_PREFIX)


def output_limit(tokens: int | None) -> Limit:
    """The output limit that the model asked for."""
    return DEFAULT_LIMIT if tokens is None else Limit(tokens)


def working_directory(cwd: str, workdir: str | None) -> str:
    """The command's directory: `workdir`, relative to the turn's `cwd`."""
    return os.path.normpath(os.path.join(cwd, workdir)) if workdir else cwd


def os_failure(error: OSError) -> str:
    """An OSError as text with its number, in Codex's form."""
    return f"{os.strerror(error.errno)} (os error {error.errno})" if error.errno else str(error)


def exec_failure(argv: Sequence[str], reason: str) -> str:
    """The answer of `exec_command` for a command that did not run."""
    return f"exec_command failed for `{quoting.join(argv)}`: {reason}"


def write_failure(reason: object) -> str:
    """The answer of `write_stdin` if nothing was written."""
    return f"write_stdin failed: {reason}"
