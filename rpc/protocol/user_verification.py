"""Verification of the machine's user, by fingerprint."""

from typing import Literal, TypeAlias

from spindle.rpc.lazy_class import frozen


@frozen
class UserVerificationStatusParams:
    """Ask whether this machine can verify its user."""


UserVerificationUnavailableReason: TypeAlias = Literal[
    "credentialMissing", "biometricsUnavailable", "providerUnavailable"
]


@frozen
class UserVerificationStatusResponse:
    """The credential, or why there can be none."""

    credential_id: str | None = None
    unavailable_message: str | None = None
    unavailable_reason: UserVerificationUnavailableReason | None = None


@frozen
class UserVerificationEnrollParams:
    """Make a credential of this machine's user."""


@frozen
class UserVerificationEnrollResponse:
    """The new credential."""

    credential_id: str
    algorithm: str | None = None
    public_key: str | None = None


@frozen
class UserVerificationDeleteParams:
    """Delete the credential."""


@frozen
class UserVerificationDeleteResponse:
    """There is no credential any more."""


@frozen
class UserVerificationVerifyParams:
    """Have the user confirm a challenge: bytes in base64url without padding."""

    challenge: str
    description: str
    title: str


@frozen
class UserVerificationProof:
    """The signed challenge."""

    credential_id: str
    signature: str


UserVerificationBiometricType: TypeAlias = Literal["fingerprint"]


@frozen
class UserVerificationVerifyResponse:
    """The user has confirmed."""

    proof: UserVerificationProof
    biometric_type: UserVerificationBiometricType | None = None


@frozen
class UserVerificationCancelParams:
    """Cancel a request to verify the user."""

    request_id: object


@frozen
class UserVerificationCancelResponse:
    """The request is cancelled, if there was one."""
