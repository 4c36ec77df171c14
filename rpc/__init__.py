"""The wire: the protocol's types, its transports, and the clients of models and MCP servers."""
