"""The configuration as clients read it: the merged settings and their layers."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, TypeAlias

from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.shapes import JsonObject, PathName, USize
from spindle.rpc.protocol.wire import Notification


@frozen
class ConfigReadParams:
    """Parameters of config/read; `cwd` adds the layers of that project."""

    include_layers: bool = False
    cwd: PathName | None = None


@frozen
class ConfigLayerMetadata:
    """The layer of a value. `name` is the protocol's ConfigLayerSource, `version` a hash of the layer's content."""

    name: JsonObject
    version: str


@frozen
class ConfigLayer:
    """One layer."""

    name: JsonObject
    version: str
    config: object
    disabled_reason: str | None = field(default=None, metadata={"omit_none": True})


@frozen
class ConfigReadResponse:
    """The merged configuration (keys in snake case), the origin of each key, and on request the layers, strongest first."""

    config: JsonObject
    origins: Mapping[str, ConfigLayerMetadata]
    layers: Sequence[ConfigLayer] | None = None


MergeStrategy: TypeAlias = Literal["replace", "upsert"]
"""`upsert` merges a table into the one that is there; all else is replaced."""


@frozen
class ConfigValueWriteParams:
    """Parameters of config/value/write. A null `value` removes the key; `expected_version` is that of the user's layer."""

    key_path: str
    value: object
    merge_strategy: MergeStrategy
    file_path: PathName | None = None
    expected_version: str | None = None


@frozen
class ConfigEdit:
    """One edit, as of config/value/write."""

    key_path: str
    value: object
    merge_strategy: MergeStrategy


@frozen
class ConfigBatchWriteParams:
    """Parameters of config/batchWrite: all edits, or none.

    With `reload_user_config` loaded threads use the new configuration from their next turn.
    """

    edits: Sequence[ConfigEdit]
    file_path: PathName | None = None
    expected_version: str | None = None
    reload_user_config: bool = False


@frozen
class ModelProviderDefaultSetParams:
    """Parameters of modelProvider/default/set."""

    provider_id: str


WriteStatus: TypeAlias = Literal["ok", "okOverridden"]


@frozen
class OverriddenMetadata:
    """The stronger layer that overrides a written value, and the value that counts."""

    message: str
    overriding_layer: ConfigLayerMetadata
    effective_value: object


@frozen
class ConfigWriteResponse:
    """The file was written; `version` is its new one."""

    status: WriteStatus
    version: str
    file_path: str
    overridden_metadata: OverriddenMetadata | None = None


@frozen
class ConfigRequirementsReadResponse:
    """The administrator's requirements; None if there are none.

    From 0.171 is whether those of Fast and Ultra Fast are enforced independently. None: they are not.
    """

    requirements: JsonObject | None = None
    supports_independent_speed_modes: bool | None = None


@frozen
class TextPosition:
    """A place in a text file, counted from 1."""

    line: USize
    column: USize


@frozen
class TextRange:
    """A range in a text file."""

    start: TextPosition
    end: TextPosition


@frozen
class ConfigWarningNotification(Notification):
    """A warning about the configuration."""

    METHOD: ClassVar[str] = "configWarning"

    summary: str
    details: str | None = None
    path: str | None = field(default=None, metadata={"omit_none": True})
    range: TextRange | None = field(default=None, metadata={"omit_none": True})


@frozen
class DeprecationNoticeNotification(Notification):
    """A feature that the user uses is deprecated."""

    METHOD: ClassVar[str] = "deprecationNotice"

    summary: str
    details: str | None = None
