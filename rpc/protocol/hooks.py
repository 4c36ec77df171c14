"""Hooks: programs of the user's that run at certain points of a turn, what is told of their runs, and listing them.

Times are Unix seconds unless a name ends in `_ms` (milliseconds).
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final, Literal, TypeAlias

from attrs import field, frozen

from spindle.rpc.protocol.shapes import PathName

HookEventName: TypeAlias = Literal[
    "preToolUse", "permissionRequest", "postToolUse", "sessionStart", "userPromptSubmit", "stop"
]
HookHandlerType: TypeAlias = Literal["command", "prompt", "agent"]
HookExecutionMode: TypeAlias = Literal["sync", "async"]
HookScope: TypeAlias = Literal["thread", "turn"]
HookSource: TypeAlias = Literal[
    "system", "user", "project", "mdm", "sessionFlags", "legacyManagedConfigFile", "legacyManagedConfigMdm", "unknown"
]
HookRunStatus: TypeAlias = Literal["running", "completed", "failed", "blocked", "stopped"]
HookOutputEntryKind: TypeAlias = Literal["warning", "stop", "feedback", "context", "error"]
HookTrustStatus: TypeAlias = Literal["managed", "untrusted", "trusted", "modified"]

CONFIGURED_AS: Final[Mapping[HookEventName, str]] = {
    "preToolUse": "PreToolUse",
    "permissionRequest": "PermissionRequest",
    "postToolUse": "PostToolUse",
    "sessionStart": "SessionStart",
    "userPromptSubmit": "UserPromptSubmit",
    "stop": "Stop",
}
"""What configuration files and the programs themselves call the events; the order in which a file's hooks are counted."""


@frozen
class HookOutputEntry:
    """Something that came of a run."""

    kind: HookOutputEntryKind
    text: str


@frozen(kw_only=True)
class HookRunSummary:
    """One run of one hook. Of two hooks that run for the same, the one with the lower `display_order` comes first."""

    id: str
    event_name: HookEventName
    handler_type: HookHandlerType = "command"
    execution_mode: HookExecutionMode = "sync"
    scope: HookScope
    source_path: str
    source: HookSource = "unknown"
    display_order: int
    status: HookRunStatus
    status_message: str | None = None
    started_at: int
    completed_at: int | None = None
    duration_ms: int | None = None
    entries: Sequence[HookOutputEntry] = ()


@frozen
class HookStartedNotification:
    """A hook begins to run."""

    METHOD: ClassVar[str] = "hook/started"

    thread_id: str
    turn_id: str | None
    run: HookRunSummary


@frozen
class HookCompletedNotification:
    """A hook has run."""

    METHOD: ClassVar[str] = "hook/completed"

    thread_id: str
    turn_id: str | None
    run: HookRunSummary


@frozen(kw_only=True)
class HooksListParams:
    """Which hooks there are for each of `cwds`; for the server's own directory if none are named."""

    cwds: Sequence[PathName] = ()


@frozen(kw_only=True)
class HookMetadata:
    """A configured hook. `current_hash` changes with what it does."""

    key: str
    event_name: HookEventName
    handler_type: HookHandlerType = "command"
    command: str
    is_async: bool = field(default=False, metadata={"wire": "async"})
    matcher: str | None = None
    timeout_sec: int
    status_message: str | None = None
    additional_context_limit: int | None = None
    source_path: str
    source: HookSource
    plugin_id: str | None = None
    environment_id: str | None = None
    display_order: int
    enabled: bool = True
    is_managed: bool = False
    current_hash: str
    trust_status: HookTrustStatus


@frozen
class HookErrorInfo:
    """A file that could not be read."""

    path: str
    message: str


@frozen(kw_only=True)
class HooksListEntry:
    """The hooks of one working directory, and what is wrong with their configuration."""

    cwd: str
    hooks: Sequence[HookMetadata] = ()
    warnings: Sequence[str] = ()
    errors: Sequence[HookErrorInfo] = ()


@frozen
class HooksListResponse:
    """One entry for each directory asked about."""

    data: Sequence[HooksListEntry]
