"""Bearer tokens that are signed with a shared secret: JWT (RFC 7519) with HS256, and nothing else of JOSE.

The claims are checked as Codex checks them, which is stricter than JWT libraries: `exp` is required, times are integers, a
name may occur once, and the encoding has one form. With one algorithm and one key, the rest is one HMAC.
"""

import base64
import hmac
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn, cast

from attrs import field

from spindle.rpc.lazy_class import frozen

CLOCK_SKEW: Final = 30
"""Seconds by which the clocks of the two sides may differ, by default."""
SECRET_BYTES: Final = 32
"""Bytes that a secret must have (RFC 7518, section 3.2)."""
MOST_SECONDS: Final = 2**63 - 1

INVALID: Final = "invalid websocket jwt"


@frozen
class SignedToken:
    """Tokens that hold until they expire. With `issuer` and `audience`, only those that name them.

    skew: seconds by which a token is accepted too late or too early. clock: seconds since 1970.
    """

    secret: bytes = field(repr=False)
    issuer: str | None = None
    audience: str | None = None
    skew: int = CLOCK_SKEW
    clock: Callable[[], float] = time.time

    def refusal(self, token: str) -> str | None:
        """See admission.Scheme."""
        try:
            claims = _Claims.read(_verified(token, self.secret))
        except (ValueError, RecursionError):
            return INVALID
        now = int(self.clock())
        if now > claims.expires + self.skew:
            return "expired websocket jwt"
        if claims.not_before is not None and now < claims.not_before - self.skew:
            return "websocket jwt is not valid yet"
        if self.issuer is not None and claims.issuer != self.issuer:
            return "websocket jwt issuer mismatch"
        if self.audience is not None and self.audience not in claims.audience:
            return "websocket jwt audience mismatch"
        return None


@frozen
class _Claims:
    expires: int
    not_before: int | None
    issuer: str | None
    audience: tuple[str, ...]

    @classmethod
    def read(cls, claims: Mapping[str, Any]) -> "_Claims":
        """Raises ValueError for a claim of another type, or without an expiry."""
        expires, not_before = _seconds(claims.get("exp")), _seconds(claims.get("nbf"))
        issuer, audience = claims.get("iss"), claims.get("aud")
        several = cast("list[object]", audience) if isinstance(audience, list) else [audience]
        names = [] if audience is None else several
        if expires is None or not isinstance(issuer, str | None):
            raise ValueError
        if not all(isinstance(name, str) for name in names):
            raise ValueError
        return cls(expires, not_before, issuer, tuple(cast("list[str]", names)))


def _seconds(value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > MOST_SECONDS:
        raise ValueError
    return value


def _verified(token: str, secret: bytes) -> Mapping[str, Any]:
    """The claims of a token with the right signature. Raises ValueError, RecursionError."""
    head, claims, signature = token.split(".")
    right = _encoded(hmac.digest(secret, f"{head}.{claims}".encode(), "sha256"))
    if not hmac.compare_digest(signature, right):
        raise ValueError
    header = _object(head)
    # a header that must be understood (RFC 7515, section 4.1.11) is not, because there is none that we know
    if header.get("alg") != "HS256" or "crit" in header or not isinstance(header.get("typ"), str | None):
        raise ValueError
    return _object(claims)


def _object(part: str) -> Mapping[str, Any]:
    data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if _encoded(data) != part:
        raise ValueError
    value: object = json.loads(data, object_pairs_hook=_once, parse_constant=_refuse)
    if not isinstance(value, dict):
        raise ValueError
    return cast("dict[str, Any]", value)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError
    return members


def _refuse(constant: str) -> NoReturn:
    raise ValueError


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
