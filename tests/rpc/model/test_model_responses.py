"""The client of the Responses API, against a scripted server."""

import contextlib
import gc
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpcore
import orjson
import pytest
import trio
import trio.testing

from spindle.rpc.model.body import PIECE, RequestBody
from spindle.rpc.model.interface import (
    Completed,
    Created,
    ItemDone,
    ModelEvent,
    ModelRequest,
    Prepares,
    Provider,
    TextDelta,
)
from spindle.rpc.model.model_errors import ModelError
from spindle.rpc.model.network import GATHERED, Gathering
from spindle.rpc.model.responses import ResponsesModel, encode_body

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
CREATED = {"type": "response.created", "response": {"id": "r"}}
COMPLETED = {"type": "response.completed", "response": {"id": "r"}}
MESSAGE = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]}
DONE = {"type": "response.output_item.done", "item": MESSAGE}

Make = Callable[..., ModelRequest]


def delta(text: str) -> dict[str, Any]:
    return {"type": "response.output_text.delta", "delta": text}


def chunk(*events: dict[str, Any]) -> bytes:
    data = b"".join(b"event: %s\ndata: %s\n\n" % (e["type"].encode(), orjson.dumps(e)) for e in events)
    return b"%x\r\n%s\r\n" % (len(data), data)


def status(code: int, error: dict[str, Any], extra: bytes = b"") -> bytes:
    body = orjson.dumps({"error": error})
    return b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n%s\r\n%s" % (code, len(body), extra, body)


WHOLE = HEAD + chunk(CREATED, delta("h"), delta("i"), DONE, COMPLETED) + END


class Pauses(list[float]):
    """Replaces `trio.sleep` and records the seconds."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)
        await trio.lowlevel.checkpoint()


def model_of(server: Any, *, key: str | None = None, environ: Mapping[str, str] | None = None, **settings: Any) -> Any:
    provider = Provider(**{"name": "p", "base_url": f"{server.url}/v1", "request_max_retries": 0, **settings})
    model = ResponsesModel(provider, lambda: key, environ=environ or {}, sleep=(pauses := Pauses()))
    model.pauses = pauses  # type: ignore[attr-defined]
    server.clients.append(model)
    return model


async def ask(model: Any, request: ModelRequest, seen: list[ModelEvent] | None = None) -> list[ModelEvent]:
    events = [] if seen is None else seen
    async with model.stream(request) as batches:
        async for batch in batches:
            assert batch
            events.extend(batch)
    return events


async def failure_of(model: Any, request: ModelRequest, seen: list[ModelEvent] | None = None) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await ask(model, request, seen)
    return caught.value


async def test_an_answer_arrives_in_order(server: Any, make_request: Make) -> None:
    server.script = [[WHOLE]]
    events = await ask(model_of(server), make_request())
    assert events == [Created("r"), TextDelta("h", None), TextDelta("i", None), ItemDone(MESSAGE), Completed("r", None)]


async def test_events_are_yielded_as_they_arrive(server: Any, make_request: Make) -> None:
    gate = trio.Event()
    server.script = [[HEAD + chunk(CREATED, delta("a")), gate, chunk(delta("b"), COMPLETED) + END]]
    batches: list[Sequence[ModelEvent]] = []
    async with model_of(server).stream(make_request()) as stream:
        async for batch in stream:
            batches.append(batch)
            gate.set()
    assert batches == [[Created("r"), TextDelta("a", None)], [TextDelta("b", None), Completed("r", None)]]


async def test_the_body(server: Any, make_request: Make) -> None:
    server.script = [[WHOLE]]
    await ask(model_of(server), make_request())
    (received,) = server.received
    assert (received.method, received.target) == ("POST", "/v1/responses")
    assert received.json == {
        "model": "mock-model",
        "instructions": "Be \u201chelpful\u201d.",
        "input": [{"type": "message", "role": "user", "content": []}, {"n": 1}],
        "tools": [{"type": "function", "name": "f"}],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "reasoning": None,
        "store": False,
        "stream": True,
        "include": [],
        "prompt_cache_key": "thread-1",
        "client_metadata": {"k": "v"},
    }


def test_optional_members_of_the_body_are_omitted_unless_set(make_request: Make) -> None:
    body = orjson.loads(
        b"".join(encode_body(make_request(service_tier="fast", text={"verbosity": "low"}, input=[], tools=())))
    )
    assert (body["service_tier"], body["text"], body["input"], body["tools"]) == ("fast", {"verbosity": "low"}, [], [])


@pytest.mark.parametrize(
    "sizes", [[3], [3] * 128, [3] * 129, [3] * 1000, [3] * 8193, [9**5], [9**5] * 129, [*[3] * 200, 9**5, *[3] * 200]]
)
def test_every_item_of_the_input_is_in_the_body_once(make_request: Make, sizes: list[int]) -> None:
    items = [orjson.dumps(f"{number:03}".ljust(size)) for number, size in enumerate(sizes)]
    body = orjson.loads(b"".join(encode_body(make_request(input=items))))
    assert body["input"] == [orjson.loads(item) for item in items]


async def test_the_headers(server: Any, make_request: Make) -> None:
    server.script = [[WHOLE]]
    await ask(model_of(server, key="secret"), make_request())
    assert server.received[0].headers == {
        "host": f"127.0.0.1:{server.port}",
        "content-length": str(len(server.received[0].body)),
        "accept": "text/event-stream",
        "accept-encoding": "identity",
        "connection": "keep-alive",
        "content-type": "application/json",
        "session_id": "thread-1",
        "x-client-request-id": "thread-1",
        "x-codex-window-id": "thread-1:0",
        "originator": "harness",
        "user-agent": "harness/1.0 (test)",
    }


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, None),
        ({"requires_openai_auth": True}, "Bearer account"),
        ({"env_key": "KEY"}, "Bearer environment"),
        ({"env_key": "KEY", "requires_openai_auth": True}, "Bearer environment"),
        ({"experimental_bearer_token": "configured"}, "Bearer configured"),
        ({"http_headers": {"Authorization": "Basic x"}, "env_key": "KEY"}, "Basic x"),
        ({"base_url": "http://ann:b%20c@127.0.0.1:{port}/v1"}, "Basic YW5uOmIgYw=="),
    ],
)
async def test_which_key_is_sent(
    server: Any, make_request: Make, settings: dict[str, Any], expected: str | None
) -> None:
    server.script = [[WHOLE]]
    if "base_url" in settings:
        settings = {"base_url": settings["base_url"].format(port=server.port)}
    await ask(model_of(server, key="account", environ={"KEY": " environment\n"}, **settings), make_request())
    assert server.received[0].headers.get("authorization") == expected


async def test_a_missing_key_is_named_in_the_error(server: Any, make_request: Make) -> None:
    error = await failure_of(model_of(server, env_key="KEY", env_key_instructions="Ask Ann."), make_request())
    assert "`KEY`" in error.message
    assert "Ask Ann." in error.message
    assert not error.retryable
    assert server.connections == 0


async def test_a_provider_may_add_headers_and_query_parameters(server: Any, make_request: Make) -> None:
    server.script = [[WHOLE]]
    settings: dict[str, Any] = {
        "base_url": f"{server.url}/openai/",
        "query_params": {"api-version": "2026 01", "b": "&"},
        "http_headers": {"X-One": "1", "Originator": "mine"},
        "env_http_headers": {"X-Two": "TWO", "X-None": "UNSET"},
    }
    await ask(model_of(server, environ={"TWO": "2"}, **settings), make_request())
    received = server.received[0]
    assert received.target == "/openai/responses?api-version=2026%2001&b=%26"
    assert [received.headers.get(n) for n in ("x-one", "x-two", "x-none", "originator")] == ["1", "2", None, "mine"]


@pytest.mark.parametrize("value", ["a\r\nb", "\udc80"])
async def test_a_header_that_cannot_be_sent_is_an_error_of_the_request(
    server: Any, make_request: Make, value: str
) -> None:
    error = await failure_of(model_of(server), make_request(originator=value))
    assert "model provider" in error.message
    assert not error.retryable
    assert not server.received


async def test_a_value_that_is_not_json_is_an_error_of_the_request(server: Any, make_request: Make) -> None:
    for changes in ({"instructions": "\udc80"}, {"tools": [object()]}):
        error = await failure_of(model_of(server), make_request(**changes))
        assert "JSON" in error.message
        assert not error.retryable
    assert server.connections == 0


# ---- connections


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


# ---- failures


@pytest.mark.parametrize("code", [400, 401, 403, 404, 429])
async def test_a_refusal_is_not_retried(server: Any, make_request: Make, code: int) -> None:
    server.script = [[status(code, {"message": "sorry"})], [WHOLE]]
    model = model_of(server, request_max_retries=3)
    error = await failure_of(model, make_request())
    assert ("sorry" in error.message) == (code != 429)
    assert len(server.received) == 1
    assert not model.pauses
    await ask(model, make_request())
    assert server.connections == 1  # the refusal's body was read


async def test_server_errors_are_retried_silently(server: Any, make_request: Make) -> None:
    server.script = [[status(503, {})], [status(500, {})], [status(502, {})], [WHOLE]]
    model = model_of(server, request_max_retries=3)
    assert (await ask(model, make_request()))[-1] == Completed("r", None)
    assert len({r.body for r in server.received}) == 1
    assert len(server.received) == 4
    first, second, third = model.pauses
    assert 0.18 <= first <= 0.22
    assert 0.36 <= second <= 0.44
    assert 0.72 <= third <= 0.88


async def test_the_retries_are_bounded(server: Any, make_request: Make) -> None:
    server.script = [[status(500, {"message": "boom"})]] * 3
    error = await failure_of(model_of(server, request_max_retries=2), make_request())
    assert error.info == "internalServerError"
    assert error.retryable
    assert len(server.received) == 3


async def test_an_unreachable_server_is_named(make_request: Make) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    model = ResponsesModel(Provider("p", base_url=f"http://127.0.0.1:{port}/v1", request_max_retries=0), environ={})
    error = await failure_of(model, make_request())
    assert f"http://127.0.0.1:{port}/v1/responses" in error.message
    assert error.retryable
    assert error.info == "other"
    assert error.details is None


@pytest.mark.parametrize("url", ["ftp://x", "nonsense", "http://", "http://host:port/"])
async def test_an_invalid_base_url_is_named_in_the_error(make_request: Make, url: str) -> None:
    error = await failure_of(ResponsesModel(Provider("odd", base_url=url), environ={}), make_request())
    assert "odd" in error.message
    assert not error.retryable


@pytest.mark.parametrize(
    "steps",
    [
        [HEAD + chunk(CREATED, delta("par")) + END],
        [HEAD + chunk(CREATED, delta("par")), None],
        [HEAD + chunk(CREATED, delta("par")) + b"not a chunk\r\n", None],
        [
            b"HTTP/1.1 200 OK\r\n\r\n" + b"data: " + orjson.dumps(CREATED) + b"\n\ndata: " + orjson.dumps(delta("par")),
            None,
        ],
    ],
    ids=["no completion", "cut off", "broken framing", "no length"],
)
async def test_events_before_a_broken_connection_are_yielded(server: Any, make_request: Make, steps: list[Any]) -> None:
    server.script = [steps]
    seen: list[ModelEvent] = []
    error = await failure_of(model_of(server), make_request(), seen)
    assert seen == [Created("r"), TextDelta("par", None)]
    assert error.message.startswith("stream disconnected before completion: ")
    assert error.retryable


async def test_a_failed_response_ends_the_stream(server: Any, make_request: Make) -> None:
    event = {"type": "response.failed", "response": {"error": {"code": "context_length_exceeded", "message": "m"}}}
    server.script = [[HEAD + chunk(CREATED, event) + END], [WHOLE]]
    model = model_of(server)
    seen: list[ModelEvent] = []
    error = await failure_of(model, make_request(), seen)
    assert seen == [Created("r")]
    assert error.info == "contextWindowExceeded"
    assert not error.retryable
    await ask(model, make_request())


@pytest.mark.parametrize("answer", [b"", HEAD, HEAD + chunk(CREATED)], ids=["no head", "no event", "events"])
async def test_silence_times_out(
    server: Any, make_request: Make, mock_clock: trio.testing.MockClock, answer: bytes
) -> None:
    server.script = [[answer, trio.Event()]]
    model = model_of(server, stream_idle_timeout_ms=5000, request_max_retries=3)
    mock_clock.autojump_threshold = 0.2  # real seconds without data: all bytes have arrived by then
    start = trio.current_time()
    error = await failure_of(model, make_request())
    assert error.message.endswith("idle timeout waiting for SSE")
    assert error.retryable
    assert trio.current_time() - start == 5
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
    model = model_of(server, base_url="ftp://127.0.0.1")
    assert isinstance(model, Prepares)
    await model.prepare()
    assert "is not http or https" in str(await failure_of(model, make_request()))
