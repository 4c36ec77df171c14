"""The trace crosses into MCP servers, which are other processes."""

import json
import sys

from opentelemetry.trace import SpanKind

SERVER = """
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    meta = message.get("params", {}).get("_meta", {})
    tool = {"name": "meta", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}}
    info = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}}
    content = {"content": [{"type": "text", "text": json.dumps(meta)}]}
    result = {"initialize": info, "tools/list": {"tools": [tool]}, "tools/call": content}.get(message["method"], {})
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"""


async def test_an_mcp_server_gets_the_span_of_its_call(opened, scripted, telemetry, tmp_path):
    (tmp_path / "server.py").write_text(SERVER)
    (tmp_path / "home").mkdir()
    command = f'command = "{sys.executable}"\nargs = ["-S", "-E", "{tmp_path / "server.py"}"]\n'
    (tmp_path / "home" / "config.toml").write_text(f"[mcp_servers.own]\n{command}")
    call = {"type": "function_call", "call_id": "c", "namespace": "mcp__own__", "name": "meta", "arguments": "{}"}
    model = scripted([call], ["done"])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        with telemetry.tracer.start_as_current_span("of the application") as root:
            await thread.run("go")
    span = telemetry.one("execute_tool")
    [output] = [json.loads(item)["output"] for item in model.requests[-1].input if b"function_call_output" in item]
    meta = json.loads(json.loads(output.partition("Output:\n")[2])[0]["text"])
    trace_id, span_id = root.get_span_context().trace_id, span.context.span_id
    assert meta["traceparent"].rpartition("-")[0] == f"00-{trace_id:032x}-{span_id:016x}"
    assert "tracestate" not in meta
    assert (span.name, span.kind) == ("execute_tool meta", SpanKind.INTERNAL)
    assert span.attributes["gen_ai.tool.type"] == "extension"
    assert span.attributes["mcp.method.name"] == "tools/call"
    assert span.attributes["spindle.tool.kind"] == "mcp"
    assert span.attributes["spindle.tool.namespace"] == "mcp__own__"
