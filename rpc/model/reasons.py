"""Why there is no connection, in one line: what httpcore's exceptions have in the chains of their causes."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from socket import gaierror
from typing import Final, cast

import httpcore

from spindle.rpc.protocol.values import one_line

_UNKNOWN: Final = (
    ". If you trust its authority, name the authority's file (PEM) in SSL_CERT_FILE, which replaces the usual authorities"
)
_CERTIFICATES: Final[Mapping[int, tuple[str, str]]] = {
    9: ("is not valid yet", ". Is the clock of this machine right?"),
    10: ("has expired", ""),
    18: ("is self-signed, and not trusted", _UNKNOWN),
    19: ("is of an unknown authority, which signed itself", _UNKNOWN),
    20: ("is of an unknown authority", _UNKNOWN),
    21: ("is of an unknown authority", _UNKNOWN),
    23: ("has been revoked", ""),
    62: ("is for another host name", ""),
    64: ("is for another IP address", ""),
}
"""OpenSSL's codes of a failed verification (X509_V_ERR_…) -> what is wrong, and what to do."""
_NO_TLS: Final = frozenset(("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "UNKNOWN_PROTOCOL"))
_MOST: Final = 500


def reason_of(error: BaseException, host: str, proxy: str | None, patience: float) -> tuple[str, bool]:
    """Why a request has failed, and whether it would fail again. `host` and `proxy` are shown, both with their port.

    `patience` are the seconds that connecting may take.
    """
    peer = host if proxy is None else f"the proxy {proxy}"
    if isinstance(error, httpcore.ConnectTimeout):
        return f"no connection to {peer} within {patience:g} s", False
    if isinstance(error, httpcore.ProxyError):
        advice = ". Put the user and the password into the URL of the proxy" if str(error).startswith("407") else ""
        return f"{peer} refuses to connect to {host}: {one_line(str(error), _MOST)}{advice}", str(error)[:1] == "4"
    if isinstance(error, httpcore.ConnectError):
        for cause in _causes(error):
            match cause:
                case ssl.SSLCertVerificationError():
                    return _certificate(cause, host), True
                case ssl.SSLError(reason=str(why)) if why in _NO_TLS:
                    return f"{host} does not speak TLS. If it is a plain HTTP server, its URL begins with http://", True
                case ssl.SSLError():
                    return f"no TLS connection to {host}: {_words(cause)}", False
                case gaierror():
                    return f"no address is known for {peer}: {cause.strerror}", False
                case ConnectionRefusedError():
                    return f"{peer} refuses connections", False
                case OSError(strerror=str(why)) if cause.errno is not None:
                    return f"no connection to {peer}: {_without_address(why)}", False
                case _:
                    pass
    return one_line(str(error), _MOST) or type(error).__name__, False


def _causes(error: BaseException) -> Iterator[BaseException]:
    """What an exception was raised from, and the members of groups."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, BaseExceptionGroup):
            waiting += cast("BaseExceptionGroup[BaseException]", one).exceptions
        waiting.append(one.__cause__ or one.__context__)


def _certificate(error: ssl.SSLCertVerificationError, host: str) -> str:
    what, advice = _CERTIFICATES.get(error.verify_code, (f"is not accepted: {error.verify_message}", ""))
    return f"the certificate of {host} {what}{advice}"


def _words(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()


def _without_address(words: str) -> str:
    """The system's words. Trio puts its own before them: "Error connecting to ('127.0.0.1', 9): Connection refused"."""
    return re.sub(r"^Error connecting to \(.*?\): ", "", words)
