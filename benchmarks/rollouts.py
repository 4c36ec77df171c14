"""Rollouts of any size, in the format Codex 0.124 writes."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import IO

STAMP = "2025-01-05T12:00:00.000Z"


def write_rollout(
    home: Path,
    size: int,
    *,
    output: int = 4_000,
    calls: int = 4,
    compact_every: int = 0,
    provider: str = "mock_provider",
) -> tuple[str, Path, int]:
    """Write a rollout of about `size` bytes: (thread id, path, turns).

    Each turn asks, runs `calls` commands with outputs of `output` bytes, and answers; every `compact_every` turns the
    history is compacted (0: never).
    """
    thread = str(uuid.uuid4())
    folder = home / "sessions/2025/01/05"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"rollout-2025-01-05T12-00-00-{thread}.jsonl"
    row = "".join(f'{n:06d}: the quick brown fox jumps over the lazy dog \\ "quoted"\n' for n in range(64))
    text = (row * (output // len(row) + 1))[:output]
    turns = 0
    with path.open("wb", buffering=1 << 20) as file:
        meta = {"id": thread, "timestamp": STAMP, "cwd": "/", "originator": "bench", "cli_version": "0.124.0"}
        meta |= {"source": "cli", "model_provider": provider, "base_instructions": {"text": "B" * 8000}}
        _line(file, "session_meta", meta)
        while file.tell() < size:
            turns += 1
            _turn(file, turns, text, calls)
            if compact_every and turns % compact_every == 0:
                kept = [_message("user", f"question {n}") for n in range(max(1, turns - 20), turns)]
                kept.append(_message("user", "SUMMARY " + "s" * 4000))
                _line(file, "compacted", {"message": "SUMMARY", "replacement_history": kept})
    return thread, path, turns


def _line(file: IO[bytes], kind: str, payload: object) -> None:
    line = {"timestamp": STAMP, "type": kind, "payload": payload}
    file.write(json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode() + b"\n")


def _message(role: str, text: str) -> dict[str, object]:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


def _turn(file: IO[bytes], number: int, output: str, calls: int) -> None:
    turn = str(uuid.UUID(int=number))
    counts = {"input_tokens": number, "cached_input_tokens": 0, "output_tokens": 1, "reasoning_output_tokens": 0}
    counts["total_tokens"] = number + 1
    info = {"total_token_usage": counts, "last_token_usage": counts, "model_context_window": 258400}
    _line(
        file,
        "event_msg",
        {"type": "task_started", "turn_id": turn, "started_at": number, "model_context_window": 258400},
    )
    _line(
        file,
        "turn_context",
        {
            "turn_id": turn,
            "cwd": "/",
            "model": "mock-model",
            "approval_policy": "never",
            "sandbox_policy": {"type": "read-only"},
            "summary": "auto",
        },
    )
    _line(file, "response_item", _message("user", f"question {number}"))
    _line(
        file,
        "event_msg",
        {
            "type": "user_message",
            "message": f"question {number}",
            "images": [],
            "local_images": [],
            "text_elements": [],
        },
    )
    for call in range(calls):
        id = f"call-{number}-{call}"
        arguments = json.dumps({"cmd": "cat file"})
        _line(
            file,
            "response_item",
            {"type": "function_call", "name": "exec_command", "arguments": arguments, "call_id": id},
        )
        _line(
            file,
            "event_msg",
            {
                "type": "exec_command_end",
                "call_id": id,
                "process_id": "1",
                "turn_id": turn,
                "command": ["cat", "file"],
                "cwd": "/",
                "parsed_cmd": [],
                "source": "unified_exec_startup",
                "stdout": "",
                "stderr": "",
                "aggregated_output": output,
                "exit_code": 0,
                "duration": {"secs": 0, "nanos": 5},
                "formatted_output": "",
                "status": "completed",
            },
        )
        _line(file, "response_item", {"type": "function_call_output", "call_id": id, "output": output})
        _line(file, "event_msg", {"type": "token_count", "info": info, "rate_limits": None})
    _line(
        file,
        "event_msg",
        {"type": "agent_message", "message": f"answer {number}", "phase": None, "memory_citation": None},
    )
    _line(file, "response_item", _message("assistant", f"answer {number}"))
    _line(
        file,
        "event_msg",
        {
            "type": "task_complete",
            "turn_id": turn,
            "last_agent_message": f"answer {number}",
            "completed_at": number,
            "duration_ms": 10,
        },
    )
