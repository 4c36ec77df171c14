"""Why a provider cannot be reached: TLS, names, ports, proxies. Each error is one line that says what to do, where it can."""

import datetime
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import trio
import trustme
from tests.rpc.model.scripted import WHOLE, Make, ask, failure_of

from spindle.rpc.model.interface import Completed, Provider
from spindle.rpc.model.model_errors import ModelError
from spindle.rpc.model.responses import ResponsesModel

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


@pytest.fixture(scope="module")
def trusted() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def other() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def authorities(trusted: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of SSL_CERT_FILE, with one authority."""
    path = tmp_path / "authorities.pem"
    trusted.cert_pem.write_to_path(str(path))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return path


Answer: TypeAlias = Callable[[trio.abc.Stream], Any]


async def read_request(stream: trio.abc.Stream) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received and (more := await stream.receive_some(65536)):
        received += bytes(more)
    return received


async def answered(stream: trio.abc.Stream) -> None:
    await read_request(stream)
    await stream.send_all(WHOLE)


def saying(answer: bytes) -> Answer:
    async def say(stream: trio.abc.Stream) -> None:
        await read_request(stream)
        await stream.send_all(answer)

    return say


@pytest.fixture
async def serve(nursery: trio.Nursery) -> AsyncIterator[Callable[..., Any]]:
    """serve(answer, context) -> the port of a server on loopback. It speaks TLS with a context."""

    async def listen(answer: Answer, context: ssl.SSLContext | None = None) -> int:
        async def handle(tcp: trio.SocketStream) -> None:
            stream: trio.abc.Stream = tcp if context is None else trio.SSLStream(tcp, context, server_side=True)
            async with tcp:
                with suppress(trio.BrokenResourceError):  # the client hangs up on a certificate that it does not trust
                    await answer(stream)

        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, handle, [listener])
        port: int = listener.socket.getsockname()[1]
        return port

    yield listen
    nursery.cancel_scope.cancel()


def certificate(authority: trustme.CA, *names: str, **validity: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **validity).configure_cert(context)
    return context


def model_at(url: str, **settings: Any) -> ResponsesModel:
    async def no_sleep(seconds: float) -> None:
        await trio.lowlevel.checkpoint()

    return ResponsesModel(Provider(base_url=f"{url}/v1", **settings), environ={}, sleep=no_sleep)


async def unreachable(make_request: Make, url: str) -> ModelError:
    """The error of a request; its text is one line with the URL."""
    error = await failure_of(model_at(url), make_request())
    start = f"stream disconnected before completion: error sending request for url ({url}/v1/responses): "
    assert error.message.startswith(start)
    assert "\n" not in error.message
    error.message = error.message.removeprefix(start)
    return error


async def test_a_trusted_certificate_is_accepted(
    serve: Any, make_request: Make, trusted: trustme.CA, authorities: Path
) -> None:
    model = model_at(f"https://localhost:{await serve(answered, certificate(trusted, 'localhost'))}")
    assert (await ask(model, make_request()))[-1] == Completed("r", None)
    await model.aclose()


CERTIFICATES: Mapping[str, tuple[str, dict[str, Any], str]] = {
    "other": ("localhost", {}, "is of an unknown authority. If you trust"),
    "trusted": ("other.example", {}, "is for another host name"),
    "expired": ("localhost", {"not_before": NOW - 9 * DAY, "not_after": NOW - DAY}, "has expired"),
    "early": ("localhost", {"not_before": NOW + DAY, "not_after": NOW + 9 * DAY}, "is not valid yet. Is the clock"),
}


@pytest.mark.parametrize("name", CERTIFICATES)
async def test_a_certificate_that_is_not_accepted(
    serve: Any, make_request: Make, trusted: trustme.CA, other: trustme.CA, authorities: Path, name: str
) -> None:
    host, validity, words = CERTIFICATES[name]
    port = await serve(answered, certificate(other if name == "other" else trusted, host, **validity))
    error = await unreachable(make_request, f"https://localhost:{port}")
    assert error.message.startswith(f"the certificate of localhost:{port} {words}")
    assert ("SSL_CERT_FILE" in error.message) is (name == "other")
    assert not error.retryable


async def test_a_certificate_for_another_address(
    serve: Any, make_request: Make, trusted: trustme.CA, authorities: Path
) -> None:
    port = await serve(answered, certificate(trusted, "localhost"))
    error = await unreachable(make_request, f"https://127.0.0.1:{port}")
    assert error.message == f"the certificate of 127.0.0.1:{port} is for another IP address"


async def test_a_self_signed_certificate(serve: Any, make_request: Make, authorities: Path, tmp_path: Path) -> None:
    alone = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pem = tmp_path / "alone.pem"
    pem.write_bytes(alone.private_key_pem.bytes() + alone.cert_pem.bytes())
    context.load_cert_chain(pem)
    port = await serve(answered, context)
    error = await unreachable(make_request, f"https://localhost:{port}")
    assert error.message.startswith(f"the certificate of localhost:{port} is self-signed, and not trusted. If you trust")
    assert not error.retryable


@pytest.mark.parametrize("content", [None, "nonsense"])
async def test_unusable_certificate_authorities_are_named(
    make_request: Make, authorities: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    if content is None:
        monkeypatch.setenv("SSL_CERT_FILE", f"{authorities}.gone")
    else:
        await trio.Path(authorities).write_text(content)
    error = await failure_of(model_at("https://localhost:1"), make_request())
    assert "the certificate authorities cannot be read, check SSL_CERT_FILE: " in error.message
    assert not error.retryable


async def test_a_server_without_tls(serve: Any, make_request: Make, authorities: Path) -> None:
    async def answer_at_once(stream: trio.abc.Stream) -> None:
        await stream.receive_some(100)
        await stream.send_all(b"HTTP/1.1 400 Bad\r\ncontent-length: 0\r\n\r\n")

    port = await serve(answer_at_once)
    error = await unreachable(make_request, f"https://127.0.0.1:{port}")
    assert error.message == f"127.0.0.1:{port} does not speak TLS. If it is a plain HTTP server, its URL begins with http://"
    assert not error.retryable


async def test_a_server_that_ends_the_handshake(serve: Any, make_request: Make, authorities: Path) -> None:
    async def end(stream: trio.abc.Stream) -> None:
        await stream.receive_some(100)

    port = await serve(end)
    error = await unreachable(make_request, f"https://127.0.0.1:{port}")
    assert error.message.startswith((f"no TLS connection to 127.0.0.1:{port}: ", f"no connection to 127.0.0.1:{port}: "))
    assert error.retryable


async def test_a_port_without_a_server(make_request: Make) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        port = unheard.getsockname()[1]
        error = await unreachable(make_request, f"http://127.0.0.1:{port}")
    assert error.message == f"127.0.0.1:{port} refuses connections"
    assert error.retryable


async def test_a_host_without_an_address(make_request: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*_: object, **__: object) -> Any:
        await trio.lowlevel.checkpoint()
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(trio.socket, "getaddrinfo", unknown)
    error = await unreachable(make_request, "http://models.example")
    assert error.message == "no address is known for models.example:80: Name or service not known"
    assert error.retryable


async def test_a_host_that_does_not_answer(make_request: Make, monkeypatch: pytest.MonkeyPatch, mock_clock: Any) -> None:
    async def silent(*_: object, **__: object) -> Any:
        await trio.sleep_forever()

    monkeypatch.setattr(trio, "open_tcp_stream", silent)
    mock_clock.autojump_threshold = 0
    error = await unreachable(make_request, "http://models.example")
    assert error.message == "no connection to models.example:80 within 30 s"
    assert error.retryable


# ---- proxies


async def test_a_proxy_that_cannot_be_reached_is_named(make_request: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        port = unheard.getsockname()[1]
        monkeypatch.setenv("https_proxy", f"http://ann:secret@127.0.0.1:{port}")
        error = await unreachable(make_request, "https://models.example")
    assert error.message == f"the proxy 127.0.0.1:{port} refuses connections"


@pytest.mark.parametrize(
    ("status", "words", "retryable"),
    [
        (b"407 Proxy Authentication Required", ". Put the user and the password into the URL of the proxy", False),
        (b"403 Forbidden", "", False),
        (b"502 Bad Gateway", "", True),
    ],
)
async def test_a_proxy_that_refuses_to_connect(
    serve: Any, make_request: Make, monkeypatch: pytest.MonkeyPatch, status: bytes, words: str, retryable: bool
) -> None:
    port = await serve(saying(b"HTTP/1.1 %b\r\ncontent-length: 0\r\n\r\n" % status))
    monkeypatch.setenv("https_proxy", f"http://ann:secret@127.0.0.1:{port}")
    error = await unreachable(make_request, "https://models.example")
    said = f"the proxy 127.0.0.1:{port} refuses to connect to models.example:443: {status.decode()}{words}"
    assert error.message == said
    assert error.retryable is retryable


@pytest.mark.parametrize("proxy", ["ftp://ann:secret@h", "http://ann:secret@[", "http://h:99999999"])
async def test_an_unusable_proxy_is_named(make_request: Make, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    error = await failure_of(model_at("http://models.example"), make_request())
    assert "is not the URL of a proxy; check http_proxy, https_proxy and all_proxy" in error.message
    assert "secret" not in error.message
    assert not error.retryable


async def test_a_failure_that_stays_is_not_repeated(serve: Any, make_request: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    connections = 0

    async def refuse(stream: trio.abc.Stream) -> None:
        nonlocal connections
        connections += 1
        await saying(b"HTTP/1.1 407 No\r\ncontent-length: 0\r\n\r\n")(stream)

    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{await serve(refuse)}")
    await failure_of(model_at("https://models.example", request_max_retries=3), make_request())
    assert connections == 1
