"""Hooks: the user's programs that run at certain points of a turn, notifications of their runs, and their list.

Times are Unix seconds unless a name ends in `_ms` (milliseconds).
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final, Literal, TypeAlias

from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.shapes import PathName
from spindle.rpc.protocol.wire import Notification

HookEventName: TypeAlias = Literal[
    "preToolUse", "permissionRequest", "postToolUse", "sessionStart", "userPromptSubmit", "stop"
]
HookHandlerType: TypeAlias = Literal["command", "prompt", "agent"]
HookExecutionMode: TypeAlias = Literal["sync", "async"]
HookScope: TypeAlias = Literal["thread", "turn"]
HookSource: TypeAlias = Literal[
    "system", "user", "project", "mdm", "sessionFlags", "plugin", "legacyManagedConfigFile", "legacyManagedConfigMdm",
    "unknown",
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
"""The names of the events in configuration files and for the programs, in the order in which a file's hooks are numbered."""


@frozen
class HookOutputEntry:
    """One piece of a run's output."""

    kind: HookOutputEntryKind
    text: str


@frozen(kw_only=True)
class HookRunSummary:
    """One run of one hook. Runs for the same event are shown by ascending `display_order`."""

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
class HookStartedNotification(Notification):
    """A hook's run starts."""

    METHOD: ClassVar[str] = "hook/started"

    thread_id: str
    turn_id: str | None
    run: HookRunSummary


@frozen
class HookCompletedNotification(Notification):
    """A hook's run ended."""

    METHOD: ClassVar[str] = "hook/completed"

    thread_id: str
    turn_id: str | None
    run: HookRunSummary


@frozen(kw_only=True)
class HooksListParams:
    """List the hooks for each of `cwds` (default: the server's own directory), or those of a loaded thread."""

    cwds: Sequence[PathName] = ()
    thread_id: str | None = None


@frozen(kw_only=True)
class HookMetadata:
    """A configured hook. `current_hash` changes with its settings."""

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
    """The hooks of one working directory, and the errors of their configuration."""

    cwd: str
    hooks: Sequence[HookMetadata] = ()
    warnings: Sequence[str] = ()
    errors: Sequence[HookErrorInfo] = ()


@frozen
class HooksListResponse:
    """One entry for each directory."""

    data: Sequence[HooksListEntry]
