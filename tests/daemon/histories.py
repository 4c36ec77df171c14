"""Rollouts that a test writes itself, and what clients see of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .client import Client

Turns = list[tuple[str, str, list[str]]]
"""(id, status, texts) of each turn."""
ONE = ("t1", "completed", ["one", "eins"])
TWO = ("t2", "completed", ["two", "zwei"])
NOT_SAVED = "the thread's history could not be saved: "


def line(kind: str, **payload: Any) -> bytes:
    entry = {"timestamp": "2025-01-05T12:00:00.000Z", "type": kind, "payload": payload}
    return json.dumps(entry, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def turn(id: str, asked: str, answer: str) -> list[bytes]:
    return [
        line("event_msg", type="task_started", turn_id=id, started_at=1),
        line("response_item", type="message", role="user", content=[{"type": "input_text", "text": asked}]),
        line("event_msg", type="user_message", message=asked, images=[], local_images=[], text_elements=[]),
        line("event_msg", type="agent_message", message=answer),
        line("response_item", type="message", role="assistant", content=[{"type": "output_text", "text": answer}]),
        line("event_msg", type="task_complete", turn_id=id, completed_at=2, duration_ms=1),
    ]


def joined(parts: Sequence[bytes]) -> bytes:
    return b"".join(parts)


def lines(id: str) -> list[bytes]:
    """The rollout of a thread with the turns ONE and TWO."""
    meta = {"id": id, "timestamp": "2025-01-05T12:00:00.000Z", "cwd": "/", "originator": "o", "cli_version": "0"}
    head = line("session_meta", **meta, source="cli", model_provider="scripted")
    return [head, *turn("t1", "one", "eins"), *turn("t2", "two", "zwei")]


def thread_of(number: int) -> str:
    return f"00000000-0000-7000-8000-{number:012d}"


def place(home: Path, id: str) -> Path:
    """The path of a thread's rollout."""
    folder = home / "sessions/2025/01/05"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"rollout-2025-01-05T12-00-00-{id}.jsonl"


def shown(thread: dict[str, Any]) -> Turns:
    return [(entry["id"], entry["status"], [text_of(item) for item in entry["items"]]) for entry in thread["turns"]]


def text_of(item: dict[str, Any]) -> str:
    return str(item["text"] if "text" in item else "".join(part["text"] for part in item["content"]))


def read(client: Client, id: str) -> Turns:
    return shown(client.call("thread/read", threadId=id, includeTurns=True)["thread"])


def status(client: Client, id: str) -> str:
    return str(client.call("thread/read", threadId=id)["thread"]["status"]["type"])


def listed(client: Client) -> set[str]:
    return {thread["id"] for thread in client.call("thread/list", limit=100)["data"]}


def records(path: Path) -> list[dict[str, Any]]:
    """The records of a file whose last line is complete."""
    data = path.read_bytes()
    assert data.endswith(b"\n")
    return [json.loads(raw) for raw in data.splitlines()]


def index(home: Path) -> None:
    """Run `spindle index`."""
    environment = {**os.environ, "CODEX_HOME": str(home)}
    subprocess.run([sys.executable, "-m", "spindle", "index"], env=environment, check=True, timeout=60)
