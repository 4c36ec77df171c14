"""Providers of models whose credentials come from a cloud."""

from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.shapes import Tagged


@frozen
class GatewayOAuthReadParams:
    """Read the login at a provider's gateway."""

    model_provider: str | None = None


GatewayOAuthStatus: TypeAlias = Literal["notReady", "started", "succeeded", "failed"]


@frozen
class GatewayOAuthReadResponse:
    """The provider, and whether it needs a login."""

    provider_id: str
    provider_name: str
    required: bool
    error: str | None = None
    status: GatewayOAuthStatus | None = None
    supports_device_auth: bool = False


@frozen
class GatewayOAuthLoginParams:
    """Log in at a provider's gateway."""

    device_auth: bool = False
    model_provider: str | None = None


@frozen
class GatewayOAuthPrompt:
    """What the user does to log in."""

    login_id: str
    user_code: str
    verification_url: str


@frozen
class GatewayOAuthLoginResponse:
    """The page to log in at."""

    prompt: GatewayOAuthPrompt | None = None


@frozen
class GatewayOAuthCancelResponse:
    """There is no such login any more."""


@frozen
class BedrockDiscoverParams:
    """Look for credentials of AWS."""


AwsCredentialType: TypeAlias = Literal["accessKeys", "bedrockApiKey"]


@frozen
class BedrockEnvironmentCredential:
    """Credentials in the environment."""

    type: AwsCredentialType
    region: str | None = None


@frozen
class BedrockAwsProfile:
    """A profile of AWS's files."""

    name: str
    region: str | None = None


@frozen
class BedrockDiscoverResponse:
    """The credentials of AWS on this machine."""

    environment_credentials: Sequence[BedrockEnvironmentCredential]
    profiles: Sequence[BedrockAwsProfile]


@frozen
class ProfileBedrockSetupParams:
    """Use a profile of AWS's files."""

    type: Literal["profile"] = field(default="profile", init=False)
    profile: str
    region: str


@frozen
class EnvironmentBedrockSetupParams:
    """Use the credentials in the environment."""

    type: Literal["environment"] = field(default="environment", init=False)
    region: str


BedrockSetupParams: TypeAlias = Annotated[
    ProfileBedrockSetupParams | EnvironmentBedrockSetupParams, Tagged("BedrockSetupParams")
]


@frozen
class BedrockSetupResponse:
    """Amazon Bedrock is the provider now."""


@frozen
class BedrockCheckGovCloudRequirementsParams:
    """Ask whether the region has rules of its own."""


@frozen
class BedrockCheckGovCloudRequirementsResponse:
    """Whether the region is for the government, and the user should be warned."""

    is_gov_cloud: bool
    should_warn: bool


@frozen
class GcpSetupParams:
    """Use models of Google Cloud."""

    project_id: str
    credential_file: str | None = None
    location: str | None = None


@frozen
class GcpSetupResponse:
    """Google Cloud is the provider now."""
