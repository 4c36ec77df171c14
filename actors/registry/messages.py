"""What the registry can be asked and notified of: one closed union, `Message`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from spindle.actors.delivery.subscribers import Subscriber
from spindle.actors.kernel.actor import Exited
from spindle.actors.kernel.mailbox import Ask, Reply, Urgent
from spindle.actors.registry.relocation import Archive, Delete, Relocation, Unarchive
from spindle.actors.thread.loading.openings import FromFork, Opening
from spindle.actors.thread.messages import Attach, Detach, Hold
from spindle.actors.thread.state import OpenedThread
from spindle.rpc.lazy_class import frozen

M = TypeVar("M", bound=Ask[Any], covariant=True)


@frozen
class Carrier(Generic[M]):
    """Carries `message` to a thread: the answer is the message's, and it is as urgent as the message."""

    thread_id: str
    message: M

    @property
    def reply(self) -> Reply[Any]:
        """Where the answer goes."""
        return self.message.reply

    @property
    def urgent(self) -> bool:
        """Whether it ends or releases something."""
        return isinstance(self.message, Urgent)


@frozen
class Start(Carrier[Attach | Hold]):
    """Start a new thread with the id `thread_id`; `message` is its first and is answered when it is loaded."""

    opening: Opening


@frozen
class Fork(Carrier[Attach]):
    """Start a thread from the history of another, which is refused while a turn runs there (see `check_fork`)."""

    opening: FromFork


@frozen
class Resume(Carrier[Attach | Hold]):
    """Subscribe to a thread or hold it; it is loaded by `opening` first if it is not loaded."""

    opening: Opening


@frozen
class ToThread(Carrier[Ask[Any]]):
    """For a loaded thread; for one that is not loaded, the message is rejected with ThreadNotFound."""


@frozen
class Leave(Carrier[Detach]):
    """Unsubscribe from a thread; the answer is `notLoaded` if it is not loaded."""


@frozen
class LoadedOrStored(Carrier[Ask[Any]]):
    """For a loaded thread `message`; for one that is not loaded, `stored`, which answers from its files.

    A function is called, must not wait, and sees to the answer. `Occupying` work may wait, and nothing else touches the
    thread meanwhile.
    """

    stored: Callable[[], object] | Occupying


@frozen
class Occupying:
    """Work on the files of a thread that is not loaded and must not be loaded meanwhile. It answers the message itself.

    `work` may raise RpcError, which becomes the answer.
    """

    work: Callable[[], Awaitable[None]]


@frozen(kw_only=True)
class Look(Ask[OpenedThread | None]):
    """The state of a thread, answered without waiting for the thread; None while it loads, and if it is not loaded."""


@frozen(kw_only=True)
class ListLoaded(Ask[list[str]]):
    """The ids of the loaded threads, ascending."""


@frozen
class LeaveAll(Urgent):
    """The client has disconnected: unsubscribe it from all its threads."""

    subscriber: Subscriber


@frozen
class ReloadServers(Urgent):
    """Every loaded thread brings its MCP servers in line with the configuration before its next turn."""


@frozen
class ReloadConfig(Urgent):
    """Every loaded thread reads the configuration again before its next turn, with its MCP servers."""


@frozen
class Started(Urgent):
    """From a thread: it is loaded, and something waits for that."""

    thread_id: str
    generation: int


@frozen
class Retire(Urgent):
    """From a thread that has no reason to stay: it has seen `seen` messages and asks to leave."""

    thread_id: str
    generation: int
    seen: int


@frozen
class End(Urgent):
    """From a thread: end another one."""

    thread_id: str


@frozen
class Gone(Urgent):
    """An incarnation of a thread has ended: its tasks, files and children too."""

    exited: Exited


@frozen
class Freed(Urgent):
    """The work that occupied a thread's id is done."""

    thread_id: str
    generation: int


@frozen
class Decided(Urgent):
    """It is known whether the thread may be ended for `request`: it may unless there is a `refusal`."""

    request: Relocation
    generation: int
    refusal: Exception | None


@frozen
class Kept(Urgent):
    """What is stored of a turn that has ended is stored."""


@frozen
class ShutDown(Urgent):
    """End every thread and load none from now on."""


Routed = Resume | ToThread | Leave | LoadedOrStored | Archive | Unarchive | Delete
"""Messages for one thread. What is held of them is routed again as if it came then."""
Message = (
    Start
    | Fork
    | Routed
    | ListLoaded
    | LeaveAll
    | ReloadServers
    | ReloadConfig
    | Started
    | Retire
    | End
    | Gone
    | Freed
    | Decided
    | Kept
    | ShutDown
)

