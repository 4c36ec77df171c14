"""The subscription behind a handle: how its messages reach the thread, and its streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from spindle.actors.embedding.failures import ThreadClosed
from spindle.actors.kernel.mailbox import ActorExited, Ask, Reply, answer
from spindle.actors.registry.messages import ToThread
from spindle.rpc.protocol.errors import RpcError, ThreadNotFound

if TYPE_CHECKING:
    from spindle.actors.embedding.streams import Events, Sink, Streams
    from spindle.actors.registry.backend import Backend

T = TypeVar("T")


class Subscription:
    """A subscribed thread as its handle and its turns see it."""

    def __init__(self, backend: Backend, streams: Streams, thread_id: str) -> None:
        self.backend, self._streams = backend, streams
        self.thread_id = thread_id

    @property
    def cwd(self) -> str:
        """What relative directories are taken from."""
        return self.backend.cwd

    @property
    def read(self) -> bool:
        """Whether a stream is open from which the application may answer."""
        return self._streams.read

    def require_open(self) -> None:
        """Raise ThreadClosed if the thread or the block has ended."""
        if self._streams.closed:
            raise ThreadClosed(self.thread_id)

    def stream(self) -> Events:
        """Open a stream of the thread's events. Raises ThreadClosed."""
        self.require_open()
        return self._streams.stream()

    def open(self, sink: Sink) -> None:
        """See `Streams.open`. If the thread or the block has ended, the sink ends too."""
        if self._streams.closed:
            sink.close()
        else:
            self._streams.open(sink)

    async def ask(self, message: Callable[[Reply[T]], Ask[T]]) -> T:
        """Send the thread the message that `message` makes with a Reply. Raises the error it is answered with, ThreadClosed."""
        self.require_open()
        registry = self.backend.registry
        try:
            return await answer(lambda reply: registry.route(ToThread(self.thread_id, message(reply))))
        except (ActorExited, ThreadNotFound) as error:
            raise ThreadClosed(self.thread_id) from error
        except RpcError as error:
            if self._streams.closed:
                raise ThreadClosed(self.thread_id) from error
            raise
