"""A client as the methods see it: who it is, and how it is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from spindle.actors.delivery.subscribers import Subscriber
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.registry.backend import Backend
from spindle.actors.settings.client import ClientName
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.envelope import RequestId

T = TypeVar("T")


@frozen
class ClientSession:
    """What a client declared in `initialize`. `muted` are the notifications that it opted out of."""

    client: ClientName
    experimental: bool
    muted: frozenset[str]


class Caller(Protocol):
    """The connection that a request came from."""

    backend: Backend
    subscriber: Subscriber
    cwd: str
    """What the client's relative paths are taken from, and where its threads start."""

    request_id: RequestId
    """The id of the request that is being handled; valid until the handler returns."""

    @property
    def client(self) -> ClientName:
        """Who the client is."""
        ...

    @property
    def awaited(self) -> bool:
        """Whether the client awaits answers."""
        ...

    def later(self, reply: Reply[Any], work: Callable[[], Awaitable[object]]) -> None:
        """Answer with what `work` returns or raises, in a task of the connection. A bounded number of them run at a time."""

    def quietly(self, reply: Reply[Any], work: Callable[[], Awaitable[object]]) -> None:
        """As `later`, but only what `work` raises is the answer: the answer itself is given by `work`, or elsewhere."""

    def own(self, kind: Callable[[Caller], T]) -> T:
        """The connection's one `kind(caller)`, made at the first use: what belongs to a client, such as its processes."""
        ...

    def start(self, what: str, work: Callable[..., Awaitable[object]], *args: Any) -> None:
        """Start `work(*args)` as a task that ends with the connection. `what` names it in the log if it fails."""

    def notify(self, params: Any) -> None:
        """Send a notification to this client only."""
