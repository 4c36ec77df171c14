"""The providers of models, as clients show and edit them. Credentials are never part of it."""

from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.shapes import ABSENT, Absent, Tagged


@frozen
class ModelProviderListParams:
    """Parameters of modelProvider/list."""


@frozen
class NoGatewayAuth:
    """The provider needs no key."""

    mode: Literal["none"] = "none"


@frozen
class EnvironmentVariableAuth:
    """The key is in an environment variable."""

    env_key: str
    mode: Literal["environmentVariable"] = "environmentVariable"


@frozen
class ExternallyConfiguredAuth:
    """The credentials are configured in another way, which the methods leave as it is."""

    env_key: str | None = None
    mode: Literal["externallyConfigured"] = "externallyConfigured"


GatewayAuth: TypeAlias = NoGatewayAuth | EnvironmentVariableAuth | ExternallyConfiguredAuth


@frozen
class OpenAiProviderSettings:
    """The built-in provider `openai`."""

    type: Literal["openai"] = field(default="openai", init=False)


@frozen
class CustomGatewayProviderSettings:
    """A provider of `[model_providers]`."""

    auth: GatewayAuth
    type: Literal["customGateway"] = field(default="customGateway", init=False)


ProviderSettings: TypeAlias = OpenAiProviderSettings | CustomGatewayProviderSettings


@frozen(kw_only=True)
class ModelProviderSummary:
    """A provider. `base_url` is None if there is none, or if it may have a secret in it."""

    id: str
    name: str
    can_edit: bool
    base_url: str | None
    settings: ProviderSettings


@frozen(kw_only=True)
class ModelProviderListResponse:
    """All providers, and whether a write to the user's config.toml can change the default."""

    data: Sequence[ModelProviderSummary]
    default_provider_id: str
    can_change_default: bool


@frozen(kw_only=True)
class CustomGatewayPatch:
    """Members that are not sent keep their value; null removes it. Without `provider_id` a provider is added."""

    type: Literal["customGateway"] = field(default="customGateway", init=False)
    provider_id: str | None = None
    name: str | Absent = ABSENT
    base_url: str | Absent | None = ABSENT
    env_key: str | Absent | None = ABSENT


@frozen(kw_only=True)
class BedrockPatch:
    """Settings of Amazon Bedrock."""

    type: Literal["bedrock"] = field(default="bedrock", init=False)
    provider_id: Literal["amazon-bedrock", "amazon-bedrock-runtime"]


@frozen(kw_only=True)
class GcpPatch:
    """Settings of Google Cloud Vertex AI."""

    type: Literal["gcp"] = field(default="gcp", init=False)
    provider_id: Literal["gcp"]


ProviderSettingsPatch: TypeAlias = Annotated[
    CustomGatewayPatch | BedrockPatch | GcpPatch, Tagged("ProviderSettingsPatch")
]


@frozen
class ModelProviderConfigWriteParams:
    """Parameters of modelProvider/config/write."""

    settings: ProviderSettingsPatch


@frozen
class ModelProviderConfigWriteResponse:
    """The provider as it is now."""

    provider: ModelProviderSummary


@frozen
class ModelProviderCapabilitiesReadParams:
    """Parameters of modelProvider/capabilities/read."""


@frozen
class ModelProviderCapabilitiesReadResponse:
    """What the default provider can do."""

    image_generation: bool
    web_search: bool
