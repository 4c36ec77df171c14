"""Which requests for a WebSocket are served: hosts, and bearer tokens."""

import hashlib

import pytest

from spindle.rpc.transports.admission import CapabilityToken, bearer, is_local
from spindle.rpc.transports.http import HttpAnswer, Upgrade, decide

TOKEN = "secret-token"
SCHEME = CapabilityToken(hashlib.sha256(TOKEN.encode()).digest())
WEBSOCKET = [
    (b"connection", b"Upgrade"),
    (b"upgrade", b"websocket"),
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
]


@pytest.mark.parametrize(
    "host",
    [b"127.0.0.1", b"127.0.0.1:4500", b"localhost", b"LocalHost:1", b"[::1]", b"[::1]:80", b"10.1.2.3:65535", b"1.2.3.4:"],
)
def test_local_hosts(host: bytes) -> None:
    assert is_local(host)


@pytest.mark.parametrize(
    "host",
    [
        *(b"", b"example.com", b"example.com:80", b"127.0.0.1.example.com", b"localhost.example.com", b"xlocalhost"),
        *(b"[localhost]", b"::1", b"[127.0.0.1]", b"[::1", b"127.1", b"0x7f.1", b"127.0.0.1:80:80", b"127.0.0.1,example.com"),
        *(b"example.com@127.0.0.1", b"127.0.0.1/x", "١٢٧.٠.٠.١".encode(), b"\xff", b"localhost:123456", b":80"),
    ],
)
def test_other_hosts(host: bytes) -> None:
    assert not is_local(host)


def test_a_name_that_is_rebound_to_loopback_opens_nothing() -> None:
    """A web page that has made its own name resolve to 127.0.0.1 sends that name."""
    rebound = [*WEBSOCKET, (b"host", b"attacker.example:4500")]
    decision = decide(b"GET", b"/", rebound)
    assert decision == HttpAnswer(403, b"the host must be an IP address or localhost\n")
    assert decide(b"GET", b"/", rebound, only_local=False) == Upgrade()
    with_token = [*rebound, (b"authorization", b"Bearer secret-token")]
    assert decide(b"GET", b"/", with_token, admission=bearer(SCHEME)) == Upgrade()


@pytest.mark.parametrize("value", [b"Bearer secret-token", b"bearer secret-token", b"BEARER   secret-token  "])
def test_the_token_is_admitted(value: bytes) -> None:
    assert bearer(SCHEME)({b"authorization": value}) is None


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "missing websocket bearer token"),
        (b"Bearer x", "invalid websocket bearer token"),
        (b"Bearer secret-toke", "invalid websocket bearer token"),
        (b"Bearer secret-token x", "invalid websocket bearer token"),
        (b"Bearer secret-token,Bearer x", "invalid websocket bearer token"),  # two headers
        (b"", "invalid authorization header"),
        (b"Bearer", "invalid authorization header"),
        (b"Bearer  ", "invalid authorization header"),
        (b"Bearer\tsecret-token", "invalid authorization header"),
        (b"Bearersecret-token", "invalid authorization header"),
        (b"Basic secret-token", "invalid authorization header"),
        (b"Bearer secret-token\xff", "invalid authorization header"),
    ],
)
def test_refused_tokens(value: bytes | None, reason: str) -> None:
    headers = {} if value is None else {b"authorization": value}
    assert bearer(SCHEME)(headers) == reason
    request = [*WEBSOCKET, (b"host", b"h"), *headers.items()]
    refusal = HttpAnswer(401, reason.encode(), ((b"www-authenticate", b"Bearer"),))
    assert decide(b"GET", b"/", request, admission=bearer(SCHEME)) == refusal


@pytest.mark.parametrize(
    ("method", "target", "headers", "status"),
    [
        (b"GET", b"/readyz", [], 200),
        (b"GET", b"/healthz", [], 200),
        (b"POST", b"/", [], 405),
        (b"GET", b"/", [(b"host", b"h")], 400),
        (b"GET", b"/", [*WEBSOCKET, (b"host", b"h"), (b"origin", b"null"), (b"authorization", b"Bearer secret-token")], 403),
    ],
)
def test_what_needs_no_token_and_what_no_token_opens(
    method: bytes, target: bytes, headers: list[tuple[bytes, bytes]], status: int
) -> None:
    decision = decide(method, target, headers, admission=bearer(SCHEME))
    assert isinstance(decision, HttpAnswer)
    assert decision.status == status


def test_the_token_is_not_shown() -> None:
    assert repr(SCHEME) == "CapabilityToken()"
