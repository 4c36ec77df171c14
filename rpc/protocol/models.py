"""The models a client may choose from."""

from collections.abc import Sequence
from typing import ClassVar, Literal, TypeAlias

from attrs import field, frozen

from spindle.rpc.protocol.settings import ModeKind, ReasoningEffort
from spindle.rpc.protocol.shapes import U32

InputModality: TypeAlias = Literal["text", "image"]


@frozen
class ReasoningEffortOption:
    """One effort a model can be asked for, described for people."""

    reasoning_effort: ReasoningEffort
    description: str


@frozen
class ModelUpgradeInfo:
    """The model to offer instead, and what to say about it."""

    model: str
    upgrade_copy: str | None = None
    model_link: str | None = None
    migration_markdown: str | None = None


@frozen
class ModelAvailabilityNux:
    """What to tell a user who sees the model for the first time."""

    message: str


@frozen(kw_only=True)
class Model:
    """One row of the catalogue; `model` is what a request names."""

    id: str
    model: str
    upgrade: str | None = None
    upgrade_info: ModelUpgradeInfo | None = None
    availability_nux: ModelAvailabilityNux | None = None
    display_name: str
    description: str
    hidden: bool = False
    supported_reasoning_efforts: Sequence[ReasoningEffortOption] = ()
    default_reasoning_effort: ReasoningEffort = "medium"
    input_modalities: Sequence[InputModality] = field(default=("text", "image"))
    supports_personality: bool = False
    additional_speed_tiers: Sequence[str] = ()
    is_default: bool = False


@frozen
class ModelListParams:
    """Page through the catalogue of a provider, by default the configured one. Cursors are decimal offsets."""

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
    """A preset of a collaboration mode; null leaves a setting as it is. Snake case on the wire."""

    name: str
    mode: ModeKind | None = None
    model: str | None = None
    reasoning_effort: ReasoningEffort | None = field(default=None, metadata={"wire": "reasoning_effort"})


@frozen
class CollaborationModeListResponse:
    """The presets."""

    data: Sequence[CollaborationModeMask]


@frozen
class ModelReroutedNotification:
    """The provider answered with another model than the one asked for."""

    METHOD: ClassVar[str] = "model/rerouted"

    thread_id: str
    turn_id: str
    from_model: str
    to_model: str
    reason: str


@frozen
class MockExperimentalMethodParams:
    """Parameters of mock/experimentalMethod, which exists to try the experimentalApi capability."""

    value: str | None = None


@frozen
class MockExperimentalMethodResponse:
    """The value, echoed."""

    echoed: str | None
