"""How messages travel: newline-framed streams (stdio) and WebSockets (TCP and Unix sockets).

Only the interface is imported here; the modules that need h11 and wsproto are imported by those who listen.
"""

from .interface import MAX_MESSAGE_BYTES, Received, Transport, TransportKind

__all__ = ["MAX_MESSAGE_BYTES", "Received", "Transport", "TransportKind"]
