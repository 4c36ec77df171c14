"""Lines of rollouts, and the results of their replay."""

import itertools

import orjson

from spindle.rpc.protocol.converter import unstructure
from spindle.storage.rollout.lines import decode_line, encode_line
from spindle.storage.rollout.replay import RolloutReplay

THREAD = "00000000-0000-7000-8000-000000000001"


def event(kind, **members):
    return "event_msg", {"type": kind, **members}


def item(**members):
    return "response_item", members


def message(role, text, **members):
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}], **members}


def spoken(role, text, **members):
    return "response_item", message(role, text, **members)


def environment(cwd="/"):
    return spoken("user", f"<environment_context>\n  <cwd>{cwd}</cwd>\n</environment_context>")


def meta(id=THREAD, **members):
    head = {"id": id, "timestamp": "2025-01-05T12:00:00.000Z", "cwd": "/", "originator": "o", "cli_version": "0.0.0"}
    return "session_meta", {**head, "source": "cli", "model_provider": "p", **members}


def context(turn, model="m"):
    return "turn_context", {"turn_id": turn, "cwd": "/", "model": model, "approval_policy": "never"}


def usage(total):
    counts = {"input_tokens": total, "cached_input_tokens": 0, "output_tokens": 0, "total_tokens": total}
    return event("token_count", info={"total_token_usage": counts, "last_token_usage": counts}, rate_limits=None)


def replay(*lines, numbered=False):
    """Feed lines as from a file."""
    made, ordinals = RolloutReplay(), itertools.count()
    for kind, payload in lines:
        line = decode_line(encode_line(kind, payload, None, next(ordinals) if numbered else None))
        assert line is not None
        made.feed(line)
    return made


def user(text):
    return [spoken("user", text), event("user_message", message=text, images=[], local_images=[], text_elements=[])]


def agent(text):
    return [event("agent_message", message=text, phase=None, memory_citation=None), spoken("assistant", text)]


def turn(id, text, *answer, end=True):
    """A turn in the lines of 0.124."""
    start = event("task_started", turn_id=id, started_at=100, model_context_window=1000)
    done = event("task_complete", turn_id=id, last_agent_message=None, completed_at=102, duration_ms=1999)
    return [start, context(id), *user(text), *answer, *([done] if end else [])]


def shown(made, **options):
    """(turn id, status, [(item id, text)]) of each turn."""
    rows = []
    for one in unstructure(made.turns(**options)):
        items = []
        for entry in one["items"]:
            text = entry.get("text") or "".join(part.get("text", "") for part in entry.get("content", ()))
            items.append((entry["id"], text))
        rows.append((one["id"], one["status"], items))
    return rows


def sent(items):
    """The model's history, decoded."""
    return [orjson.loads(entry.json) for entry in items]


def messages(made):
    return ["".join(part["text"] for part in body["content"]) for body in sent(made.history) if "content" in body]


def two_turns():
    return [
        meta(base_instructions={"text": "BASE"}, git={"branch": "main"}),
        event("task_started", turn_id="t1", started_at=100, model_context_window=1000),
        spoken("developer", "<permissions instructions>none</permissions instructions>"),
        environment(),
        context("t1"),
        *user("hello one"),
        event("token_count", info=None, rate_limits={"limit_id": "codex"}),
        *agent("Hello"),
        usage(15),
        event("task_complete", turn_id="t1", last_agent_message="Hello", completed_at=101, duration_ms=63),
        event("task_started", turn_id="t2", started_at=103, model_context_window=1000),
        context("t2", "other"),
        *user("hello two"),
        *agent("two"),
        usage(30),
        event("task_complete", turn_id="t2", last_agent_message="two", completed_at=104, duration_ms=73),
    ]
