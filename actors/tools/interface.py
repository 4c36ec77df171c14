"""What a tool is to the turn that calls it, and what the turn is to the tool."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

import orjson
from attrs import evolve, frozen

from spindle.rpc.protocol.converter import InvalidValue, structure
from spindle.rpc.protocol.settings import AskForApproval, SandboxPolicy
from spindle.rpc.protocol.threads import ThreadActiveFlag
from spindle.rpc.protocol.values import loads

T = TypeVar("T")

Output: TypeAlias = str | Sequence[dict[str, Any]]
"""What the model gets back: text, or content parts (`input_text`, `input_image`)."""


Entry: TypeAlias = tuple[str, dict[str, Any]]
"""A rollout line to be: its type (`response_item`, `event_msg`) and payload."""


class ToolRefused(Exception):
    """The call cannot be carried out; the text is what the model gets back."""


class TurnCancelled(Exception):
    """The user answered a question by ending the turn."""


@frozen(kw_only=True)
class Use:
    """A use of a tool, as hooks are told of it. `aliases` are more names that it goes by in their matchers."""

    id: str
    tool: str
    input: Any
    aliases: Sequence[str] = ()

    def asking(self, justification: str | None) -> Use:
        """The same as those are told of it who decide for the user."""
        return evolve(self, input={**self.input, "description": justification}) if justification else self


@frozen
class Permission:
    """What hooks answer in the user's place; `reason` says why not."""

    allowed: bool
    reason: str = ""


def _unheard(use: Use, response: object) -> None:
    """Nobody wants to know."""


@frozen(kw_only=True)
class Call:
    """One call by the model. `payload` is JSON, or for a `custom` tool whatever its grammar allows.

    `report` is told what came of the use of a tool that the call made, or brought to its end.
    """

    id: str
    name: str
    namespace: str | None = None
    payload: str
    custom: bool = False
    report: Callable[[Use, object], None] = _unheard

    def arguments(self, cls: type[T]) -> T:
        """The payload as an object of `cls`. Raises ToolRefused naming what does not fit."""
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

    def emit(self, params: object) -> None:
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
        """The directory the turn works in; absolute."""
        ...

    @property
    def sandbox(self) -> SandboxPolicy:
        """What commands may do."""
        ...

    @property
    def approval(self) -> AskForApproval:
        """When the user is asked."""
        ...

    @property
    def mode(self) -> str:
        """The collaboration mode: `default` or `plan`."""
        ...

    async def keep(self, *entries: Entry) -> None:
        """As `record`, for what may be large, which a worker thread writes; once begun it is not cancelled."""

    async def ask(self, params: Any, waiting_on: ThreadActiveFlag | None) -> object:
        """Put a question to the clients; returns the first answer's result. Raises RpcError if it is an error."""
        ...

    async def permission(self, use: Use) -> Permission | None:
        """What hooks say before the user is asked; None if they leave it to the user."""
        ...


class Tasks(Protocol):
    """Where a tool starts tasks that outlive the call. A failed one must end no other: not a bare trio.Nursery, then."""

    def start_soon(self, async_fn: Callable[..., Awaitable[Any]], /, *args: Any, name: object = None) -> None:
        """As for trio.Nursery."""

    async def start(self, async_fn: Callable[..., Awaitable[Any]], /, *args: Any) -> Any:
        """As for trio.Nursery."""


class Tool(Protocol):
    """Something the model can call."""

    @property
    def name(self) -> str:
        """What it is called by."""
        ...

    @property
    def namespace(self) -> str | None:
        """The namespace it is called in, if any."""
        ...

    @property
    def offer(self) -> dict[str, Any]:
        """How it is offered to the model: an entry of the request's `tools`."""
        ...

    async def run(self, call: Call, host: ToolHost) -> Output:
        """Carry a call out. Raises ToolRefused, TurnCancelled; cancelling it leaves nothing half done."""
        ...


@runtime_checkable
class Exclusive(Protocol):
    """A tool of which some calls must not run beside others of the same answer."""

    def exclusive(self, call: Call) -> bool:
        """Whether this call waits for those before it, and those after it for this one."""
        ...


@runtime_checkable
class Hooked(Protocol):
    """A tool whose uses hooks are told of."""

    def use(self, call: Call) -> Use | None:
        """The use of a tool that the call is; None for one that hooks are not told of, such as one without sense."""
        ...


@runtime_checkable
class Abortable(Protocol):
    """A tool whose interrupted calls are told to the model in the form of its other answers."""

    def aborted(self, seconds: float) -> str:
        """What an interrupted call is answered with."""
        ...


def function(name: str, description: str, properties: dict[str, Any], required: Sequence[str]) -> dict[str, Any]:
    """The offer of a function tool; `properties` are JSON Schemas by name."""
    parameters = {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}
    return {"type": "function", "name": name, "description": description, "strict": False, "parameters": parameters}
