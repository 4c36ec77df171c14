"""What a turn can do in the world: commands, patches, MCP servers, hooks, images, agents, functions.

A wall: nothing here knows a thread, the registry, a client or the kernel. Only `storage` and `rpc` are imported, and a tool
sees its turn through `interface`. The packages, each importing only earlier ones: `sandbox`, `images`, `agents`, `approvals`,
`commands`, `hooks`, `patch`, `mcp`.
"""
