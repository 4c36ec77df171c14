"""Measures the longest step of any task on the trio thread, while a very long thread is used.

    python benchmarks/steps.py [--megabytes 400] [--limit 25]

A runtime in this process, one client in memory, and a model in a process of its own. A step is what a task does between two
checkpoints; nothing else happens on the trio thread meanwhile. Steps are measured in processor time of that thread, so that
a busy machine does not matter. Exits with 1 if a step took longer than the limit, in milliseconds.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import gc
import json
import os
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import AsyncIterable, Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import trio

sys.path.insert(0, os.path.dirname(__file__))
from driving import (
    ModelProcess,
    completed,
    created,
    item_done,
    message_added,
    message_done,
    response,
    serve,
    text_delta,
)
from rollouts import write_rollout

from spindle.cli import COLLECTING

MB = 1 << 20
CONFIG = """\
model = "mock-model"
model_provider = "mock_provider"
approval_policy = "never"
sandbox_mode = "danger-full-access"
thread_unload_delay_secs = 1800

[model_providers.mock_provider]
name = "Scripted"
base_url = "http://127.0.0.1:{port}/v1"
wire_api = "responses"

[mcp_servers.large]
command = "{python}"
args = ["-c", '''{server}''']
"""
SERVER = """
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    size = message.get("params", {}).get("arguments", {}).get("size", 0)
    tool = {"name": "get", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}}
    info = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}}
    content = {"content": [{"type": "text", "text": "x" * size}]}
    result = {"initialize": info, "tools/list": {"tools": [tool]}, "tools/call": content}.get(message["method"], {})
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"""


class Steps(trio.abc.Instrument):
    """Measures each step of each task; `longest` is (milliseconds, task, where it stopped)."""

    def __init__(self) -> None:
        self.longest = (0.0, "", "")
        self._began = 0.0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """See trio."""
        self._began = time.thread_time()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """See trio."""
        took = (time.thread_time() - self._began) * 1000
        if took > self.longest[0]:
            self.longest = took, task.name, _place(task)

    def take(self) -> tuple[float, str, str]:
        """The longest step since the last call."""
        longest, self.longest = self.longest, (0.0, "", "")
        return longest


def _place(task: trio.lowlevel.Task) -> str:
    """The innermost line of Spindle at which the task waits."""
    with contextlib.suppress(Exception):
        frames = [(frame.f_code.co_filename, line) for frame, line in task.iter_await_frames()]
        ours = [(name, line) for name, line in frames if "site-packages" not in name and "/lib/python" not in name]
        name, line = ours[-1]
        return f"{'/'.join(Path(name).parts[-2:])}:{line}"
    return ""


class Client:
    """A client in memory. It reads only the beginnings of messages, and encodes what it sends in a worker thread."""

    kind: Literal["stdio", "websocket", "unix"] = "stdio"

    def __init__(self) -> None:
        self._out, self._in = trio.open_memory_channel[bytes](1000)
        self._heads: list[bytes] = []
        self._changed = trio.Event()
        self._id = 0

    async def receive(self) -> bytes | None:
        """See Transport."""
        return await self._in.receive()

    async def send(self, messages: Sequence[bytes]) -> None:
        """See Transport."""
        await trio.lowlevel.checkpoint()
        for message in messages:
            self._take(message)

    async def send_pieces(self, pieces: AsyncIterable[bytes]) -> None:
        """See Transport."""
        head = b""
        async for piece in pieces:
            await trio.lowlevel.checkpoint()
            if len(head) < 4096:
                head += piece[:4096]
        self._take(head)

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """See Transport."""

    def _take(self, message: bytes) -> None:
        self._heads.append(message[:4096])
        self._changed.set()
        self._changed = trio.Event()

    async def call(self, method: str, **params: Any) -> bytes:
        """The first 4 KiB of the answer. Exits if it is an error."""
        self._id += 1
        request = {"id": self._id, "method": method, "params": params}
        line = await trio.to_thread.run_sync(lambda: json.dumps(request).encode())
        await self._out.send(line)
        head = await self._first(b'{"id":%d,' % self._id)
        if head.startswith(b'{"id":%d,"error"' % self._id):
            raise SystemExit(f"{method}: {head[:500]!r}")
        return head

    async def turn(self, thread: str, *content: Any) -> None:
        """Run a turn to its end."""
        await self.call("turn/start", threadId=thread, input=list(content))
        await self.ended()

    async def ended(self) -> None:
        """Wait for the end of a turn."""
        head = await self._first(b'{"method":"turn/completed"')
        if b'"status":"completed"' not in head:
            raise SystemExit(f"a turn failed: {head[:2000]!r}")

    async def _first(self, beginning: bytes) -> bytes:
        while True:
            heads, self._heads = self._heads, []
            for place, head in enumerate(heads):
                if head.startswith(beginning):
                    self._heads = heads[place + 1 :]
                    return head
            await self._changed.wait()


def text(words: str) -> dict[str, Any]:
    """An input."""
    return {"type": "text", "text": words, "text_elements": []}


def picture(path: Path, size: int) -> None:
    """A PNG file of about `size` bytes."""
    side = int((size / 3) ** 0.5)
    rows = b"".join(b"\0" + os.urandom(side * 3) for _ in range(side))

    def part(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = part(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + part(b"IDAT", zlib.compress(rows, 0)) + part(b"IEND", b""))


def model(method: str, path: str, body: bytes) -> tuple[bytes, bool]:
    """The answer of the model, as the last kilobyte of the conversation asks."""
    words, events = body[: body.find(b'"tools":[')][-1000:].decode(errors="replace"), []
    if "CALL " in words and "_output" not in words[words.rindex("CALL ") :]:
        name, arguments = words[words.rindex("CALL ") + 5 :].split("|")[:2]
        call = {"type": "function_call", "call_id": "c", "name": name, "arguments": arguments.replace('\\"', '"')}
        if "/" in name:
            call["namespace"], call["name"] = name.split("/")
        events.append(item_done(**call))
    else:
        size = int(words[words.rindex("SAY ") + 4 :].split("|")[0]) if "SAY " in words else 2
        content = "x" * size
        events += [message_added(), text_delta(content), message_done(content)]
    return response(created(), *events, completed()), False


async def workload(home: Path, megabytes: float, report: Callable[[str], None]) -> None:
    """Run every case once. Calls `report` after each."""
    from spindle import open_runtime
    from spindle.actors.clients.connection import Connection

    share = megabytes / 400
    thread, _, _ = await trio.to_thread.run_sync(
        lambda: write_rollout(home, int(megabytes * MB), output=20_000, calls=4)
    )
    many, _, _ = await trio.to_thread.run_sync(
        lambda: write_rollout(home, int(megabytes * MB / 8), output=100, calls=8)
    )
    image = home / "image.png"
    await trio.to_thread.run_sync(picture, image, int(share * 20 * MB))
    url = "data:image/png;base64," + base64.b64encode(image.read_bytes()).decode()
    count = int(20_000 * share)
    items = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": f"{n} " + "words " * 20}]}
        for n in range(count)
    ]
    client = Client()
    async with open_runtime(home=home, cwd=home) as runtime, trio.open_nursery() as nursery:
        nursery.start_soon(Connection(runtime._backend, client).run, lambda exited: None)
        info = {"name": "steps", "version": "1"}
        await client.call("initialize", clientInfo=info, capabilities={"experimentalApi": True})
        small = await started(client)
        await client.turn(small, text("hello"))
        report("")  # the first uses import modules
        await client.call("thread/read", threadId=thread, includeTurns=True)
        report("read, stored")
        await client.call("thread/resume", threadId=thread)
        report("resume")
        await client.call("thread/read", threadId=thread, includeTurns=True)
        report("read, loaded")
        await client.call("thread/turns/list", threadId=thread, limit=100)
        report("a page of turns")
        await client.call("thread/items/list", threadId=thread, limit=100)
        report("a page of items")
        await client.turn(thread, text("hello"))
        report("a turn behind a long history")
        await client.call("thread/rollback", threadId=thread, numTurns=1)
        report("rollback")
        await client.call("thread/fork", threadId=thread)
        report("fork")
        forked = json.loads((await client.call("thread/fork", threadId=thread, ephemeral=True, excludeTurns=True)) or b"{}")
        report("fork in memory")
        forked = forked["result"]["thread"]["id"]
        await client.turn(forked, text("hello"))
        report("a turn of a fork in memory")
        await client.call("thread/unsubscribe", threadId=forked)
        report("the end of a fork in memory")
        await client.call("thread/compact/start", threadId=thread)
        await client.ended()
        report("compaction")
        await client.call("thread/resume", threadId=many)
        report("resume of many small turns")
        await client.turn(many, text("hello"))
        report("a turn behind many small items")
        await client.call("thread/fork", threadId=many)
        report("fork of many small turns")
        await client.call("thread/compact/start", threadId=many)
        await client.ended()
        report("compaction of many small items")
        await client.call("thread/inject_items", threadId=small, items=items)
        report("items injected")
        await client.turn(small, {"type": "image", "url": url})
        report("an image in a message")
        await client.turn(small, {"type": "localImage", "path": str(image)})
        report("an image in a file")
        await client.turn(small, text(f'CALL view_image|{{"path": "{image}"}}|'))
        report("an image that the model looks at")
        small = await started(client)
        await client.turn(small, text(f"SAY {int(share * 10 * MB)}|"))
        report("a long answer")
        command = json.dumps({"cmd": f"head -c {int(share * 50 * MB)} /dev/zero | tr '\\0' x", "login": False})
        await client.turn(small, text(f"CALL exec_command|{command}|"))
        report("a long output")
        await client.turn(small, text(f'CALL mcp__large__/get|{{"size": {int(share * 30 * MB)}}}|'))
        report("a long result of an MCP server")
        await client.call("thread/list", ignored="x" * int(share * 10 * MB))
        report("a long line")
        await client.call("thread/list", ignored=items * 3)
        report("a long line of many parts")
        nursery.cancel_scope.cancel()
    report("the end")


async def started(client: Client) -> str:
    """The id of a new thread."""
    head = await client.call("thread/start")
    return head.partition(b'"id":"')[2][:36].decode()


def main() -> None:
    """Run the cases and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=400, help="of the long thread; the rest in proportion")
    parser.add_argument("--limit", type=float, default=25, help="milliseconds")
    parser.add_argument("--model", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.model:
        serve(model)
        return
    steps, failed = Steps(), False

    def report(case: str) -> None:
        nonlocal failed
        took, task, place = steps.take()
        if not case:
            return
        long = took > options.limit
        failed = failed or long
        print(f"{took:8.1f} ms  {case}{f'  ({task} at {place})' if long else ''}", flush=True)

    gc.set_threshold(*COLLECTING)  # as the server does
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        process = ModelProcess(os.path.abspath(__file__))
        config = CONFIG.format(port=process.port, python=sys.executable, server=SERVER)
        (home / "config.toml").write_text(config)
        try:
            trio.run(workload, home, options.megabytes, report, instruments=[steps])
        finally:
            process.process.terminate()
            process.process.communicate()
    sys.exit(failed)


if __name__ == "__main__":
    main()
