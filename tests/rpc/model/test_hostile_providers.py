"""Hostile or broken providers: the request fails with a reason, and the next one is served."""

import gzip
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
import trio
import trio.testing

from spindle.rpc.model import connections
from spindle.rpc.model.interface import Completed, ModelEvent, ModelRequest, Provider
from spindle.rpc.model.model_errors import ModelError
from spindle.rpc.model.responses import ResponsesModel

Make = Callable[..., ModelRequest]
MIB = 1 << 20
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
WHOLE = b'data: {"type":"response.completed","response":{"id":"r"}}\n\n'
FINE = HEAD + b"content-length: %d\r\n\r\n" % len(WHOLE) + WHOLE
FORGED = "no\x1b[2J\u202e"


def forever(head: bytes, piece: bytes) -> Iterator[bytes]:
    yield head
    yield from itertools.repeat(piece)


def compressed(status: bytes, body: bytes, encoding: bytes) -> list[bytes]:
    return [b"HTTP/1.1 %s\r\ncontent-encoding: %s\r\ncontent-length: %d\r\n\r\n" % (status, encoding, len(body)) + body]


def failing(message: str) -> list[bytes]:
    data = orjson.dumps({"type": "response.failed", "response": {"error": {"message": message}}})
    return [HEAD + b"connection: close\r\n\r\ndata: " + data + b"\n\n", None]  # type: ignore[list-item]


HARM: dict[str, tuple[Callable[[], Any], str, bool]] = {
    "a gzip bomb": (
        lambda: compressed(b"200 OK", gzip.compress(gzip.compress(WHOLE * 10**6)), b"gzip, gzip"),
        "model provider p: the answer has the content-encoding gzip, gzip, which was not asked for",
        False,
    ),
    "a compressed refusal": (
        lambda: compressed(b"403 No", gzip.compress(b"no"), b"gzip"),
        "unexpected status 403 Forbidden: no explanation, url: http",
        False,
    ),
    "an endless line": (
        lambda: forever(HEAD + b"\r\ndata: ", b"a" * MIB),
        "model provider p: an event is longer than 67108864 bytes",
        False,
    ),
    "an endless event": (
        lambda: forever(HEAD + b"\r\n", b"data: a\n" * (MIB // 8)),
        "model provider p: an event is longer than 67108864 bytes",
        False,
    ),
    "endless comments": (
        lambda: forever(HEAD + b"\r\n", b": ping\n\n" * (MIB // 8)),
        "model provider p: the answer is longer than 4194304 bytes",
        False,
    ),
    "an endless refusal": (
        lambda: forever(b"HTTP/1.1 403 No\r\n\r\n", b"no" * MIB),
        "unexpected status 403 Forbidden: nono",
        False,
    ),
    "an endless head": (
        lambda: forever(b"HTTP/1.1 200 OK\r\n", b"x: " + b"a" * 1000 + b"\r\n"),
        "stream disconnected before completion: error sending request for url",
        True,
    ),
    "a million arrays": (
        lambda: [HEAD + b"connection: close\r\n\r\ndata: [" + b"{}," * 10**6 + b"1]\n\n", None],
        "the model's provider sent an event of more than 500000 objects, arrays and texts",
        False,
    ),
    "a redirect to another host": (
        lambda: [b"HTTP/1.1 307 Go\r\nlocation: http://localhost:1/\r\ncontent-length: 0\r\n\r\n"],
        "unexpected status 307 Temporary Redirect: no explanation, url: http://127.0.0.1",
        False,
    ),
    "a refusal for a terminal": (
        lambda: [b"HTTP/1.1 403 No\r\ncontent-length: %d\r\n\r\n" % len(FORGED.encode()) + FORGED.encode()],
        r"403 Forbidden: no\\x1b\[2J\\u202e, url",
        False,
    ),
    "a failure for a terminal": (lambda: failing(FORGED), r"completion: no\\x1b\[2J\\u202e$", True),
    "a long failure": (lambda: failing("a" * MIB), "^stream disconnected before completion: a{16384}$", True),
}


@pytest.mark.parametrize("name", HARM)
async def test_a_hostile_answer_fails_its_request_by_name(
    server: Any, make_request: Make, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "endless comments":
        monkeypatch.setattr(connections, "BODY_BYTES", 4 * MIB, raising=False)
    script, reason, retryable = HARM[name]
    server.script = [script(), [FINE]]
    model = ResponsesModel(Provider(name="p", base_url=f"{server.url}/v1", request_max_retries=0), environ={})
    server.clients.append(model)
    with trio.fail_after(30), pytest.raises(ModelError, match=reason) as caught:
        await ask(model, make_request())
    assert caught.value.retryable is retryable
    assert len(caught.value.message) < 20_100
    assert await ask(model, make_request()) == [Completed("r", None)]


OTHERS: dict[str, tuple[bytes, bytes, str]] = {
    "a page": (
        b"text/html; charset=utf-8",
        b"<!doctype html><meta x=" + b"x" * 500 + b"><title>Sign in</title>",
        "with text/html and not with an event stream (a page, “Sign in”)",
    ),
    "an error": (
        b"application/json",
        b'{"error": {"message": "no such model"}}',
        "with application/json and not with an event stream (no such model)",
    ),
    "an answer in one piece": (
        b"application/json",
        orjson.dumps({"object": "response", "output": ["x" * MIB]}),
        "with application/json and not with an event stream ({",
    ),
    "nothing": (b"text/html", b"", "with text/html and not with an event stream, url: "),
}


@pytest.mark.parametrize("name", OTHERS)
async def test_an_answer_that_is_no_event_stream_is_named(server: Any, make_request: Make, name: str) -> None:
    kind, body, words = OTHERS[name]
    server.script = [[b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (kind, len(body), body)]]
    model = ResponsesModel(Provider(base_url=server.url), environ={})
    server.clients.append(model)
    with pytest.raises(ModelError) as caught:
        await ask(model, make_request())
    assert caught.value.message.startswith(f"the model's provider answered {words}")
    assert caught.value.message.endswith(
        f", url: {server.url}/responses. The provider's `base_url` has no path; most need one, such as /v1"
    )
    assert len(caught.value.message) < 600
    assert not caught.value.retryable


@pytest.mark.parametrize("kind", [b"application/json", b"text/html", b"text/plain", b"nonsense"])
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_an_event_stream_under_another_type_is_read(
    server: Any, make_request: Make, kind: bytes, version: bytes
) -> None:
    server.script = [[b"HTTP/%b 200 OK\r\ncontent-type: %b\r\n\r\n" % (version, kind), WHOLE, None]]
    model = ResponsesModel(Provider(base_url=server.url), environ={})
    server.clients.append(model)
    assert await ask(model, make_request()) == [Completed("r", None)]


async def test_comments_alone_are_no_answer(
    server: Any, make_request: Make, mock_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """Each one arrives in time; without the bound the request would wait for as long as they come."""
    gates = [trio.Event() for _ in range(9)]
    server.script = [[HEAD + b"connection: close\r\n\r\n", *(step for gate in gates for step in (gate, b": ping\n\n")), None]]
    model = ResponsesModel(Provider(base_url=server.url, stream_idle_timeout_ms=5000), environ={})
    server.clients.append(model)

    async def ping() -> None:
        for gate in gates:
            await trio.testing.wait_all_tasks_blocked(0.01)
            mock_clock.jump(2)
            gate.set()

    nursery.start_soon(ping)
    with pytest.raises(ModelError, match="idle timeout waiting for SSE") as caught:
        await ask(model, make_request())
    assert caught.value.retryable
    assert trio.current_time() < 9


async def test_a_body_of_single_bytes_lets_other_tasks_run(server: Any, make_request: Make, nursery: trio.Nursery) -> None:
    pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in b": \n" * 1000 + WHOLE)
    server.script = [[HEAD + b"transfer-encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n"]]
    model = ResponsesModel(Provider(name="p", base_url=f"{server.url}/v1", request_max_retries=0), environ={})
    server.clients.append(model)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with model.stream(make_request()) as batches:
        nursery.start_soon(other)
        before = turns
        async for batch in batches:
            assert batch == [Completed("r", None)]
        assert turns - before > 20
    nursery.cancel_scope.cancel()


async def ask(model: ResponsesModel, request: ModelRequest) -> list[ModelEvent]:
    async with model.stream(request) as batches:
        return [event async for batch in batches for event in batch]
