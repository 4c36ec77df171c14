"""Keys in the machine's security chip (Codex 0.124)."""

from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.shapes import Tagged

DeviceKeyProtectionPolicy: TypeAlias = Literal["hardware_only", "allow_os_protected_nonextractable"]


@frozen
class DeviceKeyCreateParams:
    """Make a key that does not leave this machine."""

    account_user_id: str
    client_id: str
    protection_policy: DeviceKeyProtectionPolicy | None = None


DeviceKeyAlgorithm: TypeAlias = Literal["ecdsa_p256_sha256"]


DeviceKeyProtectionClass: TypeAlias = Literal["hardware_secure_enclave", "hardware_tpm", "os_protected_nonextractable"]


@frozen
class DeviceKeyCreateResponse:
    """The new key."""

    algorithm: DeviceKeyAlgorithm
    key_id: str
    protection_class: DeviceKeyProtectionClass
    public_key_spki_der_base64: str


@frozen
class DeviceKeyPublicParams:
    """Read the public part of a key."""

    key_id: str


@frozen
class DeviceKeyPublicResponse:
    """The public part of a key."""

    algorithm: DeviceKeyAlgorithm
    key_id: str
    protection_class: DeviceKeyProtectionClass
    public_key_spki_der_base64: str


RemoteControlClientConnectionAudience: TypeAlias = Literal["remote_control_client_websocket"]


RemoteControlClientEnrollmentAudience: TypeAlias = Literal["remote_control_client_enrollment"]


@frozen
class ConnectionSignPayload:
    """A connection of a device, to be signed."""

    type: Literal["remoteControlClientConnection"] = field(default="remoteControlClientConnection", init=False)
    account_user_id: str
    audience: RemoteControlClientConnectionAudience
    client_id: str
    nonce: str
    scopes: Sequence[str]
    session_id: str
    target_origin: str
    target_path: str
    token_expires_at: int
    token_sha256_base64url: str


@frozen
class EnrollmentSignPayload:
    """The pairing of a device, to be signed."""

    type: Literal["remoteControlClientEnrollment"] = field(default="remoteControlClientEnrollment", init=False)
    account_user_id: str
    audience: RemoteControlClientEnrollmentAudience
    challenge_expires_at: int
    challenge_id: str
    client_id: str
    device_identity_sha256_base64url: str
    nonce: str
    target_origin: str
    target_path: str


DeviceKeySignPayload: TypeAlias = Annotated[
    ConnectionSignPayload | EnrollmentSignPayload, Tagged("DeviceKeySignPayload")
]


@frozen
class DeviceKeySignParams:
    """Sign what a device has to prove."""

    key_id: str
    payload: DeviceKeySignPayload


@frozen
class DeviceKeySignResponse:
    """The signature."""

    algorithm: DeviceKeyAlgorithm
    signature_der_base64: str
    signed_payload_base64: str
