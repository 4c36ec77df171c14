"""The interface between a tool and the turn that calls it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar, runtime_checkable

import orjson
from attrs import evolve, field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.converter import InvalidValue, structure
from spindle.rpc.protocol.errors import INTERNAL_ERROR, RpcError
from spindle.rpc.protocol.items import FileUpdateChange
from spindle.rpc.protocol.settings import AskForApproval, SandboxPolicy
from spindle.rpc.protocol.threads import ThreadActiveFlag
from spindle.rpc.protocol.values import loads
from spindle.storage.rollout.records import Entry

if TYPE_CHECKING:
    from spindle.rpc.protocol.guardian import GuardianApprovalReviewAction
    from spindle.rpc.protocol.notifications import ThreadNotification

T = TypeVar("T")

Output: TypeAlias = str | Sequence[dict[str, Any]]
"""The answer to the model: text, or content parts (`input_text`, `input_image`)."""


class ToolRefused(Exception):
    """The call is not carried out. The text is the answer to the model."""


class TurnCancelled(Exception):
    """The user cancelled the turn by the answer to a question."""


class ToolFailed(Exception):
    """The call failed, and the turn is to fail with it. The text says why, also to the model of a later turn."""


class Refusal(RpcError):
    """A program in this process declines a question. `reason` is for the model; `cancels`: the turn is to be interrupted."""

    def __init__(self, reason: str = "", *, cancels: bool = False) -> None:
        super().__init__(INTERNAL_ERROR, reason or "the application has declined")
        self.reason = reason
        self.cancels = cancels

    def add_to(self, text: str) -> str:
        """`text`, which says that it was declined, with the reason."""
        return f"{text}: {self.reason}" if self.reason else text


APPLICATION: Final = "application"
"""The server in the questions about functions of the program."""


@frozen(kw_only=True)
class Subject:
    """What a question is about, beyond its params: the `changes` of a patch; the `tool` and `arguments` of a call."""

    changes: Sequence[FileUpdateChange] = ()
    tool: str | None = None
    arguments: object = None


@frozen(kw_only=True)
class Use:
    """A use of a tool as hooks receive it. `aliases` are more names that their matchers may use."""

    id: str
    tool: str
    input: Any
    aliases: Sequence[str] = ()

    def asking(self, justification: str | None) -> Use:
        """Copy with the justification, for PermissionRequest hooks."""
        return evolve(self, input={**self.input, "description": justification}) if justification else self


@frozen
class Permission:
    """The answer of PermissionRequest hooks to an approval; `reason` of a denial."""

    allowed: bool
    reason: str = ""


@frozen(kw_only=True)
class Reviewed:
    """An action that a reviewer decides about: as clients see it, the item that shows it, and `planned` in detail, as JSON."""

    action: GuardianApprovalReviewAction
    item_id: str
    planned: Mapping[str, object]


def _no_report(use: Use, response: object) -> None:
    """Without PostToolUse hooks."""


@frozen(kw_only=True)
class Call:
    """One call by the model. `payload` is JSON; for a `custom` tool, text of its grammar.

    A tool calls `report` with each use that the call completes and its result, for PostToolUse hooks. It adds to `failures` if
    the output says that the call has failed.
    """

    id: str
    name: str
    namespace: str | None = None
    payload: str
    custom: bool = False
    report: Callable[[Use, object], None] = _no_report
    failures: list[str] = field(factory=list[str], eq=False)

    def arguments(self, cls: type[T]) -> T:
        """The payload as a `cls`. Raises ToolRefused, which names the invalid member."""
        try:
            return structure(loads(self.payload), cls)
        except (orjson.JSONDecodeError, InvalidValue) as error:
            raise ToolRefused(f"failed to parse function arguments: {error}") from error


class Notifier(Protocol):
    """Sends the notifications of one turn. The hosts below are the turn as one kind of caller sees it."""

    @property
    def thread_id(self) -> str:
        """The thread's id."""
        ...

    @property
    def turn_id(self) -> str:
        """The turn's id."""
        ...

    def emit(self, params: ThreadNotification) -> None:
        """Send a notification to the thread's subscribers."""


class CommandHost(Notifier, Protocol):
    """The turn as a command sees it."""

    def record(self, *entries: Entry) -> None:
        """Append to the history; the lines are in the rollout when this returns. Raises JournalError."""

    async def room(self) -> None:
        """Wait for the subscribers that turns wait for."""

    def settle(self, finish: Callable[[], None]) -> None:
        """Call `finish` when `record` can be called: now during the turn, later when the rollout is next open."""


class ToolHost(CommandHost, Protocol):
    """The turn as a tool sees it."""

    @property
    def cwd(self) -> str:
        """The turn's working directory; absolute."""
        ...

    @property
    def sandbox(self) -> SandboxPolicy:
        """The sandbox policy of commands."""
        ...

    @property
    def approval(self) -> AskForApproval:
        """The approval policy."""
        ...

    @property
    def mode(self) -> str:
        """The collaboration mode: `default` or `plan`."""
        ...

    def carrier(self) -> dict[str, str]:
        """What a request to another program carries, so that it can continue the trace of the call; empty without a trace."""
        ...

    @property
    def tasks(self) -> BackgroundTasks:
        """Where tasks start that may outlive the turn; the thread's end waits for them."""
        ...

    async def keep(self, *entries: Entry) -> None:
        """As `record`, for large entries: a worker thread writes them. Not cancelled once it has started."""

    async def ask(
        self,
        params: Any,
        waiting_on: ThreadActiveFlag | None,
        about: Subject | None = None,
        *,
        repeats: str | None = None,
    ) -> object:
        """Ask the clients; returns the result of the first answer. Raises RpcError if that is an error, TurnCancelled.

        Programs in this process see what it is `about`, and may answer with a Refusal. `repeats` is the id of the call if that
        has done nothing yet: run from its beginning, in a later process too, it asks the same again.
        """
        ...

    async def permission(self, use: Use) -> Permission | None:
        """The decision of PermissionRequest hooks; None if they leave it to the user."""
        ...

    async def review(self, action: Callable[[], Reviewed], *, strict: bool = False) -> Permission | None:
        """The decision of the reviewing model; None if the user decides. With `strict` it is asked in any case.

        `action` is called if it is asked.
        """
        ...


class BackgroundTasks(Protocol):
    """Starts tasks that outlive a call. The failure of one must not cancel the others, so a bare trio.Nursery will not do."""

    def start_soon(self, async_fn: Callable[..., Awaitable[Any]], /, *args: Any, name: object = None) -> None:
        """As for trio.Nursery."""

    async def start(self, async_fn: Callable[..., Awaitable[Any]], /, *args: Any) -> Any:
        """As for trio.Nursery."""


class Tool(Protocol):
    """A tool that the model can call. One that is not Spindle's own has a `kind`: `function`, `dynamic` or `mcp`."""

    @property
    def name(self) -> str:
        """The name in calls."""
        ...

    @property
    def namespace(self) -> str | None:
        """The namespace in calls, if any."""
        ...

    @property
    def offer(self) -> dict[str, Any]:
        """Its entry in the `tools` of a request to the model."""
        ...

    async def run(self, call: Call, host: ToolHost) -> Output:
        """Carry out a call. Raises ToolRefused, TurnCancelled. Cancellation leaves nothing half done."""
        ...


@runtime_checkable
class Exclusive(Protocol):
    """A tool with calls that must not run at the same time as others of one answer."""

    def exclusive(self, call: Call) -> bool:
        """Whether this call waits for earlier calls, and later calls wait for it."""
        ...


@runtime_checkable
class Hooked(Protocol):
    """A tool with uses that hooks receive."""

    def use(self, call: Call) -> Use | None:
        """The use in the call; None if hooks do not receive it, as of invalid arguments."""
        ...


@runtime_checkable
class Abortable(Protocol):
    """A tool with its own answer to an interrupted call."""

    def aborted(self, seconds: float) -> str:
        """The answer to a call that was interrupted after `seconds`."""
        ...


def function(name: str, description: str, properties: dict[str, Any], required: Sequence[str]) -> dict[str, Any]:
    """The offer of a function tool; `properties` are JSON Schemas by name."""
    parameters = {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}
    return {"type": "function", "name": name, "description": description, "strict": False, "parameters": parameters}
