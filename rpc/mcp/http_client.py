"""The HTTP client for MCP servers and their authorization servers."""

from __future__ import annotations

from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import httpx

NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})
_CONNECT_SECONDS: Final = 30.0
_DIRECT: Final = ("all://localhost", "all://127.0.0.1", "all://[::1]")


def http_client(headers: Mapping[str, str] = NO_HEADERS) -> httpx.AsyncClient:
    """A client that sends `headers` with each request. Call it in a worker thread: it takes 0.1 s or more."""
    import httpx

    # The caller bounds the wait for an answer.
    timeout = httpx.Timeout(None, connect=_CONNECT_SECONDS)
    # Cookies are not kept: the protocol does not need them, and their number has no bound.
    cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))
    # Uncompressed data cannot grow. A compressed answer is not read.
    own = {name: value for name, value in headers.items() if name.lower() != "accept-encoding"}
    own["accept-encoding"] = "identity"
    return httpx.AsyncClient(headers=own, timeout=timeout, cookies=cookies, mounts=dict.fromkeys(_DIRECT))
