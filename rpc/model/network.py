"""The network below httpcore: a request's head and its body leave in one send.

httpcore writes the head, then each piece of the body. Each send is a system call, and wakes the server to read a part.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final, cast

import httpcore

GATHERED: Final = 64 * 1024
"""Bytes that are gathered before they are sent."""


class Network(httpcore.AsyncNetworkBackend):
    """trio's network, with sends that are gathered."""

    def __init__(self) -> None:
        self._trio = cast("httpcore.AsyncNetworkBackend", httpcore.TrioBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """As in `AsyncNetworkBackend`."""
        return Gathering(await self._trio.connect_tcp(host, port, timeout, local_address, socket_options))


class Gathering(httpcore.AsyncNetworkStream):
    """What is written is sent when the answer is read, or when it is much."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._written: list[bytes] = []
        self._size = 0

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._written.append(buffer)
        self._size += len(buffer)
        if self._size >= GATHERED:
            await self._send(timeout)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._written:
            with suppress(httpcore.WriteError):  # a server may answer, and close, before it has read the whole request
                await self._send(timeout)
        return await self._stream.read(max_bytes, timeout)

    async def _send(self, timeout: float | None) -> None:
        written, self._written, self._size = self._written, [], 0
        await self._stream.write(b"".join(written), timeout)

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return Gathering(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
