"""Records for a rollout with a "paginated" history (Codex 0.169): each item is stored whole, in an `item_completed` event.

Readers of such a rollout ignore the events of 0.124 (`user_message`, `agent_message` and so on), so appended records
must have this form.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence

from spindle.rpc.lenient import Json
from spindle.storage.rollout import records
from spindle.storage.rollout.records import Entry
from spindle.storage.rollout.reviews import review_text

_REASONING = {records.AGENT_REASONING: "summary_text", records.AGENT_REASONING_RAW_CONTENT: "raw_content"}


def paginated(entries: Sequence[Entry], thread_id: str, turn_id: str) -> list[Entry]:
    """The records of one or more items, with the events of 0.124 turned into `item_completed`."""
    lines: list[Entry] = []
    reasoning: Json | None = None
    for kind, payload in entries:
        name = records.event_type(kind, payload)
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
        lines.append(records.item_completed(thread_id, turn_id, item, time.time_ns() // 1_000_000))
    return lines


def _item(name: object, event: Json) -> Json | None:
    match name:
        case records.USER_MESSAGE:
            content = [{"type": "text", "text": event["message"], "text_elements": event["text_elements"]}]
            content = content if event["message"].strip() else []
            content += [{"type": "image", "image_url": url} for url in event["images"]]
            content += [{"type": "local_image", "path": path} for path in event["local_images"]]
            content = event.get("content", content)
            client_id = {"client_id": event["client_id"]} if "client_id" in event else {}
            return {"type": "UserMessage", "id": str(uuid.uuid4()), **client_id, "content": content}
        case records.AGENT_MESSAGE:
            item: Json = {"type": "AgentMessage", "id": str(uuid.uuid4())}
            item["content"] = [{"type": "Text", "text": event["message"]}]
            return item | ({"phase": event["phase"]} if event.get("phase") else {})
        case records.AGENT_REASONING | records.AGENT_REASONING_RAW_CONTENT:
            item = {"type": "Reasoning", "id": str(uuid.uuid4()), "summary_text": [], "raw_content": []}
            item[_REASONING[str(name)]].append(event["text"])
            return item
        case records.ENTERED_REVIEW_MODE:
            return {"type": "EnteredReviewMode", "id": str(uuid.uuid4()), "review": event["user_facing_hint"]}
        case records.EXITED_REVIEW_MODE:
            shown = review_text(event["review_output"] or {})
            return {"type": "ExitedReviewMode", "id": str(uuid.uuid4()), "review": shown}
        case records.CONTEXT_COMPACTED:
            return {"type": "ContextCompaction", "id": str(uuid.uuid4())}
        case records.WEB_SEARCH_END:
            return {"type": "WebSearch", "id": event["call_id"], "query": event["query"], "action": event["action"]}
        case _:
            return None
