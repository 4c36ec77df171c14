"""MCP servers: start and end them, offer their tools to the model, and handle calls, elicitations and resources.

Follows the Model Context Protocol of 2025-06-18 and the requests of Codex 0.124.
"""
