"""One client's requests and answers, over a transport that the test reads from when it likes."""

from functools import partial

import orjson
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from spindle.actors.clients import connection
from spindle.actors.clients.connection import Connection
from spindle.actors.clients.methods import HANDLERS, RELEASING
from spindle.actors.delivery import outbox
from spindle.actors.kernel.mailbox import Mailbox
from spindle.actors.registry.registry import Registry
from spindle.actors.tasks.slots import Slots
from spindle.rpc.protocol.errors import OVERLOADED
from spindle.rpc.transports import TransportKind

UNKNOWN = "0199a213-81c0-7800-8aa1-bbab2a035a53"


class Wire:
    """A transport whose other end the test holds; what is sent waits for `read`."""

    kind: TransportKind = "websocket"

    def __init__(self):
        self.requests, self._requests = trio.open_memory_channel[bytes | None](10_000)
        self._sent, self.sent = trio.open_memory_channel[bytes](0)
        self.unread = 0

    def ask(self, id, method, **params):
        self.unread += 1
        self.requests.send_nowait(orjson.dumps({"id": id, "method": method, "params": params}))

    def hang_up(self):
        self.requests.send_nowait(None)

    async def receive(self):
        line = await self._requests.receive()
        self.unread -= 1
        return line

    async def send(self, messages):
        for message in messages:
            await self._sent.send(message)

    async def send_pieces(self, pieces):
        await self._sent.send(b"".join([piece async for piece in pieces]))

    async def aclose(self, code=1000, reason=""):
        pass

    async def answer(self, id):
        """The answer to a request, whatever else comes before it."""
        while (message := orjson.loads(await self.sent.receive())).get("id") != id:
            pass
        return message


@pytest.fixture
async def wire(opened):
    async with opened() as runtime, trio.open_nursery() as nursery:
        wire = Wire()
        nursery.start_soon(Connection(runtime._backend, wire).run, lambda exited: None)
        wire.ask(0, "initialize", clientInfo={"name": "n", "version": "1"})
        await wire.answer(0)
        yield wire
        nursery.cancel_scope.cancel()


async def test_requests_of_a_client_that_takes_no_answers_stay_unread(wire, monkeypatch):
    monkeypatch.setattr(outbox, "ANSWERS", 10)
    for number in range(1, 1001):
        wire.ask(number, "thread/loaded/list")
    await wait_all_tasks_blocked()
    assert 980 < wire.unread < 1000
    assert [(await wire.answer(number))["result"]["data"] for number in range(1, 1001)] == [[]] * 1000
    assert wire.unread == 0


async def test_what_ends_or_lets_go_is_not_refused_for_what_is_in_flight(wire, monkeypatch):
    assert set(HANDLERS) > RELEASING
    monkeypatch.setattr(connection, "IN_FLIGHT", 0)
    monkeypatch.setattr(connection, "PATIENCE", 0)
    for id, method, params in (
        (2, "thread/loaded/list", {}),
        (3, "thread/unsubscribe", {"threadId": UNKNOWN}),
        (4, "turn/interrupt", {"threadId": UNKNOWN, "turnId": "t"}),
    ):
        wire.ask(id, method, **params)
    assert (await wire.answer(2))["error"]["code"] == OVERLOADED
    assert (await wire.answer(3))["result"] == {"status": "notLoaded"}
    assert (await wire.answer(4))["error"]["message"] == f"thread not found: {UNKNOWN}"


async def test_a_request_too_many_waits_for_room(opened, monkeypatch, autojump_clock):
    monkeypatch.setattr(connection, "IN_FLIGHT", 2)
    async with opened() as runtime, trio.open_nursery() as nursery:
        wire = Wire()
        served = Connection(runtime._backend, wire)
        nursery.start_soon(served.run, lambda exited: None)
        wire.ask(0, "initialize", clientInfo={"name": "n", "version": "1"})
        await wire.answer(0)
        unanswered = [served._reply("a"), served._reply("b")]

        wire.ask(1, "thread/loaded/list")
        await wait_all_tasks_blocked()
        unanswered.pop().resolve({})
        assert (await wire.answer(1))["result"]["data"] == []

        unanswered.append(served._reply("c"))
        began = trio.current_time()
        for id in (2, 3):
            wire.ask(id, "thread/loaded/list")
            assert (await wire.answer(id))["error"]["code"] == OVERLOADED
            assert trio.current_time() - began == connection.PATIENCE, "one wait, not one for each"

        unanswered.pop().resolve({})
        wire.ask(4, "thread/loaded/list")
        assert (await wire.answer(4))["result"]["data"] == []
        nursery.cancel_scope.cancel()


async def test_a_client_is_read_as_the_registry_has_room_and_nothing_is_refused(opened, monkeypatch):
    monkeypatch.setattr(Mailbox.__init__, "__defaults__", (3,))
    go = trio.Event()
    handle = Registry.handle

    async def held_up(registry, message):
        await go.wait()
        await handle(registry, message)

    monkeypatch.setattr(Registry, "handle", held_up)
    async with opened() as runtime, trio.open_nursery() as nursery:
        wire = Wire()
        nursery.start_soon(Connection(runtime._backend, wire).run, lambda exited: None)
        wire.ask(0, "initialize", clientInfo={"name": "n", "version": "1"})
        await wire.answer(0)
        for number in range(1, 101):
            wire.ask(number, "thread/loaded/list")
        await wait_all_tasks_blocked()
        mailbox = runtime._backend.registry.mailbox
        assert mailbox.accepted - mailbox.seen == 3
        assert wire.unread == 100 - 3 - 1 - 1  # one is with the registry, one waits for room
        go.set()
        assert [(await wire.answer(number))["result"]["data"] for number in range(1, 101)] == [[]] * 100
        nursery.cancel_scope.cancel()


async def test_only_so_many_requests_are_worked_on_at_a_time(opened, monkeypatch):
    monkeypatch.setattr(connection, "AT_WORK", 3)
    running, go = [], trio.Event()
    async with opened() as runtime, trio.open_nursery() as nursery:
        wire = Wire()
        served = Connection(runtime._backend, wire)
        nursery.start_soon(served.run, lambda exited: None)
        wire.ask(0, "initialize", clientInfo={"name": "n", "version": "1"})
        await wire.answer(0)

        async def work():
            running.append(True)
            await go.wait()

        for number in range(10):
            served.later(served._reply(number), work)
        await wait_all_tasks_blocked()
        assert len(running) == 3
        go.set()
        answered: set[object] = set()
        while len(answered) < 10:
            answered |= {orjson.loads(await wire.sent.receive()).get("id")} - {None}
        assert len(running) == 10
        nursery.cancel_scope.cancel()


async def test_clients_take_turns_with_the_work_that_they_ask_for(opened):
    """What a client asks for does not wait for all that another one has asked before."""
    order, go = [], [trio.Event() for _ in range(200)]
    async with opened() as runtime, trio.open_nursery() as nursery:
        runtime._backend.working = Slots(1, float("inf"))
        clients = {name: Connection(runtime._backend, Wire()) for name in ("flooding", "quiet", "late")}
        for client in clients.values():
            nursery.start_soon(client.run, lambda exited: None)
        await wait_all_tasks_blocked()

        async def work(name):
            order.append(name)
            await go[len(order)].wait()

        async def ask(name, number):
            for id in range(number):
                clients[name].later(clients[name]._reply(id), partial(work, name))
            await wait_all_tasks_blocked()

        await ask("flooding", 100)
        await ask("quiet", 2)
        await ask("late", 1)
        for event in go[:10]:
            event.set()
            await wait_all_tasks_blocked()
        assert order[:7] == ["flooding", "flooding", "quiet", "late", "flooding", "quiet", "flooding"]
        nursery.cancel_scope.cancel()


async def test_what_several_tasks_emit_because_of_one_event_is_written_at_once(opened):
    class Recording(Wire):
        def __init__(self):
            super().__init__()
            self.batches: list[list[bytes]] = []

        async def send(self, messages):
            self.batches.append(list(messages))

    async def emit(happened, message):
        await happened.wait()
        client.subscriber.outbox.put(message)

    async with opened() as runtime, trio.open_nursery() as nursery:
        wire = Recording()
        client = Connection(runtime._backend, wire)
        nursery.start_soon(client.run, lambda exited: None)
        await wait_all_tasks_blocked()
        for _ in range(20):  # trio's order of tasks is random
            happened = trio.Event()
            nursery.start_soon(emit, happened, b"2")
            await wait_all_tasks_blocked()
            client.subscriber.outbox.put(b"1")
            happened.set()
            await wait_all_tasks_blocked()
        assert wire.batches == [[b"1", b"2"]] * 20
        nursery.cancel_scope.cancel()
