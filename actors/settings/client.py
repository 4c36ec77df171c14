"""The identity of a client."""

from __future__ import annotations

from spindle.rpc.lazy_class import frozen


@frozen
class ClientName:
    """Names the client in requests to the model's provider."""

    originator: str
    user_agent: str
