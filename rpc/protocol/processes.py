"""Processes that a client runs, in the sandbox of the configuration (`command/exec`) or without one (`process/*`)."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, TypeAlias

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.settings import SandboxPolicy
from spindle.rpc.protocol.shapes import ABSENT, U16, Absent, AbsolutePath, PathName, USize
from spindle.rpc.protocol.wire import Notification

CommandExecOutputStream: TypeAlias = Literal["stdout", "stderr"]
ProcessOutputStream: TypeAlias = Literal["stdout", "stderr"]


@frozen
class CommandExecTerminalSize:
    """The size of a terminal, in characters."""

    rows: U16
    cols: U16


@frozen(kw_only=True)
class CommandExecParams:
    """Run a command, and answer when it has ended. `processId` is the client's own name for it.

    A null in `env` removes a variable. `permissionProfile` is the name of a profile, in 0.124 the profile itself.
    """

    command: Sequence[str]
    process_id: str | None = None
    tty: bool = False
    stream_stdin: bool = False
    stream_stdout_stderr: bool = False
    output_bytes_cap: USize | None = None
    disable_output_cap: bool = False
    disable_timeout: bool = False
    timeout_ms: int | None = None
    cwd: PathName | None = None
    env: Mapping[str, str | None] | None = None
    size: CommandExecTerminalSize | None = None
    sandbox_policy: SandboxPolicy | None = None
    permission_profile: object = None


@frozen
class CommandExecResponse:
    """How the command ended: 124 after its timeout, -1 if a signal ended it. The output, if it was not streamed."""

    exit_code: int
    stdout: str
    stderr: str


@frozen
class CommandExecWriteParams:
    """Write to a command's standard input, close it, or both."""

    process_id: str
    delta_base64: str | None = None
    close_stdin: bool = False


@frozen
class CommandExecWriteResponse:
    """It is written."""


@frozen
class CommandExecResizeParams:
    """Set the size of a command's terminal."""

    process_id: str
    size: CommandExecTerminalSize


@frozen
class CommandExecResizeResponse:
    """The size is set."""


@frozen
class CommandExecTerminateParams:
    """Kill a command and all that it started."""

    process_id: str


@frozen
class CommandExecTerminateResponse:
    """The command ends; its own answer follows."""


@frozen
class CommandExecOutputDeltaNotification(Notification):
    """Output of a streamed command. `cap_reached`: the stream's output beyond this is left out."""

    METHOD: ClassVar[str] = "command/exec/outputDelta"

    process_id: str
    stream: CommandExecOutputStream
    delta_base64: str
    cap_reached: bool


@frozen
class ProcessTerminalSize:
    """The size of a terminal, in characters."""

    rows: U16
    cols: U16


@frozen(kw_only=True)
class ProcessSpawnParams:
    """Start a process, and answer when it runs. `processHandle` is the client's own name for it.

    Null means no limit for `outputBytesCap` and `timeoutMs`.
    """

    command: Sequence[str]
    process_handle: str
    cwd: AbsolutePath
    tty: bool = False
    stream_stdin: bool = False
    stream_stdout_stderr: bool = False
    output_bytes_cap: USize | Absent | None = ABSENT
    timeout_ms: int | Absent | None = ABSENT
    env: Mapping[str, str | None] | None = None
    size: ProcessTerminalSize | None = None


@frozen
class ProcessSpawnResponse:
    """The process runs; `process/exited` says how it ends."""


@frozen
class ProcessWriteStdinParams:
    """Write to a process's standard input, close it, or both."""

    process_handle: str
    delta_base64: str | None = None
    close_stdin: bool = False


@frozen
class ProcessWriteStdinResponse:
    """It is written."""


@frozen
class ProcessKillParams:
    """Kill a process and all that it started."""

    process_handle: str


@frozen
class ProcessKillResponse:
    """The process ends; `process/exited` follows."""


@frozen
class ProcessResizePtyParams:
    """Set the size of a process's terminal."""

    process_handle: str
    size: ProcessTerminalSize


@frozen
class ProcessResizePtyResponse:
    """The size is set."""


@frozen
class ProcessOutputDeltaNotification(Notification):
    """Output of a streamed process. `cap_reached`: the stream's output beyond this is left out."""

    METHOD: ClassVar[str] = "process/outputDelta"

    process_handle: str
    stream: ProcessOutputStream
    delta_base64: str
    cap_reached: bool


@frozen(kw_only=True)
class ProcessExitedNotification(Notification):
    """How a process ended: 124 after its timeout, 128 and the number of the signal that ended it. Output that was not streamed.

    `output_drain_timed_out`: something that it had started still held its output open, and was killed.
    """

    METHOD: ClassVar[str] = "process/exited"

    process_handle: str
    exit_code: int
    output_drain_timed_out: bool | None = None
    stdout: str
    stdout_cap_reached: bool
    stderr: str
    stderr_cap_reached: bool
