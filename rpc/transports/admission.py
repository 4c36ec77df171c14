"""Which requests for a WebSocket on TCP are served: with authorization those with its token, else those for a local host.

A token proves that the client knows a secret. Without one, a listener on loopback is open to the processes of the machine,
and a web page must not be one of them. A page whose name was made to resolve to 127.0.0.1 (DNS rebinding) sends that name
as its host, so only an IP address or localhost is served.

Without I/O. The refusals are in the words of Codex.
"""

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Final, Protocol, TypeAlias

from attrs import field

from spindle.rpc.lazy_class import frozen

Admission: TypeAlias = Callable[[Mapping[bytes, bytes]], str | None]
"""Why a request for a WebSocket is not authorized, by its headers; None if it is."""

INVALID_TOKEN: Final = "invalid websocket bearer token"
_HOST: Final = re.compile(rb"(?:\[(?P<bracketed>[^\]]*)\]|(?P<plain>[^:]*))(?::[0-9]{0,5})?")


def is_local(host: bytes) -> bool:
    """Whether a Host header names an IP address or localhost, with a port or without."""
    if not (parts := _HOST.fullmatch(host.strip())):
        return False
    bracketed, plain = parts["bracketed"], parts["plain"]
    if plain is not None and plain.lower() == b"localhost":
        return True
    try:
        address = ipaddress.ip_address((plain or bracketed or b"").decode("ascii"))
    except ValueError:
        return False
    return address.version == (4 if bracketed is None else 6)


class Scheme(Protocol):
    """How tokens are checked."""

    def refusal(self, token: str) -> str | None:
        """Why a token is not accepted; None if it is. Takes the same time for each wrong token of a length."""
        ...


@frozen
class CapabilityToken:
    """One secret token, by its SHA-256 digest."""

    digest: bytes = field(repr=False)

    def refusal(self, token: str) -> str | None:
        """See Scheme."""
        return None if hmac.compare_digest(hashlib.sha256(token.encode()).digest(), self.digest) else INVALID_TOKEN


def bearer(scheme: Scheme) -> Admission:
    """Admits requests with a token in `Authorization: Bearer TOKEN`."""

    def admit(headers: Mapping[bytes, bytes]) -> str | None:
        if (value := headers.get(b"authorization")) is None:
            return "missing websocket bearer token"
        name, _, token = value.partition(b" ")
        if name.lower() != b"bearer" or not (token := token.strip()) or not token.isascii():
            return "invalid authorization header"
        return scheme.refusal(token.decode())

    return admit
