"""The options of threads and turns: declared for type checkers, and checked at the call."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final, TypeAlias, TypedDict, TypeVar, cast

import attrs

from spindle.actors.embedding.failures import InvalidOption
from spindle.rpc.protocol.converter import structure, unstructure
from spindle.rpc.protocol.invalid import InvalidValue
from spindle.rpc.protocol.settings import (
    ApprovalsReviewer,
    AskForApproval,
    CollaborationMode,
    DynamicTools,
    PermissionProfile,
    Personality,
    ReasoningEffort,
    ReasoningSummary,
    SandboxMode,
    SandboxPolicy,
    ServiceTier,
    TurnEnvironmentParams,
)
from spindle.rpc.protocol.threads import ThreadHistoryMode

T = TypeVar("T")
_EFFORTS: Final = "none, minimal, low, medium, high, xhigh, or what else the model accepts"
PathLike: TypeAlias = str | os.PathLike[str]


class Options(TypedDict, total=False):
    """What a thread works with, and a turn of it from then on. None leaves an option as it is configured."""

    model: str | None
    cwd: PathLike | None
    """Where commands start. It must be a folder."""
    runtime_workspace_roots: Sequence[PathLike] | None
    """Absolute paths of folders that the agent may write to, besides `cwd`."""
    approval_policy: AskForApproval | None
    approvals_reviewer: ApprovalsReviewer | None
    permission_profile: PermissionProfile | Mapping[str, Any] | None
    permissions: str | None
    """The name of a permission profile in config.toml."""
    service_tier: ServiceTier | None


class ThreadOptions(Options, total=False):
    """The options of a thread, however it comes into memory."""

    model_provider: str | None
    sandbox: SandboxMode | None
    config: Mapping[str, Any] | None
    """Overrides of config.toml, by dotted key."""
    base_instructions: str | None
    developer_instructions: str | None


class StartOptions(ThreadOptions, total=False):
    """The options of `start_thread`."""

    ephemeral: bool | None
    """Whether nothing of the thread is written to disk."""
    personality: Personality | None
    history_mode: ThreadHistoryMode | None
    thread_source: str | None
    environments: Sequence[TurnEnvironmentParams] | None
    dynamic_tools: Sequence[DynamicTools] | None
    experimental_raw_events: bool


class ResumeOptions(ThreadOptions, total=False):
    """The options of `resume_thread`."""

    personality: Personality | None
    history: Sequence[Mapping[str, Any]] | None
    path: PathLike | None
    exclude_turns: bool


class ForkOptions(ThreadOptions, total=False):
    """The options of `fork_thread`."""

    last_turn_id: str | None
    """The last turn that is copied."""
    before_turn_id: str | None
    """The first turn that is not copied."""
    path: PathLike | None
    ephemeral: bool
    thread_source: str | None
    exclude_turns: bool


class TurnOptions(Options, total=False):
    """The options of a turn."""

    effort: ReasoningEffort | None
    summary: ReasoningSummary | None
    personality: Personality | None
    sandbox_policy: SandboxPolicy | Mapping[str, Any] | None
    """As the protocol has it: `{"type": "readOnly"}`."""
    environments: Sequence[TurnEnvironmentParams] | None
    collaboration_mode: CollaborationMode | None
    output_schema: Mapping[str, Any] | None
    """A JSON schema for the agent's last message. For this turn alone."""
    service_tier_for_turn: ServiceTier | None
    responsesapi_client_metadata: Mapping[str, str] | None


def parameters(cls: type[T], names: type[Any], options: Mapping[str, Any], **required: Any) -> T:
    """Make the protocol's `cls` from `required` and `options`, the keys of which are those of the TypedDict `names`.

    A value may also be what JSON has in its place. Raises TypeError for an unknown option, InvalidOption for a value of another
    type or range.
    """
    known: frozenset[str] = names.__optional_keys__
    for name in options:
        if name not in known:
            alike = get_close_matches(name, known, 1)
            hint = f"; did you mean {alike[0]!r}?" if alike else ""
            if not alike and name in TurnOptions.__optional_keys__:
                hint = "; it is an option of a turn"
            raise TypeError(f"there is no option {name!r}{hint}")
    given = {
        name: _plain(name, value) for name, value in options.items() if value is not None or name == "service_tier"
    }
    if not isinstance(given.get("output_schema", {}), Mapping):
        raise InvalidOption("output_schema", f"must be a JSON schema, not {given['output_schema']!r}")
    for field in attrs.fields(cls):  # type: ignore[arg-type]  # mypy does not know that it is a class of attrs
        if field.name in given:
            try:
                given[field.name] = structure(unstructure(given[field.name]), field.type)
            except InvalidValue as error:
                allowed = f": {_EFFORTS}" if field.name == "effort" else ""
                raise InvalidOption(field.name, f"{error}{allowed}") from error
    return cls(**required, **given)


def _plain(name: str, value: Any) -> Any:
    """Path-like values as text."""
    if name == "runtime_workspace_roots" and isinstance(value, list | tuple):
        roots = [_plain("", path) for path in cast("Sequence[Any]", value)]
        if relative := [root for root in roots if isinstance(root, str) and not os.path.isabs(root)]:
            raise InvalidOption(name, f"must be absolute paths, and `{relative[0]}` is relative")
        return roots
    return os.fspath(cast("os.PathLike[str]", value)) if isinstance(value, os.PathLike) else value
