"""Who a client is."""

from __future__ import annotations

from attrs import frozen


@frozen
class Client:
    """Who is behind a request, as the model's provider is told."""

    originator: str
    user_agent: str
