"""Measures the time from an interrupt to the end of the turn and to the start of the next, at every point of a turn.

The thread is asked to start its next turn as soon as it has said that the interrupted one is over. Each figure is the
median and the longest of some rounds. `--server COMMAND` measures another app-server the same way.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from driving import (
    Daemon,
    ModelProcess,
    completed,
    created,
    item_done,
    message_added,
    message_done,
    new_home,
    response,
    serve,
    text_delta,
)

ROUNDS = 15
SLEEP = "trap '' TERM; echo ready; sleep 1000 & sleep 1000"
CALLS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "a command": ("exec_command", {"cmd": SLEEP, "login": False, "yield_time_ms": 30_000}),
    "a command in a terminal": ("exec_command", {"cmd": SLEEP, "login": False, "tty": True, "yield_time_ms": 30_000}),
    "a shell command": ("shell", {"command": ["sh", "-c", SLEEP], "timeout_ms": 1_000_000}),
    "between tools": ("exec_command", {"cmd": "true", "login": False}),
    "an approval": (
        "exec_command",
        {"cmd": "touch x", "login": False, "sandbox_permissions": "require_escalated", "justification": "?"},
    ),
    "an MCP call": ("wait", {}),
}
SERVER = """
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message or message["method"] == "tools/call":
        continue
    tool = {"name": "wait", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}}
    info = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}}
    result = {"initialize": info, "tools/list": {"tools": [tool]}}.get(message["method"], {})
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"""


def last_text(body: dict[str, Any]) -> str:
    """The last item of the request: the text of the user, or `output`."""
    last = body["input"][-1]
    return "output" if "output" in last else str(last["content"][-1].get("text"))


def answer(text: str) -> tuple[bytes, bool]:
    """The bytes that the model sends, and whether it then keeps the connection open without sending more."""
    if text == "the stream":
        return response(created(), message_added(), text_delta("word "), ends=False), True
    if text in CALLS:
        name, arguments = CALLS[text]
        within = {"namespace": "mcp__slow__"} if name == "wait" else {}
        call = item_done(type="function_call", call_id="c", name=name, arguments=json.dumps(arguments), **within)
        return response(created(), call, completed()), False
    if text == "short":
        return response(created(), message_done("ok"), completed()), False
    return b"", True


def serve_model() -> None:
    """Answer as the last text of the user asks."""
    serve(lambda method, path, body: answer(last_text(json.loads(body))))


def reached(point: str, note: dict[str, Any]) -> bool:
    """Whether the notification says that the turn has reached the point."""
    method, kind = note["method"], note["params"].get("item", {}).get("type")
    match point:
        case "the stream":
            return bool(method == "item/agentMessage/delta")
        case "the model's silence":
            return bool(method == "item/completed" and kind == "userMessage")
        case "between tools":
            return bool(method == "item/completed" and kind == "commandExecution")
        case "an approval":
            return "id" in note
        case "an MCP call":
            return bool(method == "item/started" and kind == "mcpToolCall")
        case "a compaction":
            return bool(method == "item/started" and kind == "contextCompaction")
        case _:
            return bool(method == "item/commandExecution/outputDelta")


def measure(daemon: Daemon, thread: str, point: str) -> tuple[float, float]:
    """Seconds from the interrupt to turn/completed, and to the turn/started of the next turn."""
    policy = "on-request" if point == "an approval" else "never"
    if point == "a compaction":
        daemon.call("thread/compact/start", threadId=thread)
        turn = daemon.wait_for(lambda note: note["method"] == "turn/started")["params"]["turn"]["id"]
    else:
        text = [{"type": "text", "text": point}]
        turn = daemon.call("turn/start", threadId=thread, input=text, approvalPolicy=policy)["turn"]["id"]
    daemon.wait_for(lambda note: reached(point, note))
    time.sleep(0.05)
    began = time.perf_counter()
    daemon.ask(("turn/interrupt", {"threadId": thread, "turnId": turn}))
    daemon.wait_for(lambda note: note["method"] == "turn/completed" and note["params"]["turn"]["id"] == turn)
    over = time.perf_counter() - began
    daemon.ask(("turn/start", {"threadId": thread, "input": [{"type": "text", "text": "short"}]}))
    daemon.wait_for(lambda note: note["method"] == "turn/started")
    ready = time.perf_counter() - began
    daemon.wait_for(lambda note: note["method"] == "turn/completed")
    return over, ready


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", help="another app-server")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--model", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.model:
        serve_model()
        return
    points = ["the stream", "the model's silence", *CALLS, "a compaction"]
    with new_home(ModelProcess(__file__).url) as home:
        server = f"\n[mcp_servers.slow]\ncommand = {json.dumps(sys.executable)}\nargs = {json.dumps(['-c', SERVER])}\n"
        with Path(home, "config.toml").open("a") as config:
            config.write(server)
        daemon = Daemon(home, command=shlex.split(options.server) if options.server else None)
        print("interrupted during                 turn/completed           next turn/started     (median, longest)")
        for sandbox in ("danger-full-access", "workspace-write"):
            for point in points if sandbox == "danger-full-access" else [*CALLS][:3]:
                mode = "read-only" if point == "an approval" else sandbox
                thread = daemon.call("thread/start", sandbox=mode)["thread"]["id"]
                daemon.run_turn(thread, "short")
                times = [measure(daemon, thread, point) for _ in range(options.rounds)]
                columns = (
                    f"{statistics.median(part) * 1000:7.1f} {max(part) * 1000:7.1f} ms"
                    for part in zip(*times, strict=True)
                )
                name = point if sandbox == "danger-full-access" else f"{point}, confined"
                print(f"{name:34} " + "      ".join(columns), flush=True)
        daemon.end()


if __name__ == "__main__":
    main()
