"""Remote control: other devices of a ChatGPT account use this server."""

from collections.abc import Sequence
from typing import ClassVar, Literal, TypeAlias

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.shapes import U32
from spindle.rpc.protocol.wire import Notification


@frozen
class RemoteControlEnableParams:
    """Let other devices of the account control this server."""

    ephemeral: bool = False


RemoteControlConnectionStatus: TypeAlias = Literal["disabled", "connecting", "connected", "errored"]


@frozen
class RemoteControlEnableResponse:
    """The state of remote control."""

    installation_id: str
    server_name: str
    status: RemoteControlConnectionStatus
    environment_id: str | None = None


@frozen
class RemoteControlDisableParams:
    """End remote control."""

    ephemeral: bool = False


@frozen
class RemoteControlDisableResponse:
    """The state of remote control."""

    installation_id: str
    server_name: str
    status: RemoteControlConnectionStatus
    environment_id: str | None = None


@frozen
class RemoteControlStatusReadResponse:
    """The state of remote control."""

    installation_id: str
    server_name: str
    status: RemoteControlConnectionStatus
    environment_id: str | None = None


@frozen
class RemoteControlPairingStartParams:
    """Begin to pair a device."""

    manual_code: bool = False


@frozen
class RemoteControlPairingStartResponse:
    """The code for the device."""

    environment_id: str
    expires_at: int
    pairing_code: str
    manual_pairing_code: str | None = None


@frozen
class RemoteControlPairingStatusParams:
    """Ask whether a device has used a code."""

    manual_pairing_code: str | None = None
    pairing_code: str | None = None


@frozen
class RemoteControlPairingStatusResponse:
    """Whether a device has used the code."""

    claimed: bool


RemoteControlClientsListOrder: TypeAlias = Literal["asc", "desc"]


@frozen
class RemoteControlClientsListParams:
    """List the paired devices."""

    environment_id: str
    cursor: str | None = None
    limit: U32 | None = None
    order: RemoteControlClientsListOrder | None = None


@frozen
class RemoteControlClient:
    """A paired device."""

    client_id: str
    app_version: str | None = None
    device_model: str | None = None
    device_type: str | None = None
    display_name: str | None = None
    last_seen_at: int | None = None
    os_version: str | None = None
    platform: str | None = None


@frozen
class RemoteControlClientsListResponse:
    """A page of paired devices."""

    data: Sequence[RemoteControlClient]
    next_cursor: str | None = None


@frozen
class RemoteControlClientsRevokeParams:
    """Remove a paired device."""

    client_id: str
    environment_id: str


@frozen
class RemoteControlClientsRevokeResponse:
    """The device is removed."""


@frozen
class RemoteControlStatusChangedNotification(Notification):
    """The state of remote control; sent after initialize, too."""

    METHOD: ClassVar[str] = "remoteControl/status/changed"

    installation_id: str
    server_name: str
    status: RemoteControlConnectionStatus
    environment_id: str | None = None
