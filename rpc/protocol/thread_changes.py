"""Change a thread outside of turns: its name, its metadata, its history."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.shapes import ABSENT, U32, Absent
from spindle.rpc.protocol.threads import Thread

ThreadMemoryMode: TypeAlias = Literal["enabled", "disabled"]


@frozen
class ThreadSetNameParams:
    """Name a thread. Blanks around the name are removed."""

    thread_id: str
    name: str


@frozen
class ThreadSetNameResponse:
    """The name is set."""


@frozen
class ThreadMetadataGitInfoUpdateParams:
    """The changes: None clears a member, `ABSENT` keeps it."""

    sha: str | Absent | None = ABSENT
    branch: str | Absent | None = ABSENT
    origin_url: str | Absent | None = ABSENT


@frozen
class ThreadMetadataUpdateParams:
    """Change the metadata of a thread. `project_id` "" removes it from its project."""

    thread_id: str
    git_info: ThreadMetadataGitInfoUpdateParams | None = None
    project_id: str | None = field(default=None, metadata={"experimental": True})


@frozen
class ThreadMetadataUpdateResponse:
    """The changed thread."""

    thread: Thread


@frozen
class ThreadMemoryModeSetParams:
    """Set whether memories may be made from a thread."""

    thread_id: str
    mode: ThreadMemoryMode


@frozen
class ThreadMemoryModeSetResponse:
    """The mode is set."""


@frozen
class ThreadRollbackParams:
    """Remove the last `num_turns` turns from the history. Changes to files are kept."""

    thread_id: str
    num_turns: U32


@frozen
class ThreadRollbackResponse:
    """The thread, with the remaining turns."""

    thread: Thread


@frozen
class ThreadInjectItemsParams:
    """Append Responses API items to the model's history, without a turn. They are not checked here."""

    thread_id: str
    items: Sequence[object]


@frozen
class ThreadInjectItemsResponse:
    """The items are in the history."""


@frozen
class ThreadCompactStartParams:
    """Replace the model's history by a summary."""

    thread_id: str


@frozen
class ThreadCompactStartResponse:
    """The compaction runs as a turn."""


@frozen
class ThreadShellCommandParams:
    """Run the user's own command, outside the sandbox, as a turn. `timeout_ms` (default: an hour) ends it."""

    thread_id: str
    command: str
    timeout_ms: int | None = None


@frozen
class ThreadShellCommandResponse:
    """The command is running."""


@frozen
class ThreadBackgroundTerminalsCleanParams:
    """End the commands that still run after their turns."""

    thread_id: str


@frozen
class ThreadBackgroundTerminalsCleanResponse:
    """The commands have ended."""


@frozen
class ThreadBackgroundTerminalsListParams:
    """Page through the commands that still run after their turns."""

    thread_id: str
    cursor: str | None = None
    limit: U32 | None = None


@frozen(kw_only=True)
class ThreadBackgroundTerminal:
    """One command; `rss_kb` in KiB."""

    item_id: str
    process_id: str
    command: str
    cwd: str
    os_pid: int | None = None
    cpu_percent: float | None = None
    rss_kb: int | None = None


@frozen
class ThreadBackgroundTerminalsListResponse:
    """One page."""

    data: Sequence[ThreadBackgroundTerminal]
    next_cursor: str | None = None


@frozen
class ThreadBackgroundTerminalsTerminateParams:
    """End the command with this process id."""

    thread_id: str
    process_id: str


@frozen
class ThreadBackgroundTerminalsTerminateResponse:
    """Whether it was running."""

    terminated: bool


@frozen
class ThreadElicitationParams:
    """Increment or decrement the out-of-band elicitation count; timeouts of the thread stand still while it is positive."""

    thread_id: str


@frozen
class ThreadElicitationResponse:
    """The count."""

    count: int
    paused: bool
