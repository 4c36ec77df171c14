"""Lines for a rollout with a "paginated" history (Codex 0.169): it stores items whole, one `item_completed` event each.

Such a rollout's readers pass over the events of 0.124 (`user_message`, `agent_message` and so on), so what is appended to
it has to be spelt its way.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence

from spindle.storage.rollout.reviews import review_text
from spindle.storage.rollout.shapes import Json

_REASONING = {"agent_reasoning": "summary_text", "agent_reasoning_raw_content": "raw_content"}


def paginated(entries: Sequence[tuple[str, Json]], thread_id: str, turn_id: str) -> list[tuple[str, Json]]:
    """The lines of one item or more, (type, payload) each, with the events of 0.124 turned into `item_completed`."""
    lines: list[tuple[str, Json]] = []
    reasoning: Json | None = None
    for kind, payload in entries:
        name = payload.get("type") if kind == "event_msg" else None
        if reasoning is not None and name in _REASONING:
            reasoning[_REASONING[name]].append(payload["text"])
            continue
        reasoning = None
        item = _item(name, payload)
        if item is None:
            lines.append((kind, payload))
            continue
        if name in _REASONING:
            reasoning = item
        now = time.time_ns() // 1_000_000
        event = {"type": "item_completed", "thread_id": thread_id, "turn_id": turn_id, "item": item}
        lines.append(("event_msg", event | {"started_at_ms": now, "completed_at_ms": now}))
    return lines


def _item(name: object, event: Json) -> Json | None:
    match name:
        case "user_message":
            content = [{"type": "text", "text": event["message"], "text_elements": event["text_elements"]}]
            content = content if event["message"].strip() else []
            content += [{"type": "image", "image_url": url} for url in event["images"]]
            content += [{"type": "local_image", "path": path} for path in event["local_images"]]
            return {"type": "UserMessage", "id": str(uuid.uuid4()), "content": content}
        case "agent_message":
            item: Json = {"type": "AgentMessage", "id": str(uuid.uuid4())}
            item["content"] = [{"type": "Text", "text": event["message"]}]
            return item | ({"phase": event["phase"]} if event.get("phase") else {})
        case "agent_reasoning" | "agent_reasoning_raw_content":
            item = {"type": "Reasoning", "id": str(uuid.uuid4()), "summary_text": [], "raw_content": []}
            item[_REASONING[str(name)]].append(event["text"])
            return item
        case "entered_review_mode":
            return {"type": "EnteredReviewMode", "id": str(uuid.uuid4()), "review": event["user_facing_hint"]}
        case "exited_review_mode":
            shown = review_text(event["review_output"] or {})
            return {"type": "ExitedReviewMode", "id": str(uuid.uuid4()), "review": shown}
        case "context_compacted":
            return {"type": "ContextCompaction", "id": str(uuid.uuid4())}
        case "web_search_end":
            return {"type": "WebSearch", "id": event["call_id"], "query": event["query"], "action": event["action"]}
        case _:
            return None
