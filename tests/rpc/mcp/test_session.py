"""A session: handshake, answers, timeouts, cancellation, requests and notifications from the server, and its end."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from spindle.rpc.mcp.mcp_errors import BadAnswer, ServerError, TimedOut, TransportClosed
from spindle.rpc.mcp.session import McpSession

INFO = {"name": "spindle", "version": "1"}


@pytest.fixture
def mock_clock():
    return MockClock()


class Owner:
    def __init__(self):
        self.calls = []
        self.questions = []
        self.answered = trio.Event()

    async def answer_elicitation(self, params):
        self.questions.append(params)
        await self.answered.wait()
        return {"action": "accept", "content": {}}

    def notified(self, method, params):
        self.calls.append((method, params))


@pytest.fixture
def owner():
    return Owner()


@pytest.fixture
def session(played, owner, nursery):
    nursery.start_soon(played.transport.run)
    session = McpSession(played.transport, owner)
    nursery.start_soon(session.run)
    return session


async def outcome(into, session, *args, **kwargs):
    try:
        into.append(await session.request(*args, **kwargs))
    except Exception as error:
        into.append(error)


async def test_the_handshake(session, played, nursery):
    found: list[Any] = []

    async def shake():
        found.append(await session.initialize(INFO))

    nursery.start_soon(shake)
    asked = await played.receive()
    assert asked == {
        "jsonrpc": "2.0",
        "id": 0,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {"elicitation": {"form": {}}},
            "clientInfo": INFO,
        },
    }
    await played.say(id=0, result={"protocolVersion": "2025-06-18", "instructions": "x"})
    assert await played.receive() == {"jsonrpc": "2.0", "method": "notifications/initialized"}
    await wait_all_tasks_blocked()
    assert found == [{"protocolVersion": "2025-06-18", "instructions": "x"}]


async def test_answers_find_their_requests_in_any_order(session, played, nursery):
    first: list[Any] = []
    second: list[Any] = []
    nursery.start_soon(outcome, first, session, "a", {"_meta": {"k": 1, "progressToken": "mine"}})
    one = await played.receive()
    nursery.start_soon(outcome, second, session, "b")
    two = await played.receive()
    assert one["params"]["_meta"] == {"k": 1, "progressToken": one["id"]}
    await played.say(id=99, result={"stray": True})
    await played.say(id=two["id"], result={"n": 2})
    await played.say(id=one["id"], result={"n": 1})
    await wait_all_tasks_blocked()
    assert (first, second) == ([{"n": 1}], [{"n": 2}])


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (
            {"error": {"code": -32000, "message": "boom", "data": {"a": 1}}},
            ServerError,
            'Mcp error: -32000: boom({"a":1})',
        ),
        ({"error": {"code": -1, "message": "no"}}, ServerError, "Mcp error: -1: no"),
        ({"error": "odd"}, ServerError, "Mcp error: None: None"),
        ({"result": [1]}, BadAnswer, "Unexpected response type"),
        ({}, BadAnswer, "Unexpected response type"),
    ],
)
async def test_answers_without_a_result(session, played, nursery, answer, kind, text):
    found: list[Any] = []
    nursery.start_soon(outcome, found, session, "a")
    asked = await played.receive()
    await played.say(id=asked["id"], **answer)
    await wait_all_tasks_blocked()
    assert type(found[0]) is kind
    assert str(found[0]) == text


async def test_data_that_is_not_a_message_is_skipped(session, played, nursery, caplog):
    found: list[Any] = []
    nursery.start_soon(outcome, found, session, "a")
    asked = await played.receive()
    await played.write(b"hello\n\n[1]\n\xff\xfe\n" + b'"text"\n')
    await played.say(id=asked["id"], result={"n": 1})
    await wait_all_tasks_blocked()
    assert found == [{"n": 1}]
    assert len(caplog.records) == 4
    assert "MCP server tiny: this is not a message" in caplog.text


async def test_an_id_of_another_type_answers_nothing(session, played, nursery):
    found: list[Any] = []
    nursery.start_soon(outcome, found, session, "a")
    assert (await played.receive())["id"] == 0
    for id in (False, 0.0, "0", None, [0]):
        await played.say(id=id, result={"n": "wrong"})
    await played.say(id=[1], method="ping")
    await played.say(id=0, result={"n": 1})
    await wait_all_tasks_blocked()
    assert found == [{"n": 1}]


async def test_a_request_that_times_out_is_cancelled_at_the_server(session, played, nursery, mock_clock):
    found: list[Any] = []
    nursery.start_soon(lambda: outcome(found, session, "tools/call", timeout=1.5))
    asked = await played.receive()
    mock_clock.jump(1.4)
    await wait_all_tasks_blocked()
    assert found == []
    mock_clock.jump(0.2)
    assert await played.receive() == {
        "jsonrpc": "2.0",
        "method": "notifications/cancelled",
        "params": {"requestId": asked["id"], "reason": "timed out"},
    }
    assert type(found[0]) is TimedOut
    assert str(found[0]) == "timed out awaiting tools/call after 1.5s"
    await played.say(id=asked["id"], result={})  # too late, harmless
    await wait_all_tasks_blocked()
    assert len(found) == 1


async def test_a_cancelled_request_is_cancelled_at_the_server(session, played, nursery):
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as inner:
            inner.start_soon(session.request, "tools/call")
            asked = await played.receive()
            scope.cancel()
    told = await played.receive()
    assert (told["method"], told["params"]["requestId"]) == ("notifications/cancelled", asked["id"])


async def test_the_timeout_stands_still_while_the_user_is_asked(session, owner, played, nursery, mock_clock):
    found: list[Any] = []
    later: list[Any] = []
    nursery.start_soon(lambda: outcome(found, session, "tools/call", timeout=2))
    await played.receive()
    mock_clock.jump(1)
    await played.say(id="q", method="elicitation/create", params={"message": "who?"})
    await wait_all_tasks_blocked()
    assert owner.questions == [{"message": "who?"}]
    mock_clock.jump(3600)
    nursery.start_soon(lambda: outcome(later, session, "ping", timeout=1))
    await played.receive()
    mock_clock.jump(3600)
    await wait_all_tasks_blocked()
    assert (found, later) == ([], [])
    owner.answered.set()
    assert await played.receive() == {"jsonrpc": "2.0", "id": "q", "result": {"action": "accept", "content": {}}}
    mock_clock.jump(0.9)
    await wait_all_tasks_blocked()
    assert (found, later) == ([], [])
    mock_clock.jump(0.2)
    await wait_all_tasks_blocked()
    assert isinstance(found[0], TimedOut)
    assert isinstance(later[0], TimedOut)


async def test_a_closed_server_fails_pending_and_later_requests(session, played, nursery):
    found: list[Any] = []
    nursery.start_soon(outcome, found, session, "a")
    nursery.start_soon(outcome, found, session, "b")
    await played.receive()
    await played.end()
    await wait_all_tasks_blocked()
    await outcome(found, session, "c")
    assert [str(error) for error in found] == ["Transport closed"] * 3
    assert all(isinstance(error, TransportClosed) for error in found)


async def test_requests_from_the_server(session, played):
    await played.say(id=1, method="ping")
    await played.say(id="two", method="roots/list", params={})
    await played.say(id=3, method="sampling/createMessage", params={})
    assert await played.receive() == {"jsonrpc": "2.0", "id": 1, "result": {}}
    assert await played.receive() == {"jsonrpc": "2.0", "id": "two", "result": {"roots": []}}
    assert (await played.receive())["error"] == {"code": -32601, "message": "sampling/createMessage"}


async def test_too_many_elicitations_are_refused(session, owner, played):
    for number in range(17):
        await played.say(id=number, method="elicitation/create", params={})
    assert (await played.receive())["id"] == 16
    assert len(owner.questions) == 16


async def test_progress_goes_to_its_request(session, owner, played, nursery):
    found: list[Any] = []
    reports: list[Any] = []
    nursery.start_soon(lambda: outcome(found, session, "a", progress=reports.append))
    asked = await played.receive()
    token = asked["params"]["_meta"]["progressToken"]
    for params in ({"progressToken": token, "progress": 1}, {"progressToken": 77, "progress": 2}, {"progress": 3}):
        await played.say(method="notifications/progress", params=params)
    await played.say(method="notifications/message", params={"level": "info", "data": "x"})
    await wait_all_tasks_blocked()
    assert reports == [{"progressToken": token, "progress": 1}]
    assert owner.calls == [("notifications/message", {"level": "info", "data": "x"})]


async def test_a_server_that_does_not_read_blocks_no_longer_than_the_timeout(played, owner, nursery, mock_clock):
    # The transport's `run` is not running, so nothing is written, as with a full pipe.
    session = McpSession(played.transport, owner)
    nursery.start_soon(session.run)
    found: list[Any] = []
    for _ in range(70):
        nursery.start_soon(lambda: outcome(found, session, "a", timeout=1))
    await wait_all_tasks_blocked()
    mock_clock.jump(1.1)
    await wait_all_tasks_blocked()
    assert len(found) == 70
    assert all(isinstance(error, TimedOut) for error in found)
