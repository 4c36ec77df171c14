"""The listener's answers to HTTP request heads: a table, without I/O.

A connection speaks HTTP/1.1 until it becomes a WebSocket. Two paths are probes for supervisors and load balancers;
every other path opens a WebSocket. Browsers send an Origin with WebSocket and cross-site requests, other clients do
not. Refusing an Origin keeps web pages away from a server on loopback.

Who else may open a WebSocket on TCP is `admission.py`'s to say. Probes show only that there is a server, and are for all.
"""

import base64
import binascii
from collections.abc import Iterable
from typing import Final

from spindle.rpc.lazy_class import frozen

from .admission import Admission, is_local

PROBE_PATHS: Final = frozenset({b"/readyz", b"/healthz"})

_ASCII: Final = frozenset({b"host", b"connection", b"upgrade"})


@frozen
class HttpAnswer:
    """A complete HTTP answer; the connection is closed after it."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()


@frozen
class Upgrade:
    """Upgrade the connection to a WebSocket."""


def decide(
    method: bytes,
    target: bytes,
    headers: Iterable[tuple[bytes, bytes]],
    version: bytes = b"1.1",
    *,
    admission: Admission | None = None,
    only_local: bool = True,
) -> HttpAnswer | Upgrade:
    """The answer to a request head, as h11 gives it: header names in lower case.

    admission: the authorization that a WebSocket needs. only_local: without one, only requests for a local host are served.
    """
    values: dict[bytes, bytes] = {}
    for name, value in headers:
        values[name] = values[name] + b"," + value if name in values else value
    if b"origin" in values:
        return HttpAnswer(403)
    if target.partition(b"?")[0] in PROBE_PATHS:
        return HttpAnswer(200) if method in (b"GET", b"HEAD") else HttpAnswer(405, headers=((b"allow", b"GET, HEAD"),))
    if method != b"GET":
        return HttpAnswer(405, headers=((b"allow", b"GET"),))
    if version != b"1.1" or not values.get(b"host"):
        return HttpAnswer(400, b"a WebSocket needs version 1.1 of HTTP and a host\n")
    for name in values:
        if (name in _ASCII or name.startswith(b"sec-websocket-")) and not values[name].isascii():
            return HttpAnswer(400, b"%b holds bytes beyond ASCII\n" % name)
    if not _has_token(values, b"connection", b"upgrade") or not _has_token(values, b"upgrade", b"websocket"):
        return HttpAnswer(400, b"this is a WebSocket endpoint: an upgrade is needed\n")
    if values.get(b"sec-websocket-version", b"").strip() != b"13":
        return HttpAnswer(
            400, b"only version 13 of the WebSocket protocol is spoken\n", ((b"sec-websocket-version", b"13"),)
        )
    if not _is_key(values.get(b"sec-websocket-key", b"")):
        return HttpAnswer(400, b"sec-websocket-key must be 16 bytes in base64\n")
    if admission is not None:
        if (reason := admission(values)) is not None:
            return HttpAnswer(401, reason.encode(), ((b"www-authenticate", b"Bearer"),))
    elif only_local and not is_local(values[b"host"]):
        return HttpAnswer(403, b"the host must be an IP address or localhost\n")
    return Upgrade()


def _has_token(values: dict[bytes, bytes], name: bytes, token: bytes) -> bool:
    return token in (part.strip().lower() for part in values.get(name, b"").split(b","))


def _is_key(value: bytes) -> bool:
    try:
        return len(base64.b64decode(value.strip(), validate=True)) == 16
    except binascii.Error:
        return False
