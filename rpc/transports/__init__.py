"""Transports: newline-framed streams (stdio) and WebSockets (TCP and Unix sockets).

Only the interface is imported here. h11 and wsproto are imported when a listener needs them.
"""

from .interface import MAX_MESSAGE_BYTES, Received, Transport, TransportKind

__all__ = ["MAX_MESSAGE_BYTES", "Received", "Transport", "TransportKind"]
