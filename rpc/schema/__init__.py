"""The protocol's types as JSON Schema and as TypeScript, made from the classes of `rpc/protocol/`.

The files have the names that `codex app-server generate-json-schema` and `generate-ts` give them. Nothing of it is imported by
a running server.
"""
