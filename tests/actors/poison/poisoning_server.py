"""An MCP server that sends line N of a file when its tool is called with N, and then the right answer."""

import json
import sys

lines = open(sys.argv[1], "rb").read().split(b"\n")  # noqa: SIM115
out = sys.stdout.buffer
TOOL = {"name": "say", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}}
READY = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "p", "version": "1"}}
RESULTS = {
    "initialize": READY,
    "tools/list": {"tools": [TOOL]},
    "tools/call": {"content": [{"type": "text", "text": "said"}]},
}

for line in sys.stdin.buffer:
    message = json.loads(line)
    if "id" not in message or "method" not in message:
        continue
    if message["method"] == "tools/call":
        number = message["params"]["arguments"]["n"]
        out.write(lines[number].replace(b'"ID"', json.dumps(message["id"]).encode()) + b"\n")
    answer = {"jsonrpc": "2.0", "id": message["id"], "result": RESULTS.get(message["method"], {})}
    out.write(json.dumps(answer).encode() + b"\n")
    out.flush()
