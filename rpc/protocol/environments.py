"""The machines where commands run. There is one, the server's own."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.shapes import USize


@frozen
class EnvironmentSkillsParams:
    """The skills of a machine."""

    required: Sequence[str] | None = None


@frozen
class EnvironmentAddParams:
    """Make another machine known, where commands can run."""

    environment_id: str
    exec_server_url: str
    auth_bearer_token: str | None = None
    connect_timeout_ms: USize | None = None
    skills: EnvironmentSkillsParams | None = None
    websocket_request_id: str | None = None


@frozen
class EnvironmentAddResponse:
    """The machine is known."""


@frozen
class EnvironmentInfoParams:
    """Ask about a machine."""

    environment_id: str


@frozen
class EnvironmentShellInfo:
    """A shell."""

    name: str
    path: str


PathUri: TypeAlias = str


@frozen
class EnvironmentInfoResponse:
    """The shell of a machine, and its working directory as a URL."""

    shell: EnvironmentShellInfo
    cwd: PathUri | None = None


@frozen
class EnvironmentStatusParams:
    """Ask whether a machine can be used."""

    environment_id: str


EnvironmentStatusKind: TypeAlias = Literal["ready", "pending", "disconnected", "unknown"]


@frozen
class EnvironmentStatusResponse:
    """Whether the machine can be used, and why not."""

    status: EnvironmentStatusKind
    error: str | None = None
