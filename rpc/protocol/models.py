"""The models that a client can choose."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.settings import ModeKind, ReasoningEffort
from spindle.rpc.protocol.shapes import U32, JsonObject

InputModality: TypeAlias = Literal["text", "image"]


@frozen
class ReasoningEffortOption:
    """A reasoning effort of a model, with a description for users."""

    reasoning_effort: ReasoningEffort
    description: str


@frozen
class ModelUpgradeInfo:
    """The model to offer instead, and a text about it."""

    model: str
    upgrade_copy: str | None = None
    model_link: str | None = None
    migration_markdown: str | None = None


@frozen
class ModelAvailabilityNux:
    """A text for users who see the model for the first time."""

    message: str


@frozen
class ModelServiceTier:
    """A service tier that a model offers; `id` is its name in requests."""

    id: str
    name: str
    description: str


@frozen(kw_only=True)
class Model:
    """One model; `model` is its name in requests. What describes agents, tiers, access and a specialty is from 0.171."""

    id: str
    model: str
    upgrade: str | None = None
    upgrade_info: ModelUpgradeInfo | None = None
    availability_nux: ModelAvailabilityNux | None = None
    display_name: str
    description: str
    model_specialty: str | None = None
    hidden: bool = False
    supported_reasoning_efforts: Sequence[ReasoningEffortOption] = ()
    default_reasoning_effort: ReasoningEffort = "medium"
    input_modalities: Sequence[InputModality] = field(default=("text", "image"))
    supports_personality: bool = False
    multi_agent_version: Literal["disabled", "v1", "v2"] | None = None
    additional_speed_tiers: Sequence[str] = ()
    service_tiers: Sequence[ModelServiceTier] = ()
    default_service_tier: str | None = None
    available_access_programs: JsonObject | None = None
    is_default: bool = False


@frozen
class ModelListParams:
    """Page through the models of a provider, by default the configured one. Cursors are decimal offsets."""

    cursor: str | None = None
    limit: U32 | None = None
    include_hidden: bool | None = None
    model_provider: str | None = None


@frozen
class ModelListResponse:
    """One page of models."""

    data: Sequence[Model]
    next_cursor: str | None = None


@frozen
class CollaborationModeListParams:
    """Parameters of collaborationMode/list; there are none."""


@frozen
class CollaborationModeMask:
    """A preset of a collaboration mode; null keeps a setting. Snake case on the wire."""

    name: str
    mode: ModeKind | None = None
    model: str | None = None
    reasoning_effort: ReasoningEffort | None = field(default=None, metadata={"wire": "reasoning_effort"})


@frozen
class CollaborationModeListResponse:
    """The presets."""

    data: Sequence[CollaborationModeMask]


@frozen
class MockExperimentalMethodParams:
    """Parameters of mock/experimentalMethod, a test of the experimentalApi capability."""

    value: str | None = None


@frozen
class MockExperimentalMethodResponse:
    """The value, echoed."""

    echoed: str | None
