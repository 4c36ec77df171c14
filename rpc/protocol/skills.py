"""Skills: instructions on disk, used by name."""

from collections.abc import Sequence
from typing import ClassVar, Literal, TypeAlias

from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.shapes import AbsolutePath, PathName
from spindle.rpc.protocol.wire import Notification

SkillScope: TypeAlias = Literal["user", "repo", "system", "admin"]

_OPTIONAL = {"omit_none": True}


@frozen
class SkillsListExtraRootsForCwd:
    """More directories with skills, for one working directory."""

    cwd: PathName
    extra_user_roots: Sequence[PathName]


@frozen
class SkillsListParams:
    """List the skills for each of `cwds`; default: the server's own directory."""

    cwds: Sequence[PathName] = ()
    force_reload: bool = False
    per_cwd_extra_user_roots: Sequence[SkillsListExtraRootsForCwd] | None = None


@frozen
class SkillInterface:
    """How clients display a skill."""

    display_name: str | None = field(default=None, metadata=_OPTIONAL)
    short_description: str | None = field(default=None, metadata=_OPTIONAL)
    icon_small: str | None = field(default=None, metadata=_OPTIONAL)
    icon_large: str | None = field(default=None, metadata=_OPTIONAL)
    brand_color: str | None = field(default=None, metadata=_OPTIONAL)
    default_prompt: str | None = field(default=None, metadata=_OPTIONAL)


@frozen
class SkillToolDependency:
    """A tool that a skill needs."""

    type: str
    value: str
    description: str | None = field(default=None, metadata=_OPTIONAL)
    transport: str | None = field(default=None, metadata=_OPTIONAL)
    command: str | None = field(default=None, metadata=_OPTIONAL)
    url: str | None = field(default=None, metadata=_OPTIONAL)


@frozen
class SkillDependencies:
    """The dependencies of a skill."""

    tools: Sequence[SkillToolDependency]


@frozen(kw_only=True)
class SkillMetadata:
    """One skill; `path` is its SKILL.md."""

    name: str
    description: str
    short_description: str | None = field(default=None, metadata=_OPTIONAL)
    interface: SkillInterface | None = field(default=None, metadata=_OPTIONAL)
    dependencies: SkillDependencies | None = field(default=None, metadata=_OPTIONAL)
    path: str
    scope: SkillScope
    enabled: bool = True
    plugin_id: str | None = None


@frozen
class SkillErrorInfo:
    """A skill that could not be read."""

    path: str
    message: str


@frozen
class SkillsListEntry:
    """The skills of one working directory."""

    cwd: str
    skills: Sequence[SkillMetadata] = ()
    errors: Sequence[SkillErrorInfo] = ()


@frozen
class SkillsListResponse:
    """One entry for each directory."""

    data: Sequence[SkillsListEntry]


@frozen
class SkillsConfigWriteParams:
    """Enable or disable a skill, by path or by name."""

    enabled: bool
    path: PathName | None = None
    name: str | None = None


@frozen
class SkillsConfigWriteResponse:
    """Whether the skill is enabled now."""

    effective_enabled: bool


@frozen
class SkillsExtraRootsSetParams:
    """More folders with skills, for all working directories, until the server ends. They replace those set before."""

    extra_roots: Sequence[AbsolutePath]


@frozen
class SkillsExtraRootsSetResponse:
    """The folders are set."""


@frozen
class SkillsChangedNotification(Notification):
    """Skills on disk changed; clients should list them again."""

    METHOD: ClassVar[str] = "skills/changed"
