"""Threads: durable conversations. Start, load, list, archive and close them.

Times are Unix seconds.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal, TypeAlias

from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.envelope import RequestId
from spindle.rpc.protocol.read_states import ThreadReadState
from spindle.rpc.protocol.sections import ThreadSection
from spindle.rpc.protocol.settings import (
    ApprovalsReviewer,
    AskForApproval,
    CollaborationMode,
    DynamicTools,
    PermissionProfile,
    Personality,
    ReasoningEffort,
    SandboxMode,
    SandboxPolicy,
    ServiceTier,
    TurnEnvironmentParams,
)
from spindle.rpc.protocol.shapes import ABSENT, U32, Absent, AbsolutePath, JsonObject, PathName, Tagged, Untagged
from spindle.rpc.protocol.turn_pages import InitialTurnsPageParams, SortDirection, ThreadTurnsListResponse
from spindle.rpc.protocol.turns import Turn
from spindle.rpc.protocol.wire import Notification

ThreadActiveFlag: TypeAlias = Literal["waitingOnApproval", "waitingOnUserInput"]
ThreadSortKey: TypeAlias = Literal["created_at", "updated_at", "recency_at", "section_position"]
ThreadSourceKind: TypeAlias = Literal[
    "cli",
    "vscode",
    "exec",
    "appServer",
    "subAgent",
    "subAgentReview",
    "subAgentCompact",
    "subAgentThreadSpawn",
    "subAgentOther",
    "unknown",
]
ThreadStartSource: TypeAlias = Literal["startup", "clear"]
ThreadHistoryMode: TypeAlias = Literal["legacy", "paginated"]
ThreadUnsubscribeStatus: TypeAlias = Literal["notLoaded", "notSubscribed", "unsubscribed"]
CwdFilter: TypeAlias = Annotated[str | Sequence[str], Untagged("ThreadListCwdFilter")]

# The reference server uses the field's former name.
_EXTENDED_HISTORY = {"experimental": "persistFullHistory"}


@frozen
class NotLoadedStatus:
    """Not loaded."""

    type: Literal["notLoaded"] = field(default="notLoaded", init=False)


@frozen
class IdleStatus:
    """Loaded, no turn running."""

    type: Literal["idle"] = field(default="idle", init=False)


@frozen
class SystemErrorStatus:
    """Loaded; the last turn failed."""

    type: Literal["systemError"] = field(default="systemError", init=False)


@frozen
class ActiveStatus:
    """A turn is running; the flags name what it waits for."""

    type: Literal["active"] = field(default="active", init=False)
    active_flags: Sequence[ThreadActiveFlag] = ()


ThreadStatus: TypeAlias = Annotated[
    NotLoadedStatus | IdleStatus | SystemErrorStatus | ActiveStatus, Tagged("ThreadStatus")
]


@frozen
class GitInfo:
    """The repository as it was when the thread was created."""

    sha: str | None = None
    branch: str | None = None
    origin_url: str | None = None


@frozen(kw_only=True)
class ThreadEnvironment:
    """An environment of a thread: where its commands run."""

    environment_id: str
    cwd: str
    runtime_workspace_roots: Sequence[str]


@frozen
class ThreadExtra:
    """More about a thread; nothing so far."""


@frozen(kw_only=True)
class Thread:
    """A thread as clients see it. `source` is the protocol's SessionSource, a string or an object.

    `turns` is filled only by some methods; `path` is None for an ephemeral thread. From 0.169 are `parent_thread_id`,
    the section, the project, `history_mode` (how the rollout stores items), `model` and `reasoning_effort` (of a loaded
    thread), `recency_at` (Unix seconds), `originator` (the client that created it), `thread_source` (the client's name
    for the kind of thread) and `can_accept_direct_input` (None unless it is loaded). From 0.171 are `environments` (of a
    loaded thread), `extra`, `attached_to_thread_id` and `daybreak_enabled`; the last three are always None.
    """

    id: str
    environments: Sequence[ThreadEnvironment] | None = None
    extra: ThreadExtra | None = None
    session_id: str
    forked_from_id: str | None = None
    attached_to_thread_id: str | None = None
    parent_thread_id: str | None = None
    preview: str = ""
    ephemeral: bool = False
    section: ThreadSection | None = None
    section_entered_at: int | None = None
    project_id: str | None = None
    history_mode: ThreadHistoryMode = "legacy"
    model_provider: str
    model: str | None = None
    reasoning_effort: ReasoningEffort | None = None
    created_at: int
    updated_at: int
    recency_at: int | None = None
    status: ThreadStatus
    path: str | None = None
    cwd: str
    cli_version: str
    originator: str | None = None
    source: object = "unknown"
    can_accept_direct_input: bool | None = None
    thread_source: str | None = None
    agent_nickname: str | None = None
    agent_role: str | None = None
    git_info: GitInfo | None = None
    name: str | None = None
    daybreak_enabled: bool | None = None
    turns: Sequence[Turn] = ()


@frozen(kw_only=True)
class ThreadStartParams:
    """Create a thread. `config` holds overrides of config.toml by dotted key.

    From 0.171 are `permissions`, the name of a permission profile, and `environments`, as in `turn/start`.
    """

    model: str | None = None
    model_provider: str | None = None
    service_tier: ServiceTier | Absent | None = ABSENT
    cwd: PathName | None = None
    runtime_workspace_roots: Sequence[AbsolutePath] | None = None
    approval_policy: AskForApproval | None = None
    approvals_reviewer: ApprovalsReviewer | None = None
    sandbox: SandboxMode | None = None
    permission_profile: PermissionProfile | None = None
    permissions: str | None = None
    config: JsonObject | None = None
    service_name: str | None = None
    base_instructions: str | None = None
    developer_instructions: str | None = None
    personality: Personality | None = None
    ephemeral: bool | None = None
    history_mode: ThreadHistoryMode | None = None
    session_start_source: ThreadStartSource | None = None
    thread_source: str | None = None
    project_id: str | None = field(default=None, metadata={"experimental": True})
    environments: Sequence[TurnEnvironmentParams] | None = None
    dynamic_tools: Sequence[DynamicTools] | None = field(default=None, metadata={"experimental": True})
    mock_experimental_field: str | None = field(default=None, metadata={"experimental": True})
    experimental_raw_events: bool = field(default=False, metadata={"experimental": True})
    persist_extended_history: bool = field(default=False, metadata=_EXTENDED_HISTORY)


@frozen(kw_only=True)
class _LoadedThread:
    """A loaded thread and its settings.

    From 0.171 are `multi_agent_mode` and `disabled_plugin_ids`, which cannot be changed here.
    """

    thread: Thread
    model: str
    model_provider: str
    service_tier: ServiceTier | None = None
    cwd: str
    runtime_workspace_roots: Sequence[str] = ()
    instruction_sources: Sequence[str] = ()
    approval_policy: AskForApproval
    approvals_reviewer: ApprovalsReviewer = "user"
    sandbox: SandboxPolicy
    permission_profile: PermissionProfile | None = None
    reasoning_effort: ReasoningEffort | None = None
    collaboration_mode: CollaborationMode | None = None
    multi_agent_mode: Literal["explicitRequestOnly"] = "explicitRequestOnly"
    disabled_plugin_ids: Sequence[str] = ()


@frozen(kw_only=True)
class ThreadStartResponse(_LoadedThread):
    """The new thread."""


@frozen(kw_only=True)
class ThreadResumeParams:
    """Load a thread, or subscribe to a loaded one. `history` has precedence over `path`, `path` over `thread_id`."""

    thread_id: str
    history: Sequence[JsonObject] | None = field(default=None, metadata={"experimental": True})
    path: PathName | None = field(default=None, metadata={"experimental": True})
    model: str | None = None
    model_provider: str | None = None
    service_tier: ServiceTier | Absent | None = ABSENT
    cwd: PathName | None = None
    runtime_workspace_roots: Sequence[AbsolutePath] | None = None
    approval_policy: AskForApproval | None = None
    approvals_reviewer: ApprovalsReviewer | None = None
    sandbox: SandboxMode | None = None
    permission_profile: PermissionProfile | None = None
    permissions: str | None = None
    config: JsonObject | None = None
    base_instructions: str | None = None
    developer_instructions: str | None = None
    personality: Personality | None = None
    exclude_turns: bool = False
    initial_turns_page: InitialTurnsPageParams | None = field(default=None, metadata={"experimental": True})
    persist_extended_history: bool = field(default=False, metadata=_EXTENDED_HISTORY)


@frozen(kw_only=True)
class ThreadResumeResponse(_LoadedThread):
    """The loaded thread, with its turns. The cursors page backwards through its turns and items."""

    initial_turns_page: ThreadTurnsListResponse | None = None
    turns_backwards_cursor: str | None = None
    items_backwards_cursor: str | None = None


@frozen(kw_only=True)
class ThreadForkParams:
    """Create a thread that starts with the history of another.

    0.169 adds two turn ids: the history ends after `last_turn_id`, or before `before_turn_id`.
    """

    thread_id: str
    last_turn_id: str | None = None
    before_turn_id: str | None = None
    path: PathName | None = field(default=None, metadata={"experimental": True})
    model: str | None = None
    model_provider: str | None = None
    service_tier: ServiceTier | Absent | None = ABSENT
    cwd: PathName | None = None
    runtime_workspace_roots: Sequence[AbsolutePath] | None = None
    approval_policy: AskForApproval | None = None
    approvals_reviewer: ApprovalsReviewer | None = None
    sandbox: SandboxMode | None = None
    permission_profile: PermissionProfile | None = None
    permissions: str | None = None
    config: JsonObject | None = None
    base_instructions: str | None = None
    developer_instructions: str | None = None
    ephemeral: bool = False
    thread_source: str | None = None
    exclude_turns: bool = False
    persist_extended_history: bool = field(default=False, metadata=_EXTENDED_HISTORY)


@frozen(kw_only=True)
class ThreadForkResponse(_LoadedThread):
    """The new thread, with the copied turns."""


@frozen
class ThreadReadParams:
    """Read a thread without loading it."""

    thread_id: str
    include_turns: bool = False


@frozen
class ThreadReadResponse:
    """The thread, with turns on request. `read_state` is None if it is not available; it is from 0.171."""

    thread: Thread
    read_state: ThreadReadState | None = None


@frozen(kw_only=True)
class ThreadListParams:
    """Page through stored threads. `limit` counts threads; `search_term` is a case-sensitive substring.

    `section_id` or `project_id` None lists the threads without one, `ABSENT` all. `included_thread_ids` None means all threads.
    """

    cursor: str | None = None
    limit: U32 | None = None
    sort_key: ThreadSortKey | None = None
    sort_direction: SortDirection | None = None
    model_providers: Sequence[str] | None = None
    source_kinds: Sequence[ThreadSourceKind] | None = None
    archived: bool | None = None
    cwd: CwdFilter | None = None
    use_state_db_only: bool = False
    search_term: str | None = None
    included_thread_ids: Sequence[str] | None = None
    excluded_thread_ids: Sequence[str] | None = None
    section_id: str | Absent | None = ABSENT
    project_id: str | Absent | None = field(default=ABSENT, metadata={"experimental": True})
    parent_thread_id: str | None = field(default=None, metadata={"experimental": True})
    ancestor_thread_id: str | None = field(default=None, metadata={"experimental": True})


@frozen
class ThreadListResponse:
    """One page, a cursor for the next page, and a cursor for threads newer than this page.

    `read_states` by thread id; None if they are not available.
    """

    data: Sequence[Thread]
    next_cursor: str | None = None
    backwards_cursor: str | None = None
    read_states: Mapping[str, ThreadReadState] | None = None


@frozen
class ThreadLoadedListParams:
    """Page through the ids of loaded threads."""

    cursor: str | None = None
    limit: U32 | None = None


@frozen
class ThreadLoadedListResponse:
    """Thread ids, ascending."""

    data: Sequence[str]
    next_cursor: str | None = None


@frozen
class ThreadArchiveParams:
    """Archive a thread. A loaded one is closed first."""

    thread_id: str


@frozen
class ThreadArchiveResponse:
    """The thread is archived."""


@frozen
class ThreadUnarchiveParams:
    """Unarchive a thread, without loading it."""

    thread_id: str


@frozen
class ThreadUnarchiveResponse:
    """The thread, not loaded."""

    thread: Thread


@frozen
class ThreadUnsubscribeParams:
    """Unsubscribe this connection from a thread."""

    thread_id: str


@frozen
class ThreadUnsubscribeResponse:
    """Whether the connection was subscribed."""

    status: ThreadUnsubscribeStatus


@frozen
class ThreadStartedNotification(Notification):
    """A thread was created."""

    METHOD: ClassVar[str] = "thread/started"

    thread: Thread


@frozen
class ThreadStatusChangedNotification(Notification):
    """The status of a thread changed: loaded, unloaded, or its turn began, waits or ended."""

    METHOD: ClassVar[str] = "thread/status/changed"

    thread_id: str
    status: ThreadStatus


@frozen
class ThreadArchivedNotification(Notification):
    """A thread was archived."""

    METHOD: ClassVar[str] = "thread/archived"

    thread_id: str


@frozen
class ThreadUnarchivedNotification(Notification):
    """A thread was unarchived."""

    METHOD: ClassVar[str] = "thread/unarchived"

    thread_id: str


@frozen
class ThreadClosedNotification(Notification):
    """A thread was unloaded; its memory is released and its processes have ended."""

    METHOD: ClassVar[str] = "thread/closed"

    thread_id: str


@frozen
class ThreadNameUpdatedNotification(Notification):
    """A thread was named."""

    METHOD: ClassVar[str] = "thread/name/updated"

    thread_id: str
    thread_name: str | None = field(default=None, metadata={"omit_none": True})


@frozen(kw_only=True)
class TokenUsageBreakdown:
    """Token counts. Cached tokens are part of the input, reasoning tokens part of the output."""

    total_tokens: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_output_tokens: int = 0


@frozen
class RawResponseCompletedNotification(Notification):
    """The provider completed an answer, for clients that asked for raw events. From Codex 0.169."""

    METHOD: ClassVar[str] = "rawResponse/completed"

    thread_id: str
    turn_id: str
    response_id: str
    usage: TokenUsageBreakdown | None = None
    usage_metadata: object = None


@frozen
class ThreadTokenUsage:
    """The usage of the thread and of the last model request; the context window in tokens, if known."""

    total: TokenUsageBreakdown
    last: TokenUsageBreakdown
    model_context_window: int | None = None


@frozen
class ThreadTokenUsageUpdatedNotification(Notification):
    """The usage changed, or was read from disk."""

    METHOD: ClassVar[str] = "thread/tokenUsage/updated"

    thread_id: str
    turn_id: str
    token_usage: ThreadTokenUsage


@frozen
class ServerRequestResolvedNotification(Notification):
    """A request of the server is settled, by this client or another."""

    METHOD: ClassVar[str] = "serverRequest/resolved"

    thread_id: str
    request_id: Annotated[RequestId, Untagged("RequestId")]
