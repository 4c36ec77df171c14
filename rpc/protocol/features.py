"""The features that a user can switch."""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.shapes import U32


@frozen
class ExperimentalFeatureListParams:
    """Parameters of experimentalFeature/list. With a loaded thread, the features are those of its configuration."""

    cursor: str | None = None
    limit: U32 | None = None
    thread_id: str | None = None


ExperimentalFeatureStage: TypeAlias = Literal["beta", "underDevelopment", "stable", "deprecated", "removed"]
"""`removed` is accepted and changes nothing."""


@frozen(kw_only=True)
class ExperimentalFeature:
    """A feature. The texts are for users, of features in beta."""

    name: str
    stage: ExperimentalFeatureStage
    display_name: str | None = None
    description: str | None = None
    announcement: str | None = None
    enabled: bool
    default_enabled: bool


@frozen
class ExperimentalFeatureListResponse:
    """A page of features."""

    data: Sequence[ExperimentalFeature]
    next_cursor: str | None = None


@frozen
class ExperimentalFeatureEnablementSetParams:
    """Parameters of experimentalFeature/enablement/set: switches that hold as long as the process lives."""

    enablement: Mapping[str, bool]


@frozen
class ExperimentalFeatureEnablementSetResponse:
    """The switches that were set. A feature that cannot be switched in a running process is left out."""

    enablement: Mapping[str, bool]
