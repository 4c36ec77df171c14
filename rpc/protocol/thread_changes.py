"""What can be done to a thread outside of turns: naming it, taking turns back, adding to its history."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from attrs import frozen

from spindle.rpc.protocol.shapes import ABSENT, U32, Absent
from spindle.rpc.protocol.threads import Thread

ThreadMemoryMode: TypeAlias = Literal["enabled", "disabled"]


@frozen
class ThreadSetNameParams:
    """Name a thread; surrounding blanks are dropped."""

    thread_id: str
    name: str


@frozen
class ThreadSetNameResponse:
    """The thread is named."""


@frozen
class ThreadMetadataGitInfoUpdateParams:
    """What to change: None clears a member, `ABSENT` leaves it."""

    sha: str | Absent | None = ABSENT
    branch: str | Absent | None = ABSENT
    origin_url: str | Absent | None = ABSENT


@frozen
class ThreadMetadataUpdateParams:
    """Change what is recorded about a thread."""

    thread_id: str
    git_info: ThreadMetadataGitInfoUpdateParams | None = None


@frozen
class ThreadMetadataUpdateResponse:
    """The thread as it is now."""

    thread: Thread


@frozen
class ThreadMemoryModeSetParams:
    """Whether memories may be made from a thread."""

    thread_id: str
    mode: ThreadMemoryMode


@frozen
class ThreadMemoryModeSetResponse:
    """The mode is set."""


@frozen
class ThreadRollbackParams:
    """Take back the last `num_turns` turns; files they changed stay changed."""

    thread_id: str
    num_turns: U32


@frozen
class ThreadRollbackResponse:
    """The thread, with the turns that are left."""

    thread: Thread


@frozen
class ThreadInjectItemsParams:
    """Append Responses API items to what the model sees, without a turn. Not checked here: any JSON may be sent."""

    thread_id: str
    items: Sequence[object]


@frozen
class ThreadInjectItemsResponse:
    """The items are in the history."""


@frozen
class ThreadCompactStartParams:
    """Replace the history the model sees by a summary."""

    thread_id: str


@frozen
class ThreadCompactStartResponse:
    """The compaction runs as a turn."""


@frozen
class ThreadShellCommandParams:
    """Run the user's own command, outside the sandbox, as a turn. It is killed after `timeout_ms`, by default an hour."""

    thread_id: str
    command: str
    timeout_ms: int | None = None


@frozen
class ThreadShellCommandResponse:
    """The command is running."""


@frozen
class ThreadBackgroundTerminalsCleanParams:
    """End the commands that outlived their turns."""

    thread_id: str


@frozen
class ThreadBackgroundTerminalsCleanResponse:
    """They are ended."""


@frozen
class ThreadBackgroundTerminalsListParams:
    """The commands that outlived their turns. `limit` of them, behind `cursor`."""

    thread_id: str
    cursor: str | None = None
    limit: U32 | None = None


@frozen(kw_only=True)
class ThreadBackgroundTerminal:
    """One of them; `rss_kb` in KiB."""

    item_id: str
    process_id: str
    command: str
    cwd: str
    os_pid: int | None = None
    cpu_percent: float | None = None
    rss_kb: int | None = None


@frozen
class ThreadBackgroundTerminalsListResponse:
    """A page of them."""

    data: Sequence[ThreadBackgroundTerminal]
    next_cursor: str | None = None


@frozen
class ThreadBackgroundTerminalsTerminateParams:
    """End the one with this process id."""

    thread_id: str
    process_id: str


@frozen
class ThreadBackgroundTerminalsTerminateResponse:
    """Whether it ran."""

    terminated: bool


@frozen
class ThreadElicitationParams:
    """Count a question put to the user outside the server, up or down; the thread's timeouts wait meanwhile."""

    thread_id: str


@frozen
class ThreadElicitationResponse:
    """How many such questions are open."""

    count: int
    paused: bool
