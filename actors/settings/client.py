"""The identity of a client."""

from __future__ import annotations

from attrs import frozen


@frozen
class Client:
    """Names the client in requests to the model's provider."""

    originator: str
    user_agent: str


@frozen
class ClientSession:
    """What a connection's client said in `initialize`. `muted` are the notifications it opted out of."""

    client: Client
    experimental: bool
    muted: frozenset[str]
