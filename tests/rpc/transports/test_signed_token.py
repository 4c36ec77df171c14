"""Signed bearer tokens: which are accepted, and in which words the others are refused."""

import base64
import hmac
import json
from collections.abc import Mapping
from typing import Any

import pytest
from attrs import evolve

from spindle.rpc.transports.signed_token import INVALID, SignedToken

NOW = 1_800_000_000
SECRET = b"0123456789abcdef0123456789abcdef"
ANY = SignedToken(SECRET, clock=lambda: NOW + 0.9)
OURS = evolve(ANY, issuer="me", audience="you")
CLAIMS: dict[str, Any] = {"exp": NOW + 60, "iss": "me", "aud": "you"}
HS256: dict[str, Any] = {"alg": "HS256", "typ": "JWT"}
EXPIRED, EARLY = "expired websocket jwt", "websocket jwt is not valid yet"
ISSUER, AUDIENCE = "websocket jwt issuer mismatch", "websocket jwt audience mismatch"
MOST = 2**63 - 1
TIMES: list[object] = [None, True, "9", NOW + 60.5, 1e300, MOST + 1, -MOST - 1, []]
ISSUERS: list[object] = [3, ["me"], False]
AUDIENCES: list[object] = [3, ["you", 3], {"you": 1}]
CRITICAL: list[object] = [["exp"], [], None]
NO_CLAIMS: list[object] = [[], "x", None, b"", b"{", b"\xff\xfe", b'{"exp":NaN}', b"[" * 5000]


def encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def signed(claims: object = CLAIMS, header: object = HS256, secret: bytes = SECRET) -> str:
    """A token; a part that is bytes is taken as it is."""
    head, body = (encoded(part if isinstance(part, bytes) else json.dumps(part).encode()) for part in (header, claims))
    return b".".join((head, body, encoded(hmac.digest(secret, head + b"." + body, "sha256")))).decode()


def changed(**claims: object) -> Mapping[str, object]:
    return {**CLAIMS, **claims}


@pytest.mark.parametrize(
    "claims",
    [
        CLAIMS,
        {"exp": MOST, "iss": "me", "aud": "you"},
        changed(aud=["x", "you"]),
        changed(exp=NOW - 30, nbf=NOW + 30),
        changed(nbf=None, iat="x", sub=[1]),
        changed(unknown={"deep": [None]}),
    ],
)
def test_tokens_that_are_accepted(claims: Mapping[str, object]) -> None:
    assert OURS.refusal(signed(claims)) is None


@pytest.mark.parametrize("claims", [{"exp": NOW}, changed(iss="x", aud=[]), changed(iss=None, aud=None)])
def test_without_an_issuer_and_an_audience_every_one_is_accepted(claims: Mapping[str, object]) -> None:
    assert ANY.refusal(signed(claims)) is None
    assert OURS.refusal(signed(claims)) in (ISSUER, AUDIENCE)


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        (changed(exp=NOW - 31), EXPIRED),
        (changed(exp=-1), EXPIRED),
        (changed(exp=0, iss="x"), EXPIRED),
        (changed(nbf=NOW + 31), EARLY),
        (changed(nbf=MOST, iss="x", aud="x"), EARLY),
        (changed(iss="x", aud="x"), ISSUER),
        (changed(iss=" me"), ISSUER),
        (changed(iss=None), ISSUER),
        (changed(aud="x"), AUDIENCE),
        (changed(aud=["x", "yo", "u"]), AUDIENCE),
        (changed(aud=[]), AUDIENCE),
        (changed(aud=None), AUDIENCE),
        ({"iss": "me", "aud": "you"}, INVALID),
        *((changed(exp=value), INVALID) for value in TIMES),
        *((changed(nbf=value), INVALID) for value in TIMES if value is not None),
        *((changed(iss=value), INVALID) for value in ISSUERS),
        *((changed(aud=value), INVALID) for value in AUDIENCES),
        *((value, INVALID) for value in NO_CLAIMS),
        (b'{"exp":1%s,"iss":"me","aud":"you"}' % (b"0" * 5000), INVALID),
        (b'{"exp":5,"exp":%d,"iss":"me","aud":"you"}' % (NOW + 60), INVALID),
        (b'{"exp":%d,"iss":"me","aud":"you","x":{"a":1,"a":2}}' % (NOW + 60), INVALID),
    ],
)
def test_claims_that_are_refused(claims: object, reason: str) -> None:
    assert OURS.refusal(signed(claims)) == reason


@pytest.mark.parametrize(
    "header",
    [
        *({"alg": name} for name in ("none", "None", "HS384", "RS256", "hs256", "", None, 3, ["HS256"])),
        *({}, [], "HS256", b"", b"{", b'{"alg":"none","alg":"HS256"}'),
        *({**HS256, "crit": value} for value in CRITICAL),
        {**HS256, "typ": 3},
    ],
)
def test_headers_that_are_refused(header: object) -> None:
    assert ANY.refusal(signed(header=header)) == INVALID


@pytest.mark.parametrize("header", [{"alg": "HS256"}, {**HS256, "typ": "x"}, {**HS256, "kid": "../x", "cty": "JWT"}])
def test_headers_that_are_accepted(header: object) -> None:
    assert ANY.refusal(signed(header=header)) is None


def test_the_encoding_has_one_form() -> None:
    token = signed()
    head, body, signature = token.split(".")
    other = chr(ord(signature[-1]) ^ 1)  # the last bits of the last character are of no byte
    wrong = ["", ".", "..", head, f"{head}.{body}", f"{head}.{body}.", f"{token}.", f"{token}.x", f"{token}=", token[:-1]]
    wrong += [token[:-1] + other, f"{head}=.{body}.{signature}", f" {token}", token.replace(".", " .", 1)]
    assert {text: ANY.refusal(text) for text in wrong} == dict.fromkeys(wrong, INVALID)


def test_only_the_secret_signs() -> None:
    assert ANY.refusal(signed(secret=SECRET + b"\n")) == INVALID
    assert ANY.refusal(signed(secret=b"")) == INVALID


def test_a_part_that_is_signed_may_not_be_encoded_otherwise() -> None:
    """Padding, and characters that a lenient decoder skips."""
    for extra in (b"=", b"==", b"!", b"\n"):
        head, body = encoded(json.dumps(HS256).encode()), encoded(json.dumps(CLAIMS).encode()) + extra
        signature = encoded(hmac.digest(SECRET, head + b"." + body, "sha256"))
        assert ANY.refusal(b".".join((head, body, signature)).decode()) == INVALID


def test_without_skew_the_clock_decides() -> None:
    exact = evolve(ANY, skew=0)
    assert exact.refusal(signed(changed(exp=NOW))) is None
    assert exact.refusal(signed(changed(exp=NOW - 1))) == EXPIRED
    assert exact.refusal(signed(changed(nbf=NOW + 1))) == EARLY


def test_the_secret_is_not_shown() -> None:
    assert "0123" not in repr(OURS)
