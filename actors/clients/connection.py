"""The connection: the actor behind one client. It reads requests, sends them on their way, and writes what comes back.

Requests are decided in the order they arrive; none waits for another's answer. Answers and notifications leave through
one outbox, so their order on the wire is the order in which they were produced.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from functools import partial
from typing import Any, TypeVar

import trio

from spindle.actors.clients.caller import Caller, ClientSession
from spindle.actors.clients.greeting import greet
from spindle.actors.clients.methods import EARLY, HANDLERS, RELEASING, WORK
from spindle.actors.delivery.events import Event, Message
from spindle.actors.delivery.long_answers import LargeAnswer, LongMessage, Streamed, cut
from spindle.actors.delivery.outbox import Overflow
from spindle.actors.delivery.subscribers import Subscriber
from spindle.actors.kernel.actor import Actor
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.registry.backend import Backend
from spindle.actors.settings.client import ClientName
from spindle.actors.tasks.boundary import start_apart
from spindle.rpc.large import LARGE, apart
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.catalog import check_experimental, structure_params
from spindle.rpc.protocol.envelope import (
    ErrorResponse,
    Malformed,
    Request,
    RequestId,
    Response,
    encode_error,
    encode_result,
    parse,
)
from spindle.rpc.protocol.errors import RpcError, internal_error, invalid_request, overloaded
from spindle.rpc.protocol.initialize import InitializeParams
from spindle.rpc.transports import Transport
from spindle.rpc.weighing import weigh

log = logging.getLogger("spindle")

T = TypeVar("T")

IN_FLIGHT = 512
"""Requests of one client that may await their answers. The next one waits until some are answered and, where none is, is
refused as overload; those that release something do neither.

Half of what a thread's mailbox holds: however much one client sends to one thread, another client finds room.
"""

PATIENCE = 5.0
"""Seconds to wait for one of `IN_FLIGHT` requests to be answered before more of them are refused."""

MOST_IN_FLIGHT = 4096
"""The same with those that release something; nothing more is read before some are answered."""

BATCH = 1024 * 1024
"""Bytes that are written at once: what is being written is counted apart from what waits in the outbox."""

AT_WORK = 16
"""Requests of one client that are worked on side by side in tasks of its connection; the others wait. See `backend.WORKING`."""

LAST_WORDS = 1.0
"""Seconds to write what is left when the client has closed its end."""

TOO_SLOW = "client does not keep up with its notifications"


@frozen
class Received:
    """What the client has sent, as `parse` understands it, and the size of its line in bytes."""

    message: object
    size: int


@frozen
class HungUp:
    """The client has closed its end."""


class Connection(Actor):
    """One client on one transport; a `Caller`. Its messages are what the client sends, so back-pressure is the transport's."""

    def __init__(self, backend: Backend, transport: Transport, cwd: str | None = None) -> None:
        """`cwd`: the client's own directory, if it is not that of the backend."""
        super().__init__()
        self.backend = backend
        self.cwd = backend.cwd if cwd is None else cwd
        self.session: ClientSession | None = None
        self.request_id: RequestId = 0
        self._transport = transport
        overflow = Overflow.WAIT if transport.kind == "stdio" else Overflow.CLOSE
        self.subscriber = Subscriber(overflow)
        self._in_flight = 0
        self._room = trio.lowlevel.ParkingLot()
        self._refusing = False
        self._ended = False
        self._written = trio.Event()
        self._at_work = trio.Semaphore(AT_WORK)
        self._next = trio.Lock()  # one of its requests waits for a slot at a time, so clients take turns
        self._owned: dict[Callable[[Caller], Any], Any] = {}

    async def started(self) -> None:
        """Begin to write."""
        self.nursery.start_soon(self._write)

    async def handle(self, message: object) -> None:
        """Handle what the client has sent."""
        match message:
            case Received(message=Request() as request, size=size):
                if self._in_flight >= IN_FLIGHT and request.method not in RELEASING:
                    await self._wait_for_room()
                await (self._dispatch(request, size) if request.trace is None else self._traced(request, size))
                while self._in_flight >= MOST_IN_FLIGHT:
                    await self._room.park()
            case Received(message=Malformed() as malformed, size=size):
                log.warning("refused a request that cannot be read (%d bytes): %s", size, malformed.reason)
                self._reply(malformed.id).reject(invalid_request(f"Invalid request: {malformed.reason}"))
            case Received(message=(Response() | ErrorResponse()) as answer):
                if self.subscriber.threads or self.subscriber.asked:
                    self.backend.services.questions.settle(answer, self.subscriber)
            case Received(message=None, size=size):
                log.warning("skipped a line that is not a message (%d bytes)", size)
            case Received():
                pass  # no notification of a client has an effect
            case _:
                await self._hang_up()

    async def stopped(self) -> None:
        """End the client's subscriptions."""
        self._ended = True
        self.backend.leave(self.subscriber)
        self.subscriber.outbox.discard()

    async def receive(self) -> Received | HungUp:
        """Read the next message, once the client has taken enough of its answers."""
        while True:
            if self.subscriber.outbox.answers_behind:
                await self.subscriber.outbox.answers_taken()
            try:
                line = await self._transport.receive()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                line = None
            if line is None:
                return HungUp()
            size = len(line)
            message = parse(line) if size < LARGE else await apart(size, self.backend.coding, parse, line)
            if message is not None or line.strip():
                return Received(message, size)

    async def _hang_up(self) -> None:
        """What was asked before is answered, and what has been answered is written, if the client takes it in time."""
        with trio.move_on_after(LAST_WORDS):
            await self.backend.settled()
        self.subscriber.outbox.close()
        with trio.move_on_after(LAST_WORDS):
            await self._written.wait()
        self.stop()

    async def _wait_for_room(self) -> None:
        with trio.move_on_after(0 if self._refusing else PATIENCE) as waiting:
            while self._in_flight >= IN_FLIGHT:
                await self._room.park()
        # requests that nothing answers cost the client one wait, not one for each that follows
        self._refusing = waiting.cancelled_caught

    async def _write(self) -> None:
        outbox = self.subscriber.outbox
        try:
            with trio.CancelScope() as sending:
                # a client that reads nothing at all leaves us in the middle of a send
                outbox.on_overflow = sending.cancel
                while messages := await self._next_batch():
                    await self._send(messages)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        except Exception as error:
            log.error("closing a connection: an answer cannot be finished", exc_info=error)
            outbox.close()
            self.nursery.cancel_scope.cancel()
        self._written.set()
        if outbox.overflowed:
            log.warning("closing a connection: %s", TOO_SLOW)
            with trio.move_on_after(2):
                await self._transport.aclose(1008, TOO_SLOW)
        if not outbox.closed:
            self.nursery.cancel_scope.cancel()

    async def _next_batch(self) -> list[Message]:
        """What is written next, or []. Other tasks run first, so what they emit because of the same event is in it, too."""
        await self.subscriber.outbox.wait()
        await trio.lowlevel.checkpoint()
        return await self.subscriber.outbox.take(BATCH)

    async def _send(self, messages: list[Message]) -> None:
        batch: list[bytes] = []
        long = [message for message in messages if isinstance(message, LongMessage)]
        try:
            for message in messages:
                if isinstance(message, LongMessage):
                    await self._transport.send(batch)
                    batch = []
                    await self._send_long(message)
                    continue
                encoded = message
                if not isinstance(encoded, bytes):
                    weight = encoded.weight
                    encoded = encoded.encode() if weight < LARGE else await apart(weight, self.backend.coding, encoded.encode)
                if len(encoded) < LARGE:
                    batch.append(encoded)
                    continue
                await self._transport.send(batch)
                batch = []
                async with aclosing(_each(cut(encoded))) as pieces:
                    await self._transport.send_pieces(pieces)
            await self._transport.send(batch)
        finally:
            for message in long:
                message.close()

    async def _send_long(self, message: LongMessage) -> None:
        failure: Exception | None = None
        out, made = trio.open_memory_channel[bytes](1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(message.make, out)
            async with aclosing(message.pieces(made)) as pieces:
                try:
                    await self._transport.send_pieces(pieces)
                except Exception as error:  # raised in here it would come as a group
                    failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    # -- requests

    async def _traced(self, request: Request, size: int) -> None:
        """Turns that the request starts belong to the client's trace."""
        from spindle.actors.services.instruments import TRACE, carried

        token = TRACE.set(carried(request.trace))
        try:
            await self._dispatch(request, size)
        finally:
            TRACE.reset(token)

    async def _dispatch(self, request: Request, size: int) -> None:
        """`size` is that of its line. What it posts to the registry finds room there."""
        await self.backend.room()
        reply = self._reply(request.id)
        try:
            if self._in_flight > IN_FLIGHT and request.method not in RELEASING:
                raise overloaded()
            asked = (request.method, request.params, request.has_params)
            structure = structure_params
            params = structure(*asked) if size < LARGE else await apart(size, self.backend.coding, structure, *asked)
            if request.method == "initialize":
                assert isinstance(params, InitializeParams)
                reply.resolve(self._initialize(params))
                self.backend.audience.join(self.subscriber)
                self._start(self._answer, Reply(_nobody, _log), partial(greet, self))
                return
            if self.session is None:
                raise invalid_request("Not initialized")
            if not self.session.experimental:
                check_experimental(request.method, params)
            if self.backend.ending and request.method in WORK:
                raise invalid_request("the server is shutting down")
            if request.method not in EARLY:
                _ = self.backend.services  # made here, in trio's thread: handlers use it in worker threads
            self.request_id = request.id
            HANDLERS[request.method](self, params, reply)
        except RpcError as error:
            reply.reject(error)
        except Exception as error:
            log.exception("error while handling %s", request.method)
            reply.reject(internal_error(f"internal error: {error}"))

    def _reply(self, id: RequestId) -> Reply[Any]:
        self._in_flight += 1

        def resolve(result: object) -> None:
            try:
                message = _answer_to(id, result)
            except Exception as error:  # the reply then rejects with what is raised here
                log.error("an answer cannot be encoded", exc_info=error)
                raise internal_error(f"the answer cannot be encoded: {error}") from error
            self._answered()
            self.subscriber.outbox.put(message)

        def reject(error: Exception) -> None:
            self._answered()
            if not isinstance(error, RpcError):
                log.error("a request failed", exc_info=error)
                error = internal_error(f"internal error: {error}")
            self.subscriber.outbox.put(encode_error(id, error))

        return Reply(resolve, reject)

    def _answered(self) -> None:
        self._in_flight -= 1
        if self._room:
            self._room.unpark_all()

    def _initialize(self, params: InitializeParams) -> object:
        from spindle.actors.clients.methods.initialize import initialize

        if self.session is not None:
            raise invalid_request("Already initialized")
        self.session, response = initialize(self.backend, params)
        self.subscriber.muted = self.session.muted
        return response

    # -- what handlers use

    @property
    def client(self) -> ClientName:
        """Who asks."""
        assert self.session is not None
        return self.session.client

    @property
    def awaited(self) -> bool:
        """Whether the client awaits answers."""
        return self._in_flight > 0

    def later(self, reply: Reply[Any], work: Callable[[], Awaitable[object]]) -> None:
        """Answer with what `work` returns or raises, unless the connection has ended; `AT_WORK` of them run at a time."""
        self._start(self._answer_in_turn, reply, work)

    def quietly(self, reply: Reply[Any], work: Callable[[], Awaitable[object]]) -> None:
        """As `later`, but `work` answers itself or passes the reply on. Only what it raises becomes the answer here."""
        self.later(Reply(_nobody, reply.reject), work)

    def _start(self, task: Callable[..., Awaitable[None]], reply: Reply[Any], work: Callable[[], Awaitable[object]]) -> None:
        if self._ended:
            reply.reject(invalid_request("the client has gone away"))
        else:
            self.nursery.start_soon(task, reply, work)

    async def _answer_in_turn(self, reply: Reply[Any], work: Callable[[], Awaitable[object]]) -> None:
        async with self._at_work:
            await self.subscriber.outbox.answers_taken()
            async with self._next:
                slot = await self.backend.working.take()
            try:
                await self._answer(reply, work)
            finally:
                self.backend.working.give_back(slot)

    async def _answer(self, reply: Reply[Any], work: Callable[[], Awaitable[object]]) -> None:
        try:
            result = await work()
        except Exception as error:
            reply.reject(error)
        else:
            reply.resolve(result)

    def own(self, kind: Callable[[Caller], T]) -> T:
        """See `Caller`."""
        if kind not in self._owned:
            self._owned[kind] = kind(self)
        owned: T = self._owned[kind]
        return owned

    def start(self, what: str, work: Callable[..., Awaitable[object]], *args: Any) -> None:
        """See `Caller`."""
        start_apart(self.nursery, what, work, *args)

    def notify(self, params: Any) -> None:
        """Send a notification to this client only."""
        self.subscriber.deliver(Event(params))


def _nobody(_: object) -> None:
    """There is no answer."""


def _log(error: Exception) -> None:
    log.error("work in the background of a connection failed", exc_info=error)


def _answer_to(id: RequestId, result: object) -> Message:
    if isinstance(result, Streamed):
        return LongMessage.answer(id, result)
    return encode_result(id, result) if weigh(result, LARGE) < LARGE else LargeAnswer(id, result)


async def _each(pieces: Iterable[bytes]) -> AsyncGenerator[bytes]:
    for piece in pieces:
        yield piece
