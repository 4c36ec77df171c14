"""The MCP servers of a thread: their start and end, what they offer the model, calls, questions, resources.

Written against the Model Context Protocol of 2025-06-18 and what Codex 0.124 says to a server.
"""
