"""The identity of a client."""

from __future__ import annotations

from attrs import frozen


@frozen
class ClientName:
    """Names the client in requests to the model's provider."""

    originator: str
    user_agent: str
