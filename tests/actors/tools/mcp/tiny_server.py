"""A small MCP server on standard input and output, a separate process; the first argument chooses its behaviour.

`deaf` goes on after the end of its input, `stubborn` after SIGTERM too, `mother` leaves a child behind when it ends,
`chatty` writes what is not a message, `silent` never answers, `short` ends at once, `bare` has no resource to read.
"""

import json
import os
import signal
import subprocess
import sys

HABIT = sys.argv[1] if len(sys.argv) > 1 else ""
TOOLS = [
    {
        "name": "echo",
        "description": "says it again",
        "inputSchema": {"type": "object"},
        "annotations": {"readOnlyHint": True},
    },
    {"name": "write", "inputSchema": {"type": "object"}, "annotations": {"destructiveHint": True}},
]


def say(**message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def call(params):
    text = (params.get("arguments") or {}).get("text")
    if text == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if text == "where":
        text = json.dumps({"cwd": os.getcwd(), "env": dict(os.environ), "leads": os.getpgid(0) == os.getpid()})
    if text == "ask":
        form = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
        say(id="q", method="elicitation/create", params={"message": "Who?", "requestedSchema": form})
        text = json.dumps(json.loads(sys.stdin.readline())["result"])
    return {"content": [{"type": "text", "text": str(text)}]}


def main():
    if HABIT == "short":
        return
    if HABIT == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if HABIT == "mother":
        subprocess.Popen(["sleep", "600"])
    if HABIT == "chatty":
        sys.stdout.write("hello\n\n[1]\n")
        sys.stderr.write("starting up\n" + "x" * 100_000 + "\n")
    for line in sys.stdin:
        question = json.loads(line)
        if "id" not in question or HABIT == "silent":
            continue
        method, params = question["method"], question.get("params") or {}
        if method == "initialize":
            answer = {
                "protocolVersion": params["protocolVersion"],
                "capabilities": {"tools": {}, "resources": {}},
                "serverInfo": {"name": "tiny", "version": "1"},
            }
        elif method == "tools/list":
            answer = {"tools": TOOLS}
        elif method == "resources/list":
            answer = {"resources": [{"uri": "mem://a", "name": "a"}]}
        elif method == "resources/templates/list":
            answer = {"resourceTemplates": [{"uriTemplate": "mem://{x}", "name": "t"}]}
        elif method == "resources/read" and HABIT != "bare":
            answer = {"contents": [{"uri": params["uri"], "text": "body"}]}
        elif method == "tools/call":
            answer = call(params)
        else:
            say(id=question["id"], error={"code": -32601, "message": "no " + method})
            continue
        say(id=question["id"], result=answer)
    while HABIT in ("deaf", "stubborn"):
        signal.pause()


main()
