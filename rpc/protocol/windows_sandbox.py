"""The sandbox of Windows."""

from typing import ClassVar, Literal, TypeAlias

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.shapes import AbsolutePath
from spindle.rpc.protocol.wire import Notification

WindowsSandboxSetupMode: TypeAlias = Literal["elevated", "unelevated"]


@frozen
class WindowsSandboxSetupStartParams:
    """Prepare the sandbox of Windows."""

    mode: WindowsSandboxSetupMode
    cwd: AbsolutePath | None = None


@frozen
class WindowsSandboxSetupStartResponse:
    """The preparation has begun; `windowsSandbox/setupCompleted` says how it ended."""

    started: bool


WindowsSandboxReadiness: TypeAlias = Literal["ready", "notConfigured", "updateRequired"]


@frozen
class WindowsSandboxReadinessResponse:
    """Whether the sandbox of Windows can be used."""

    status: WindowsSandboxReadiness


@frozen
class WindowsSandboxSetupCompletedNotification(Notification):
    """The preparation of the sandbox has ended."""

    METHOD: ClassVar[str] = "windowsSandbox/setupCompleted"

    mode: WindowsSandboxSetupMode
    success: bool
    error: str | None = None
