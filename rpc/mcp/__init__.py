"""The client side of MCP on the wire: messages, their transports, and one session with a server."""
