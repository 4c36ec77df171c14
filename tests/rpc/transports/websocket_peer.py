"""A client controlled frame by frame, and the server side under test."""

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    Event,
    Request,
)

from spindle.rpc.transports.websocket import WebSocketTransport


class Peer:
    """The other end, controlled frame by frame."""

    def __init__(self, stream: trio.abc.Stream, websocket: WSConnection) -> None:
        self.stream = stream
        self.websocket = websocket

    async def send(self, *events: Event) -> None:
        await self.stream.send_all(b"".join(self.websocket.send(event) for event in events))

    async def events(self) -> list[Event]:
        """The result of the next read."""
        self.websocket.receive_data(bytes(await self.stream.receive_some()) or None)
        return list(self.websocket.events())


async def server_and_peer(
    streams: tuple[trio.abc.Stream, trio.abc.Stream], *, max_message_bytes: int = 1000
) -> tuple[WebSocketTransport, Peer]:
    """An open server side, past the handshake, and its client."""
    here, there = streams
    server, client = WSConnection(ConnectionType.SERVER), WSConnection(ConnectionType.CLIENT)
    server.receive_data(client.send(Request(host="h", target="/")))
    list(server.events())
    client.receive_data(server.send(AcceptConnection()))
    list(client.events())
    return WebSocketTransport(here, server, max_message_bytes=max_message_bytes), Peer(there, client)
