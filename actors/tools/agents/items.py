"""A call to an agent as an item: started, completed and recorded, with the events of Codex 0.124."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import evolve

from spindle.actors.tools.agents.agents import AgentName, AgentStatus
from spindle.actors.tools.interface import ToolHost
from spindle.actors.tools.notifications import emit_completed, emit_started
from spindle.rpc.protocol.items import CollabAgentTool, CollabAgentToolCallItem
from spindle.storage.rollout import records
from spindle.storage.rollout.records import Entry


class AgentCall:
    """One call, a context manager. `agents` are the final statuses of its receivers; set `failed` to False on success."""

    def __init__(self, host: ToolHost, id: str, tool: CollabAgentTool, receivers: Sequence[str], **shown: Any) -> None:
        self._host = host
        self._item = CollabAgentToolCallItem(
            id=id,
            tool=tool,
            status="inProgress",
            sender_thread_id=host.thread_id,
            receiver_thread_ids=receivers,
            **shown,
        )
        self.agents: dict[str, AgentStatus] = {}
        self.names: dict[str, AgentName] = {}
        self.failed = True

    def __enter__(self) -> AgentCall:
        emit_started(self._host, self._item)
        return self

    def __exit__(self, *_: object) -> None:
        bad = self.failed or any(status.kind in ("errored", "notFound") for status in self.agents.values())
        receivers = list(self.agents) if self._item.tool in ("spawnAgent", "wait") else self._item.receiver_thread_ids
        ended = self._item = evolve(
            self._item,
            status="failed" if bad else "completed",
            receiver_thread_ids=receivers,
            agents_states={id: status.shown() for id, status in self.agents.items()},
        )
        self._host.record(self._event(ended))
        emit_completed(self._host, ended)

    def runs_on(self, model: str, effort: str | None) -> None:
        """Set the model and effort of the spawned agent."""
        self._item = evolve(self._item, model=model, reasoning_effort=effort)

    def _event(self, item: CollabAgentToolCallItem) -> Entry:
        outcome = self._outcome(item)
        return records.agent_call_end(item.tool, item.id, self._host.turn_id, item.sender_thread_id, outcome)

    def _outcome(self, item: CollabAgentToolCallItem) -> dict[str, Any]:
        stored = {id: status.stored() for id, status in self.agents.items()}
        id = next(iter(item.receiver_thread_ids), None)
        name = self.names.get(id or "", AgentName())
        event: dict[str, Any] = {}
        match item.tool:
            case "spawnAgent":
                event |= {"new_thread_id": id, "new_agent_nickname": name.nickname, "new_agent_role": name.role}
                event |= {"prompt": item.prompt or "", "model": item.model or ""}
                event["reasoning_effort"] = item.reasoning_effort or "medium"
            case "wait":
                agents = [{"thread_id": id, **_named(self.names.get(id)), "status": stored[id]} for id in stored]
                return event | {"agent_statuses": agents, "statuses": stored}
            case _:
                event["receiver_thread_id"] = id
                event |= {f"receiver_{key}": value for key, value in _named(name).items()}
                if item.tool == "sendInput":
                    event["prompt"] = item.prompt or ""
        return event | {"status": stored.get(id or "", "not_found")}


def _named(name: AgentName | None) -> dict[str, str | None]:
    name = name or AgentName()
    return {"agent_nickname": name.nickname, "agent_role": name.role}
