"""The table of answers to an HTTP request head."""

import pytest

from spindle.rpc.transports.http import HttpAnswer, Upgrade, decide

WEBSOCKET = [
    (b"host", b"127.0.0.1:1"),
    (b"connection", b"keep-alive, Upgrade"),
    (b"upgrade", b"WebSocket"),
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
]
ORIGIN = (b"origin", b"https://example.com")


def status(method: bytes, target: bytes, headers: list[tuple[bytes, bytes]]) -> int:
    decision = decide(method, target, headers)
    return decision.status if isinstance(decision, HttpAnswer) else 101


def changed(name: bytes, value: bytes | None) -> list[tuple[bytes, bytes]]:
    others = [header for header in WEBSOCKET if header[0] != name]
    return others if value is None else [*others, (name, value)]


@pytest.mark.parametrize("target", [b"/", b"/some/path", b"/?x=1", b"/readyz/"])
def test_any_path_upgrades(target: bytes) -> None:
    assert decide(b"GET", target, WEBSOCKET) == Upgrade()


@pytest.mark.parametrize("target", [b"/readyz", b"/healthz", b"/readyz?full"])
def test_probes(target: bytes) -> None:
    assert decide(b"GET", target, []) == HttpAnswer(200)
    assert status(b"HEAD", target, []) == 200
    assert status(b"POST", target, []) == 405
    assert status(b"GET", target, WEBSOCKET) == 200  # a probe stays a probe


@pytest.mark.parametrize("target", [b"/", b"/readyz"])
@pytest.mark.parametrize("method", [b"GET", b"POST"])
@pytest.mark.parametrize("origin", [b"https://example.com", b"null", b""])
def test_an_origin_is_forbidden_everywhere(method: bytes, target: bytes, origin: bytes) -> None:
    assert status(method, target, [*WEBSOCKET, (b"origin", origin)]) == 403


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"connection", None),
        (b"connection", b"close"),
        (b"upgrade", None),
        (b"upgrade", b"h2c"),
        (b"sec-websocket-version", None),
        (b"sec-websocket-version", b"8"),
        (b"sec-websocket-key", None),
        (b"sec-websocket-key", b"c2hvcnQ="),
        (b"sec-websocket-key", b"not base64"),
    ],
)
def test_half_an_upgrade_is_a_bad_request(name: bytes, value: bytes | None) -> None:
    assert status(b"GET", b"/", changed(name, value)) == 400


def test_tokens_may_be_spread_over_several_headers() -> None:
    assert decide(b"GET", b"/", [*changed(b"connection", b"keep-alive"), (b"connection", b"upgrade")]) == Upgrade()


def test_plain_http_on_other_paths() -> None:
    assert status(b"GET", b"/", []) == 400
    assert status(b"POST", b"/", WEBSOCKET) == 405
