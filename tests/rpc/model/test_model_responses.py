"""The client of the Responses API, against a scripted server."""

from collections.abc import Sequence
from typing import Any, cast

import orjson
import pytest
import trio
import trio.testing
from tests.rpc.model.scripted import (
    COMPLETED,
    CREATED,
    END,
    HEAD,
    MESSAGE,
    WHOLE,
    Make,
    ask,
    chunk,
    delta,
    failure_of,
    model_of,
    status,
)

from spindle.rpc.model.body import encode_body
from spindle.rpc.model.interface import (
    Completed,
    Created,
    ItemDone,
    ModelError,
    ModelEvent,
    Provider,
    TextDelta,
)
from spindle.rpc.model.own_headers import AccountToken
from spindle.rpc.model.responses import ResponsesModel


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
        "authorization": "Bearer secret",
        "host": f"127.0.0.1:{server.port}",
        "content-length": str(len(server.received[0].body)),
        "accept": "text/event-stream",
        "accept-encoding": "identity",
        "connection": "keep-alive",
        "content-type": "application/json",
        "session_id": "thread-1",
        "session-id": "thread-1",
        "thread-id": "thread-1",
        "x-client-request-id": "thread-1",
        "x-codex-window-id": "thread-1:0",
        "originator": "harness",
        "user-agent": "harness/1.0 (test)",
    }


async def late_key() -> str:
    await trio.lowlevel.checkpoint()
    return "late"


@pytest.mark.parametrize(
    ("key", "settings", "expected"),
    [
        (None, {}, None),
        ("", {}, None),
        ("own", {}, "Bearer own"),
        (lambda: " called\n", {}, "Bearer called"),
        (lambda: None, {}, None),
        (late_key, {}, "Bearer late"),
        ("own", {"env_key": "KEY", "experimental_bearer_token": "configured"}, "Bearer own"),
        (lambda: None, {"env_key": "KEY"}, "Bearer environment"),
        (None, {"env_key": "KEY", "experimental_bearer_token": "configured"}, "Bearer environment"),
        (None, {"experimental_bearer_token": "configured"}, "Bearer configured"),
        (None, {"requires_openai_auth": True}, None),
        ("own", {"http_headers": {"Authorization": "Basic x"}, "env_key": "KEY"}, "Basic x"),
        (None, {"base_url": "http://ann:b%20c@127.0.0.1:{port}/v1"}, "Basic YW5uOmIgYw=="),
    ],
)
async def test_which_key_is_sent(
    server: Any, make_request: Make, key: Any, settings: dict[str, Any], expected: str | None
) -> None:
    server.script = [[WHOLE]]
    if "base_url" in settings:
        settings = {"base_url": settings["base_url"].format(port=server.port)}
    await ask(model_of(server, key=key, environ={"KEY": " environment\n"}, **settings), make_request())
    assert server.received[0].headers.get("authorization") == expected


async def test_the_key_is_asked_for_before_each_request(server: Any, make_request: Make) -> None:
    server.script = [[WHOLE], [status(401, {"message": "wrong second"})]]
    keys = iter(("first", "second"))
    model = model_of(server, key=lambda: next(keys))
    await ask(model, make_request())
    error = await failure_of(model, make_request())
    assert [one.headers["authorization"] for one in server.received] == ["Bearer first", "Bearer second"]
    assert "wrong ***" in error.message


@pytest.mark.parametrize(
    ("key", "words"), [(lambda: 1 / 0, "has failed (ZeroDivisionError)"), (lambda: 5, "is not a string but int")]
)
async def test_a_function_that_returns_no_key_fails_the_request(
    server: Any, make_request: Make, key: Any, words: str
) -> None:
    error = await failure_of(model_of(server, key=key), make_request())
    assert words in error.message
    assert (error.retryable, server.connections) == (False, 0)


@pytest.mark.parametrize(("environ", "empty"), [({}, False), ({"KEY": " "}, True)])
async def test_a_missing_key_is_named_before_any_request(
    server: Any, make_request: Make, environ: dict[str, str], empty: bool
) -> None:
    model = model_of(server, environ=environ, env_key="KEY", env_key_instructions="Ask Ann.")
    error = await failure_of(model, make_request())
    assert error.message.startswith("Missing environment variable: `KEY`.")
    assert ("It is set, but empty." in error.message) is empty
    assert "`env_key` in [model_providers.<id>] of config.toml" in error.message
    assert error.message.endswith("Ask Ann.")
    assert (error.retryable, error.info, server.connections) == (False, "other", 0)


@pytest.mark.parametrize("settings", [{}, {"requires_openai_auth": True}, {"http_headers": {"x-other": "1"}}])
async def test_openai_without_a_key_is_not_asked(make_request: Make, settings: dict[str, Any]) -> None:
    model = ResponsesModel(Provider(base_url="https://api.openai.com/v1", **settings), lambda: None, environ={})
    error = await failure_of(model, make_request())
    assert "Set OPENAI_API_KEY" in error.message
    assert "[model_providers.<id>]" in error.message
    assert (error.retryable, error.info) == (False, "unauthorized")


@pytest.mark.parametrize(
    ("base_url", "target"),
    [
        ("{url}", "/responses"),
        ("{url}/", "/responses"),
        ("{url}/v1//", "/v1/responses"),
        ("{url}/team/a/v1", "/team/a/v1/responses"),
        ("{url}/openai?api-version=1&a=b%20c#part", "/openai/responses?api-version=1&a=b%20c&q=1%2F2"),
    ],
)
async def test_the_url_of_a_request(server: Any, make_request: Make, base_url: str, target: str) -> None:
    server.script = [[WHOLE]]
    params = {"q": "1/2"} if "?" in base_url else {}
    await ask(model_of(server, base_url=base_url.format(url=server.url), query_params=params), make_request())
    assert server.received[0].target == target


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


# ---- failures


class Renewable:
    """Keys that are numbered; `renew` goes on to the next one."""

    def __init__(self) -> None:
        self.number = 1

    async def __call__(self) -> str:
        return f"key-{self.number}"

    async def renew(self, refused: str) -> bool:
        assert refused == f"key-{self.number}"
        self.number += 1
        return True


async def test_a_refused_key_is_renewed_once(server: Any, make_request: Make) -> None:
    refusal = status(401, {"message": "no"})
    server.script = [[refusal], [WHOLE], [WHOLE], [refusal], [refusal]]
    model = model_of(server, key=Renewable())
    for _ in range(2):
        await ask(model, make_request())
    assert (await failure_of(model, make_request())).status == 401
    sent = [received.headers["authorization"] for received in server.received]
    assert sent == [f"Bearer key-{number}" for number in (1, 2, 2, 2, 3)]
    assert model.pauses == []


async def test_the_headers_of_an_account_go_with_its_token(server: Any, make_request: Make) -> None:
    server.script = [[WHOLE], [status(401, {"message": "no account secret-token"})]]
    model = model_of(server, key=lambda: AccountToken("secret-token", (("chatgpt-account-id", "acc-1"),)))
    await ask(model, make_request())
    [sent] = server.received
    assert (sent.headers["authorization"], sent.headers["chatgpt-account-id"]) == ("Bearer secret-token", "acc-1")
    assert "secret-token" not in (await failure_of(model, make_request())).message


@pytest.mark.parametrize("code", [400, 401, 403, 404, 429])
async def test_a_refusal_is_not_retried(server: Any, make_request: Make, code: int) -> None:
    server.script = [[status(code, {"message": "sorry"})], [WHOLE]]
    model = model_of(server, request_max_retries=3)
    error = await failure_of(model, make_request())
    assert "sorry" in error.message
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


async def test_a_silent_retry_is_told_to_the_caller_before_its_wait(server: Any, make_request: Make) -> None:
    server.script = [[status(503, {})], [status(500, {})], [WHOLE]]
    model = model_of(server, request_max_retries=3)
    noted: list[tuple[int | None, float]] = []

    def retried(error: ModelError, delay: float) -> None:
        assert len(model.pauses) == len(noted)
        noted.append((error.status, delay))

    await ask(model, make_request(retried=retried))
    assert [code for code, _ in noted] == [503, 500]
    assert [delay for _, delay in noted] == model.pauses
    assert b"retried" not in server.received[0].body


async def test_the_retries_are_bounded(server: Any, make_request: Make) -> None:
    server.script = [[status(500, {"message": "boom"})]] * 3
    error = await failure_of(model_of(server, request_max_retries=2), make_request())
    assert error.info == "internalServerError"
    assert error.retryable
    assert len(server.received) == 3


async def test_a_short_wait_is_kept_to_silently(server: Any, make_request: Make) -> None:
    server.script = [[status(503, {}, b"retry-after: 2\r\n")], [status(500, {}, b"retry-after-ms: 250\r\n")], [WHOLE]]
    model = model_of(server, request_max_retries=2)
    await ask(model, make_request())
    assert model.pauses == [2.0, 0.25]


@pytest.mark.parametrize(("code", "seconds"), [(503, 6), (429, 1), (408, 1)])
async def test_other_waits_are_left_to_the_caller_who_announces_them(
    server: Any, make_request: Make, code: int, seconds: int
) -> None:
    server.script = [[status(code, {}, b"retry-after: %d\r\n" % seconds)]]
    model = model_of(server, request_max_retries=4)
    error = await failure_of(model, make_request())
    assert (error.retryable, error.retry_after, error.status, model.pauses) == (True, seconds, code, [])
    assert len(server.received) == 1


async def test_many_retries_do_not_wait_ever_longer(server: Any, make_request: Make) -> None:
    server.script = [[status(502, {})]] * 9 + [[WHOLE]]
    model = model_of(server, request_max_retries=9)
    await ask(model, make_request())
    assert max(model.pauses) < 4


async def test_an_unreachable_server_is_named(make_request: Make) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    model = ResponsesModel(Provider(name="p", base_url=f"http://127.0.0.1:{port}/v1", request_max_retries=0), environ={})
    error = await failure_of(model, make_request())
    assert f"http://127.0.0.1:{port}/v1/responses" in error.message
    assert error.retryable
    assert error.info == "other"
    assert error.details is None


@pytest.mark.parametrize(
    "settings",
    [
        {},
        *({"base_url": url} for url in ("", "ftp://x", "nonsense", "localhost:8080/v1", "http://", "http://host:port/", "http://[")),
        {"base_url": "http://x", "wire_api": "chat"},
        {"base_url": "http://x", "request_max_retries": -1},
        {"base_url": "http://x", "stream_idle_timeout_ms": "300"},
        {"base_url": "http://x", "http_headers": {"x-number": 3}},
    ],
)
def test_a_provider_that_cannot_be_asked_makes_no_model(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="the provider odd"):
        ResponsesModel(Provider(name="odd", **settings), environ={})


def test_a_key_that_is_no_string_makes_no_model() -> None:
    with pytest.raises(TypeError, match="api_key is a string or a function, not int"):
        ResponsesModel(Provider(base_url="http://x"), api_key=cast("Any", 3))


async def test_a_host_that_is_no_host_is_an_error_of_the_request(make_request: Make) -> None:
    error = await failure_of(ResponsesModel(Provider(name="odd", base_url="http://a..b"), environ={}), make_request())
    assert error.message.startswith("model provider odd: ")
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
