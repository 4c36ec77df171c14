"""The connections of the Responses API's client: kept, replaced, closed, through proxies."""

import contextlib
import gc
import socket
import ssl
from typing import Any

import httpcore
import orjson
import pytest
import trio
import trio.testing
from tests.rpc.model.scripted import (
    COMPLETED,
    CREATED,
    END,
    HEAD,
    WHOLE,
    Make,
    ask,
    chunk,
    failure_of,
    model_of,
    status,
)

from spindle.rpc.model.body import PIECE, RequestBody
from spindle.rpc.model.interface import (
    Completed,
    Created,
    Prepares,
)
from spindle.rpc.model.model_errors import ModelError
from spindle.rpc.model.network import GATHERED, Gathering


async def test_a_connection_is_reused(server: Any, make_request: Make) -> None:
    server.script = [[WHOLE]] * 3
    model = model_of(server)
    for _ in range(3):
        await ask(model, make_request())
    assert server.connections == 1
    assert len(server.received) == 3


async def test_a_connection_with_an_unread_answer_is_closed(server: Any, make_request: Make) -> None:
    server.script = [[HEAD + chunk(CREATED), trio.Event()], [WHOLE]]
    model = model_of(server)
    async with model.stream(make_request()) as batches:
        async for _ in batches:
            break
    await ask(model, make_request())
    assert [r.connection for r in server.received] == [1, 2]


async def test_cancelling_closes_the_connection(server: Any, make_request: Make) -> None:
    server.script = [[HEAD + chunk(CREATED), server.hang_up]]
    model = model_of(server)
    with trio.CancelScope() as scope:
        async with model.stream(make_request()) as batches:
            async for _ in batches:
                scope.cancel()
    assert scope.cancelled_caught


async def test_a_connection_that_the_server_closed_is_replaced(server: Any, make_request: Make) -> None:
    server.script = [[WHOLE, None], [WHOLE]]
    model = model_of(server)
    await ask(model, make_request())
    await server.hang_up.wait()
    await ask(model, make_request())
    assert [r.connection for r in server.received] == [1, 2]


async def test_a_missing_end_mark_closes_the_connection(server: Any, make_request: Make) -> None:
    server.script = [[HEAD + chunk(COMPLETED), trio.Event()], [WHOLE]]
    model = model_of(server)
    await ask(model, make_request())
    await ask(model, make_request())
    assert [r.connection for r in server.received] == [1, 2]


async def test_a_kept_connection_that_closes_instead_of_answering_is_replaced(server: Any, make_request: Make) -> None:
    server.script = [[WHOLE], [None], [WHOLE]]
    model = model_of(server)
    await ask(model, make_request())
    assert (await ask(model, make_request()))[-1] == Completed("r", None)
    assert [r.connection for r in server.received] == [1, 1, 2]


async def test_answers_in_parallel_do_not_wait_for_each_other(server: Any, make_request: Make) -> None:
    gates = [trio.Event() for _ in range(20)]
    server.script = [[HEAD + chunk(CREATED), gate, chunk(COMPLETED) + END] for gate in gates]
    model = model_of(server)
    started = 0

    async def one() -> None:
        nonlocal started
        async with model.stream(make_request()) as batches:
            async for _ in batches:
                started += 1
                if started == 20:  # only if all are under way at once
                    for gate in gates:
                        gate.set()

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(one)
    assert server.connections == 20


async def test_a_long_conversation_is_sent_completely(server: Any, make_request: Make) -> None:
    server.script = [[WHOLE]]
    item = orjson.dumps({"text": "x" * 3_000_000})
    await ask(model_of(server), make_request(input=[item, b"{}"]))
    assert len(server.received[0].json["input"][0]["text"]) == 3_000_000


async def test_connections_that_wait_too_long_are_closed(
    server: Any, make_request: Make, mock_clock: trio.testing.MockClock
) -> None:
    gate = trio.Event()
    server.script = [[HEAD + chunk(CREATED), gate, chunk(COMPLETED) + END] for _ in range(3)] + [[WHOLE]] * 2
    model = model_of(server)
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask, model, make_request())
        await trio.testing.wait_all_tasks_blocked(0.05)
        gate.set()
    mock_clock.jump(60)
    await ask(model, make_request())
    assert (server.connections, server.closed) == (3, 0)
    mock_clock.jump(60)
    await ask(model, make_request())
    await trio.testing.wait_all_tasks_blocked(0.05)
    assert (server.connections, server.closed) == (3, 2)


async def test_a_closed_model_closes_the_connections_of_answers_in_progress(server: Any, make_request: Make) -> None:
    server.script = [[HEAD + chunk(CREATED), trio.Event()]]
    model = model_of(server)
    async with model.stream(make_request()) as batches:
        assert await anext(batches) == [Created("r")]
        await model.aclose()
        with pytest.raises(ModelError, match="stream disconnected"):
            await anext(batches)


async def test_a_request_leaves_in_one_send_and_a_long_one_in_pieces(
    server: Any, make_request: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    sends: list[bytes] = []
    send_all = trio.SocketStream.send_all

    async def recorded(stream: trio.SocketStream, data: bytes) -> None:
        if stream.socket.getpeername()[1] == server.port:
            sends.append(data)
        await send_all(stream, data)

    monkeypatch.setattr(trio.SocketStream, "send_all", recorded)
    server.script = [[WHOLE]] * 2
    model = model_of(server)
    await ask(model, make_request())
    (sent,) = sends
    assert sent.startswith(b"POST ")
    assert orjson.loads(sent.partition(b"\r\n\r\n")[2]) == server.received[0].json
    del sends[:]
    await ask(model, make_request(input=[b'"%b"' % (b"x" * 3_000_000)]))
    assert len(sends) > 10
    assert max(map(len, sends)) <= GATHERED + PIECE


async def test_a_server_may_answer_before_it_has_read_the_request() -> None:
    class Hasty(httpcore.AsyncNetworkStream):
        written = 0

        async def write(self, buffer: bytes, timeout: float | None = None) -> None:
            self.written += 1
            raise httpcore.WriteError

        async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
            return b"HTTP/1.1 413 X\r\ncontent-length: 0\r\n\r\n"

        async def aclose(self) -> None:
            await trio.lowlevel.checkpoint()

    url = httpcore.URL("http://h/")
    for size in (0, 2 * GATHERED):
        hasty = Hasty()
        async with httpcore.AsyncHTTP11Connection(url.origin, Gathering(hasty)) as connection:
            headers = [("host", "h"), ("content-length", str(size))]
            request = httpcore.Request("POST", url, headers=headers, content=RequestBody([b"x" * size]))
            assert (await connection.handle_async_request(request)).status == 413
            assert hasty.written == 1


async def test_a_closed_model_answers_nothing(server: Any, make_request: Make) -> None:
    server.script = [[WHOLE], [WHOLE]]
    model = model_of(server)
    await ask(model, make_request())
    await model.aclose()
    await server.hang_up.wait()
    assert "closed" in (await failure_of(model, make_request())).message
    assert len(server.received) == 1


# ---- proxies


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
async def test_a_proxy_of_the_environment_is_used(
    server: Any, make_request: Make, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, server.url.removeprefix("http://"))
    server.script = [[WHOLE]]
    await ask(model_of(server, base_url="http://models.example/v1"), make_request())
    assert server.received[0].target == "http://models.example/v1/responses"


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
@pytest.mark.parametrize("value", ["x,127.0.0.2", "*"])
async def test_hosts_in_no_proxy_are_reached_directly(
    server: Any, make_request: Make, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv(name, value)
    await failure_of(model_of(server, base_url="http://127.0.0.2:9/v1"), make_request())  # where no server listens
    assert server.received == []


async def test_loopback_is_reached_directly(server: Any, make_request: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server.script = [[WHOLE]]
    await ask(model_of(server), make_request())
    assert server.received[0].target == "/v1/responses"


@pytest.mark.parametrize("answer", [WHOLE, HEAD + chunk(CREATED), status(500, {"message": "no"})])
async def test_a_sent_request_leaves_nothing_to_the_garbage_collector(
    server: Any, make_request: Make, answer: bytes
) -> None:
    server.script = [[WHOLE], [answer, None]]
    model = model_of(server)
    await ask(model, make_request())  # objects that are made once
    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(ModelError):
            await ask(model, make_request())
        await trio.testing.wait_all_tasks_blocked()
        assert [left for left in gc.get_objects() if isinstance(left, httpcore.Request)] == []
    finally:
        gc.enable()


async def test_certificate_authorities_are_read_only_where_they_are_needed(
    server: Any, make_request: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[object] = []
    for name in ("load_verify_locations", "load_default_certs"):
        monkeypatch.setattr(ssl.SSLContext, name, lambda *_, **named: read.append(named))
    server.script = [[WHOLE]]
    await ask(model_of(server), make_request())
    assert read == []
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        model = model_of(server, base_url=f"HTTPS://127.0.0.1:{unheard.getsockname()[1]}")
        await failure_of(model, make_request())
        assert read != []


async def test_a_prepared_model_reads_nothing_at_its_first_request(
    server: Any, make_request: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[object] = []
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", lambda *_, **named: read.append(named))
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        model = model_of(server, base_url=f"https://127.0.0.1:{unheard.getsockname()[1]}")
        await model.prepare()
        before = list(read)
        await failure_of(model, make_request())
    assert before != []
    assert read == before


async def test_preparing_a_model_reports_no_unusable_url(server: Any, make_request: Make) -> None:
    model = model_of(server, base_url="http://127.0.0.1:1/v1\x7f")
    assert isinstance(model, Prepares)
    await model.prepare()
    assert "model provider p: " in str(await failure_of(model, make_request()))
