"""What a runtime says of itself to `spindle top`, as one JSON document. Times are Unix seconds, durations seconds.

docs/guides/operations.md describes the members. A reader ignores members that it does not know.
"""

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

from spindle.rpc.lazy_class import frozen

FORM: Final = 1
"""The version of the document: `version` in it."""
LONGEST: Final = 64 * 1024 * 1024
"""Bytes of a document."""
SHOWN: Final = 200
"""Characters of a name, a command or a reason in it."""

RuntimeKind: TypeAlias = Literal["stdio", "websocket", "unix", "shared", "embedded"]
"""How a runtime is served; `embedded` in a program."""
WaitKind: TypeAlias = Literal["starting", "servers", "model", "tool", "user", "agent"]


@frozen(kw_only=True)
class Wait:
    """What a turn waits for.

    what: the model; the tool; the method of the question; the name of the MCP server that starts.
    """

    kind: WaitKind
    what: str
    seconds: float
    attempt: int | None = None
    """Which request for this answer it is, of a model."""
    thread_ids: Sequence[str] = ()
    """The agents."""


@frozen(kw_only=True)
class InspectedTurn:
    """A running turn."""

    id: str
    kind: Literal["regular", "compact", "review"]
    seconds: float
    tokens: int
    """Used by this turn so far, without what came from the provider's cache."""
    waits_for: Sequence[Wait]


@frozen(kw_only=True)
class InspectedTokens:
    """Tokens of a thread."""

    total: int
    context: int
    """Of its last request and answer."""
    context_window: int | None


@frozen(kw_only=True)
class Child:
    """A child process. `command` is cut."""

    pid: int
    command: str
    seconds: float


@frozen(kw_only=True)
class InspectedServer:
    """An MCP server of a thread."""

    name: str
    state: str
    pid: int | None


@frozen(kw_only=True)
class InspectedThread:
    """A thread that is loaded, loading or ending, or whose files are being worked on."""

    id: str
    status: Literal["loading", "idle", "active", "systemError", "ending", "occupied"]
    name: str | None = None
    preview: str = ""
    cwd: str | None = None
    model: str | None = None
    parent_thread_id: str | None = None
    agent_nickname: str | None = None
    subscribers: int = 0
    unread: int = 0
    """Messages that it has not handled yet."""
    turn: InspectedTurn | None = None
    tokens: InspectedTokens | None = None
    children: Sequence[Child] = ()
    servers: Sequence[InspectedServer] = ()


@frozen(kw_only=True)
class InspectedRuntime:
    """A runtime, without its threads: in the document, `threads` is an array of `InspectedThread`."""

    version: int
    pid: int
    kind: RuntimeKind
    spindle: str
    """The version of Spindle."""
    cwd: str
    started_at: float
    clients: int
    """Connections that are initialized."""
    children: Sequence[Child] = ()
    """Those that belong to no thread: hooks, the `notify` program."""
