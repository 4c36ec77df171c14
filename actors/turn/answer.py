"""One answer of the model as it streams in: response items become thread items, deltas and rollout lines.

An item is recorded before its `item/completed` is sent: a client that was notified finds it in the file.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from spindle.actors.turn.host import TurnHost
from spindle.actors.turn.proposed_plan import PlanMessage
from spindle.rpc.model.interface import (
    ItemAdded,
    ItemDone,
    ModelEvent,
    ReasoningDelta,
    SummaryDelta,
    SummaryPartAdded,
    TextDelta,
)
from spindle.rpc.protocol.items import AgentMessageItem, ImageGenerationItem, ReasoningItem, WebSearchItem
from spindle.rpc.protocol.turns import (
    AgentMessageDeltaNotification,
    ItemCompletedNotification,
    ItemStartedNotification,
    ReasoningSummaryPartAddedNotification,
    ReasoningSummaryTextDeltaNotification,
    ReasoningTextDeltaNotification,
)
from spindle.storage.rollout import records
from spindle.storage.rollout.records import Entry

if TYPE_CHECKING:
    from spindle.actors.tools.patch.progress import PatchProgress

Shown: TypeAlias = AgentMessageItem | ReasoningItem | WebSearchItem | ImageGenerationItem

_SEARCH_ACTIONS = {"search": "search", "open_page": "openPage", "find_in_page": "findInPage"}


class Answer:
    """Takes the events of one stream. `calls` are its tool calls, `text` is its last message."""

    def __init__(
        self, host: TurnHost, thread_id: str, turn_id: str, progress: PatchProgress | None = None
    ) -> None:
        """`progress` notifies clients of patches while the model writes them."""
        self._progress = progress
        self._host, self._thread_id, self._turn_id = host, thread_id, turn_id
        self._open: str | None = None
        self._text: list[str] = []
        self._planned: PlanMessage | None = None
        """The message that is streaming, in plan mode."""
        self.calls: list[dict[str, Any]] = []
        self.text: str | None = None

    async def feed(self, event: ModelEvent) -> None:
        """Process one event. Waits only while a large item is recorded."""
        if self._progress is not None:
            self._progress.feed(event)
        match event:
            case TextDelta(delta=delta):
                if self._planned is not None:
                    self._planned.feed(delta)
                elif self._open is not None:
                    self._text.append(delta)
                    self._host.emit(AgentMessageDeltaNotification(self._thread_id, self._turn_id, self._open, delta))
            case ItemAdded(item=item):
                self._added(item)
            case ItemDone(item=item):
                await self._done(item)
            case SummaryPartAdded(summary_index=index):
                if self._open is not None:
                    self._host.emit(
                        ReasoningSummaryPartAddedNotification(self._thread_id, self._turn_id, self._open, index)
                    )
            case SummaryDelta(delta=delta, summary_index=index):
                if self._open is not None:
                    self._host.emit(
                        ReasoningSummaryTextDeltaNotification(self._thread_id, self._turn_id, self._open, delta, index)
                    )
            case ReasoningDelta(delta=delta, content_index=index):
                if self._open is not None:
                    self._host.emit(
                        ReasoningTextDeltaNotification(self._thread_id, self._turn_id, self._open, delta, index)
                    )
            case _:
                pass

    def partial(self) -> AgentMessageItem | None:
        """The message that is streaming, with its text so far; None if there is none."""
        if self._planned is not None:
            return self._planned.shown
        return (
            AgentMessageItem(id=self._open, text="".join(self._text)) if self._open is not None and self._text else None
        )

    def _added(self, item: dict[str, Any]) -> None:
        shown = _shown(item, begun=True)
        if shown is not None:
            self._open, self._text = shown.id, []
            if isinstance(shown, AgentMessageItem) and self._host.mode == "plan":
                self._planned = PlanMessage(self._host, self._thread_id, self._turn_id, shown)
            else:
                self._started(shown)
            if isinstance(shown, AgentMessageItem):
                self._host.partial(self)

    async def _done(self, item: dict[str, Any]) -> None:
        kind = item["type"]
        if kind.endswith("_call") and kind not in ("web_search_call", "image_generation_call"):
            await self._host.keep(records.response_item(item))
            self.calls.append(item)
            return
        shown = _shown(item, default_id=self._open)
        if shown is None:
            await self._host.keep(records.response_item(item))
            return
        if isinstance(shown, AgentMessageItem) and self._host.mode == "plan":
            await self._done_planning(item, shown)
            return
        if self._open != shown.id:
            begun = _shown(item, begun=True, default_id=shown.id) if isinstance(shown, ImageGenerationItem) else shown
            self._started(begun or shown)
        self._open, self._text = None, []
        self._host.partial(None)
        await self._host.keep(*_entries(item, shown))
        if isinstance(shown, AgentMessageItem):
            self.text = shown.text
        self._host.emit(ItemCompletedNotification(shown, self._thread_id, self._turn_id, _now_ms()))

    async def _done_planning(self, item: dict[str, Any], whole: AgentMessageItem) -> None:
        planned = self._planned or PlanMessage(self._host, self._thread_id, self._turn_id, whole)
        self._open, self._planned = None, None
        self._host.partial(None)
        plan, shown = planned.finish(whole.text)
        if plan is not None:
            kept = {"type": "Plan", "id": plan.id, "text": plan.text}
            await self._host.keep(records.item_completed(self._thread_id, self._turn_id, kept))
            self._host.emit(ItemCompletedNotification(plan, self._thread_id, self._turn_id, _now_ms()))
        await self._host.keep(*([] if shown is None else _events(item, shown)), records.response_item(stored(item)))
        if shown is not None:
            self.text = shown.text
            self._host.emit(ItemCompletedNotification(shown, self._thread_id, self._turn_id, _now_ms()))

    def _started(self, shown: Shown) -> None:
        self._host.emit(ItemStartedNotification(shown, self._thread_id, self._turn_id, _now_ms()))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _shown(item: dict[str, Any], *, begun: bool = False, default_id: str | None = None) -> Shown | None:
    """The thread item of a response item; None for types that clients are not shown."""
    id = item.get("id") or default_id or str(uuid.uuid4())
    match item["type"]:
        case "message" if item.get("role") == "assistant":
            return AgentMessageItem(id=id, text="" if begun else _joined(item.get("content")), phase=item.get("phase"))
        case "reasoning":
            return ReasoningItem(id=id, summary=_texts(item.get("summary")), content=_texts(item.get("content")))
        case "web_search_call":
            action = {"type": "other"} if begun else search_action(item.get("action"))
            query = (action or {}).get("query") or (action or {}).get("url") or ""
            return WebSearchItem(id=id, query=query, action=action)
        case "image_generation_call":
            if begun:
                return ImageGenerationItem(id=id, status="in_progress")
            status, result = str(item.get("status") or ""), str(item.get("result") or "")
            return ImageGenerationItem(id=id, status=status, revised_prompt=item.get("revised_prompt"), result=result)
        case _:
            return None


def search_action(action: Any) -> dict[str, Any] | None:
    """The action of a web search as clients see it."""
    if not isinstance(action, Mapping):
        return None
    action = cast("Mapping[str, Any]", action)
    match kind := _SEARCH_ACTIONS.get(str(action.get("type")), "other"):
        case "search":
            return {"type": kind, "query": action.get("query"), "queries": action.get("queries")}
        case "openPage":
            return {"type": kind, "url": action.get("url")}
        case "findInPage":
            return {"type": kind, "url": action.get("url"), "pattern": action.get("pattern")}
        case _:
            return {"type": kind}


def _entries(item: dict[str, Any], shown: Shown) -> list[Entry]:
    """The rollout lines of a finished item: the events for clients, then the response item for the model."""
    return [*_events(item, shown), records.response_item(stored(item))]


def _events(item: dict[str, Any], shown: Shown) -> list[Entry]:
    match shown:
        case AgentMessageItem():
            return [records.agent_message(shown.text, shown.phase)]
        case ReasoningItem():
            summary = map(records.agent_reasoning, shown.summary)
            return [*summary, *map(records.agent_reasoning_raw_content, shown.content)]
        case WebSearchItem():
            return [records.web_search_end(shown.id, shown.query, item.get("action") or {"type": "other"})]
        case ImageGenerationItem():
            return [records.image_generation_end(shown.id, shown.status, shown.revised_prompt, shown.result)]


def stored(item: dict[str, Any]) -> dict[str, Any]:
    """The response item as it is recorded and sent back: without ids that have a meaning only in the answer's stream."""
    if item["type"] in ("message", "reasoning", "web_search_call"):
        return {
            key: value
            for key, value in item.items()
            if key not in ("id", "status") or (key == "status" and item["type"] == "web_search_call")
        }
    return item


def _texts(parts: Any) -> tuple[str, ...]:
    if not isinstance(parts, list):
        return ()
    out: list[str] = []
    for part in cast("list[object]", parts):
        text = cast("dict[str, object]", part).get("text") if isinstance(part, dict) else None
        if isinstance(text, str):
            out.append(text)
    return tuple(out)


def _joined(parts: Any) -> str:
    return "".join(_texts(parts))
