"""Any bytes before the handshake: the peer is answered or disconnected, and the next peer is served."""

import logging
from contextlib import suppress
from functools import partial

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, memory_stream_pair, open_stream_to_socket_listener

from spindle.rpc.transports.listen import ListenTarget, handshake, open_listeners, serve_websocket
from spindle.rpc.transports.websocket import connect

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
HEADERS = {
    b"Host": b"localhost",
    b"Connection": b"Upgrade",
    b"Upgrade": b"websocket",
    b"Sec-WebSocket-Key": KEY,
    b"Sec-WebSocket-Version": b"13",
}
OPTIONAL = (b"Sec-WebSocket-Protocol", b"Sec-WebSocket-Extensions", b"Origin", b"Content-Length", b"Transfer-Encoding", b"X")
CHANGES = ("line", "drop", "replace", "append", "add", "twice")

values = st.one_of(
    st.binary(max_size=40),
    st.text("ÿü;,=\"\\ abc\t\x00\x80", max_size=20).map(lambda text: text.encode("latin-1")),
    st.sampled_from([b"", b",", b"\xff", b"permessage-deflate; \xe4=1", b"9" * 30, b"-1", b"chunked", b"a" * 20_000]),
)
lines = st.sampled_from(
    [
        *(b"GET / HTTP/1.1", b"GET / HTTP/1.0", b"GET /\xff HTTP/1.1", b"POST / HTTP/1.1"),
        *(b"GET /readyz HTTP/1.0", b"GET / HTTP/9.9", b"PRI * HTTP/2.0"),
    ]
)


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """A valid request head with some changes, followed by bytes."""
    headers = list(HEADERS.items())
    line = b"GET / HTTP/1.1"
    for change in draw(st.lists(st.sampled_from(CHANGES), min_size=1, max_size=3)):
        at = draw(st.integers(0, len(headers) - 1))
        name, value = headers[at]
        match change:
            case "line":
                line = draw(lines)
            case "drop" if len(headers) > 1:
                del headers[at]
            case "replace":
                headers[at] = name, draw(values)
            case "append":
                headers[at] = name, value + b", " + draw(values)
            case "add":
                headers.append((draw(st.sampled_from(OPTIONAL)), draw(values)))
            case _:
                headers.append((name, value))
    head = b"\r\n".join([line, *(name + b": " + value for name, value in headers), b"", b""])
    return head + draw(st.binary(max_size=30))


@settings(max_examples=300, deadline=None)
@given(sent=st.one_of(heads(), st.binary(max_size=200)), cut=st.integers(0, 400))
def test_any_head_is_answered_or_disconnected(sent: bytes, cut: int) -> None:
    async def main() -> None:
        ours, theirs = memory_stream_pair()
        async with trio.open_nursery() as nursery:
            opened = []

            async def serve() -> None:
                async with theirs:
                    opened.append(await handshake(theirs, "websocket"))

            nursery.start_soon(serve)
            await ours.send_all(sent[:cut])
            await trio.testing.wait_all_tasks_blocked()
            with suppress(trio.BrokenResourceError):  # it may be disconnected already
                await ours.send_all(sent[cut:])
                await ours.send_eof()
            answer = b"".join([part async for part in ours])
        status = answer.split(b" ")[1:2]
        assert (status == [b"101"]) is (opened[0] is not None)
        assert not answer or answer.startswith(b"HTTP/1.1 ")

    trio.run(main, clock=MockClock(autojump_threshold=0))


async def test_a_fault_during_the_handshake_ends_only_that_connection(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: object) -> None:
        raise ZeroDivisionError

    async def no_answer(transport: object) -> None: ...

    async with open_listeners(ListenTarget("websocket", "127.0.0.1", 0)) as listeners, trio.open_nursery() as nursery:
        nursery.start_soon(partial(serve_websocket, listeners, no_answer))
        with monkeypatch.context() as patched, caplog.at_level(logging.CRITICAL):
            patched.setattr("spindle.rpc.transports.listen.decide", fail)
            async with await open_stream_to_socket_listener(listeners[0]) as stream:
                await stream.send_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                assert await stream.receive_some() == b""
        async with await open_stream_to_socket_listener(listeners[0]) as stream:
            await (await connect(stream, "localhost")).aclose()
        nursery.cancel_scope.cancel()
