"""What a turn can do in the world: commands, files, MCP servers; each package knows nothing of threads and clients."""
