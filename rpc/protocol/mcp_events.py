"""Events of hosted apps."""

from attrs import field

from spindle.rpc.lazy_class import frozen


@frozen
class McpServerEventStreamStartParams:
    """Subscribe to events of a hosted app."""

    arguments: object
    name: str
    server: str
    subscription_id: str
    thread_id: str
    meta: object | None = field(default=None, metadata={"wire": "_meta"})


@frozen
class McpServerEventStreamStartResponse:
    """The subscription has begun."""


@frozen
class McpServerEventStreamStopParams:
    """End a subscription to events of a hosted app."""

    subscription_id: str


@frozen
class McpServerEventStreamStopResponse:
    """There is no such subscription any more."""
