"""The configuration as clients read it: the merged result and the layers it came from."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from attrs import field, frozen

from spindle.rpc.protocol.shapes import JsonObject, PathName, USize


@frozen
class ConfigReadParams:
    """Parameters of config/read; with `cwd` the layers of that project count too."""

    include_layers: bool = False
    cwd: PathName | None = None


@frozen
class ConfigLayerMetadata:
    """Where a value came from. `name` is an object of the protocol's ConfigLayerSource; `version` a content hash."""

    name: JsonObject
    version: str


@frozen
class ConfigLayer:
    """One layer, as it was read."""

    name: JsonObject
    version: str
    config: object
    disabled_reason: str | None = field(default=None, metadata={"omit_none": True})


@frozen
class ConfigReadResponse:
    """The merged configuration (keys in snake case), a key's origin, and the layers if asked for, strongest first."""

    config: JsonObject
    origins: Mapping[str, ConfigLayerMetadata]
    layers: Sequence[ConfigLayer] | None = None


@frozen
class ConfigRequirementsReadResponse:
    """What an administrator demands of the configuration; None if nothing."""

    requirements: JsonObject | None = None


@frozen
class TextPosition:
    """A place in a text file, counted from 1."""

    line: USize
    column: USize


@frozen
class TextRange:
    """A stretch of a text file."""

    start: TextPosition
    end: TextPosition


@frozen
class ConfigWarningNotification:
    """Something about the configuration that the user should know."""

    METHOD: ClassVar[str] = "configWarning"

    summary: str
    details: str | None = None
    path: str | None = field(default=None, metadata={"omit_none": True})
    range: TextRange | None = field(default=None, metadata={"omit_none": True})


@frozen
class DeprecationNoticeNotification:
    """Something the user relies on will go away."""

    METHOD: ClassVar[str] = "deprecationNotice"

    summary: str
    details: str | None = None
