"""The settings of a thread: one table says where each comes from and where it is written and shown.

The table is the class itself: each attribute has a `Field` next to its type. `requests.py` reads it for what requests and the
configuration say, `recorded.py` for the lines of rollouts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from attrs import evolve, field, fields

from spindle.actors.settings.policies import approval_from_rollout, sandbox_from_rollout, sandbox_to_rollout
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.converter import InvalidValue, structure, unstructure
from spindle.rpc.protocol.settings import (
    ApprovalsReviewer,
    AskForApproval,
    CollaborationMode,
    CollaborationSettings,
    PermissionProfile,
    Personality,
    SandboxPolicy,
)
from spindle.rpc.protocol.thread_settings import ThreadSettings

DEFAULT_MODEL: Final = "gpt-5.4"
"""The model if neither request nor configuration names one."""

_OWN: Final = "="
"""The attribute's own name."""


def _same(value: Any) -> Any:
    return value


@frozen(kw_only=True)
class Field:
    """Where one setting comes from and goes to. The names of members are None where it has none.

    turn: a request between turns changes it, by a member of the attribute's own name.
    resumed: a resumed thread has the recorded value if the request has none.
    foreign: we read it in `turn_context`, but do not write it there.
    bound: it says what an agent may do, or who is asked. An agent has its parent's.
    role: the file of an agent's role may set it.
    default: the value if nothing sets it.
    """

    config: str | None = None
    """Its name in config.toml."""
    context: str | None = _OWN
    """Its member in a `turn_context` line."""
    applied: str | None = _OWN
    """Its member in the settings of a `thread_settings_applied` line."""
    shown: str | None = _OWN
    """Its member in the protocol's `ThreadSettings`."""
    turn: bool = False
    resumed: bool = False
    foreign: bool = False
    bound: bool = False
    role: bool = False
    default: Any = None
    read: Callable[[Any], Any] | None = None
    """Gives the value of a recorded member, or None if this version does not know it. Without `read` all are known."""
    value: Callable[[Settings], Any] | None = None
    """Gives what is written and shown, if that is not the attribute. None is not written."""
    write: Callable[[Any], Any] = _same
    """Makes that JSON."""

    def named(self, name: str) -> Field:
        """The same, with `name` where a member has the attribute's own name."""
        own: dict[str, Any] = {
            place: name for place in ("config", "context", "applied", "shown") if getattr(self, place) == _OWN
        }
        return evolve(self, **own)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and "\0" not in value else None


def _roots(value: Any) -> tuple[str, ...] | None:
    if not isinstance(value, list):
        return None
    roots = tuple(cast("Sequence[Any]", value))
    return roots if all(_text(root) for root in roots) else None


def _one_of(kind: Any) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        try:
            return structure(value, kind)
        except InvalidValue:
            return None

    return read


def _row(**columns: Any) -> Mapping[str, Field]:
    return {"field": Field(**columns)}


def mode_of(settings: Settings) -> CollaborationMode:
    """The collaboration mode in force, with the model and the effort in force."""
    mode = settings.collaboration_mode
    if not isinstance(mode, CollaborationMode):
        return CollaborationMode("default", CollaborationSettings(settings.model, settings.effort))
    return evolve(mode, settings=evolve(mode.settings, model=settings.model, reasoning_effort=settings.effort))


def _environments(settings: Settings) -> Sequence[str] | None:
    return None if settings.has_environment else []


def _more_roots(settings: Settings) -> Sequence[str] | None:
    return list(settings.roots) or None


@frozen(kw_only=True)
class Settings:
    """The settings in force. `base_instructions` is None for our own; everything else may change between turns.

    `profile`, if there is one, decides what commands may do, and `sandbox` is the policy nearest to it. Without an
    environment there are no commands: the model gets no tools that act on the machine.
    """

    cwd: str = field(metadata=_row(bound=True, read=_text))
    model: str = field(
        metadata=_row(config=_OWN, turn=True, resumed=True, role=True, default=DEFAULT_MODEL, read=_text)
    )
    model_provider: str = field(
        metadata=_row(config=_OWN, context=None, applied="model_provider_id", role=True, default="openai")
    )
    effort: str | None = field(
        default=None,
        metadata=_row(config="model_reasoning_effort", applied="reasoning_effort", turn=True, role=True, read=_text),
    )
    summary: str | None = field(
        default=None,
        metadata=_row(config="model_reasoning_summary", applied="reasoning_summary", turn=True, role=True),
    )
    service_tier: str | None = field(
        default=None, metadata=_row(config=_OWN, foreign=True, resumed=True, role=True, read=_text)
    )
    base_instructions: str | None = field(
        default=None, metadata=_row(config="instructions", context=None, applied=None, shown=None)
    )
    developer_instructions: str | None = field(
        default=None, metadata=_row(config=_OWN, applied=None, shown=None, role=True, read=_text)
    )
    personality: str | None = field(
        default=None, metadata=_row(config=_OWN, turn=True, resumed=True, role=True, read=_one_of(Personality))
    )
    approvals_reviewer: str = field(
        metadata=_row(
            config=_OWN, turn=True, resumed=True, foreign=True, bound=True, read=_one_of(ApprovalsReviewer)
        )
    )
    collaboration_mode: Any | None = field(
        default=None,
        metadata=_row(turn=True, read=_one_of(CollaborationMode), value=mode_of, write=unstructure),
    )
    approval_policy: AskForApproval = field(
        metadata=_row(config=_OWN, turn=True, resumed=True, bound=True, read=approval_from_rollout, write=unstructure)
    )
    sandbox: SandboxPolicy = field(
        metadata=_row(
            context="sandbox_policy",
            applied="sandbox_policy",
            shown="sandbox_policy",
            bound=True,
            read=sandbox_from_rollout,
            write=sandbox_to_rollout,
        )
    )
    profile: PermissionProfile | None = field(
        default=None, metadata=_row(context=None, applied=None, shown=None, bound=True)
    )
    roots: tuple[str, ...] = field(
        default=(),
        metadata=_row(
            context="more_workspace_roots",
            applied="more_workspace_roots",
            shown=None,
            resumed=True,
            bound=True,
            default=(),
            read=_roots,
            value=_more_roots,
        ),
    )
    """The workspace roots besides the working directory. `sandbox` has them among its writable roots."""
    has_environment: bool = field(
        default=True,
        metadata=_row(
            context="environments",
            applied="environments",
            shown="environments",
            bound=True,
            value=_environments,
        ),
    )

    def kept(self, name: str) -> Any:
        """What is written and shown of one of `FIELDS`."""
        value = FIELDS[name].value
        return getattr(self, name) if value is None else value(self)


FIELDS: Final[Mapping[str, Field]] = {
    attribute.name: attribute.metadata["field"].named(attribute.name) for attribute in fields(Settings)
}
"""The table, by the attribute's name."""

BOUNDS: Final = tuple(name for name, one in FIELDS.items() if one.bound)
"""The settings that say what an agent may do, and who is asked."""

OF_ROLE: Final = {name: one.config for name, one in FIELDS.items() if one.role and one.config is not None}
"""The settings that a role's file may change, with their names there."""


def shown(settings: Settings) -> ThreadSettings:
    """The settings as clients see them."""
    values: dict[str, Any] = {one.shown: settings.kept(name) for name, one in FIELDS.items() if one.shown is not None}
    return ThreadSettings(**values)
