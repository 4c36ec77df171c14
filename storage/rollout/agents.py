"""Calls to agents in rollouts, converted to thread items in JSON form.

Codex 0.124 has an end event for each kind of call, 0.169 one item ("CollabAgentToolCall"). A status is a string, or for
`completed` and `errored` an object with the agent's last message or the error.
"""

from __future__ import annotations

from collections.abc import Mapping

from spindle.rpc.lenient import Json, mapping, sequence, text
from spindle.storage.rollout import records

_TOOLS: Mapping[str, str] = {event: tool for tool, event in records.AGENT_CALL_ENDS.items()}

_STATUSES: Mapping[str, str] = {
    "pending_init": "pendingInit",
    "running": "running",
    "interrupted": "interrupted",
    "completed": "completed",
    "errored": "errored",
    "shutdown": "shutdown",
    "not_found": "notFound",
}


def agent_state(stored: object) -> Json:
    """A stored status in the protocol's form, `{"status", "message"}`; an unknown status counts as not found."""
    if isinstance(stored, str):
        return {"status": _STATUSES.get(stored, "notFound"), "message": None}
    for name, message in mapping(stored).items():
        if name in _STATUSES:
            return {"status": _STATUSES[name], "message": message if isinstance(message, str) else None}
    return {"status": "notFound", "message": None}


def agent_call(event: Json) -> Json:
    """The item of an event in `records.AGENT_CALL_ENDS`, without its id."""
    receiver = event.get("new_thread_id", event.get("receiver_thread_id"))
    if event.get("type") == records.COLLAB_WAITING_END:
        states = {id: agent_state(status) for id, status in mapping(event.get("statuses")).items()}
        receivers = list(states)
    else:
        receivers = [receiver] if isinstance(receiver, str) else []
        states = {id: agent_state(event.get("status")) for id in receivers}
    lost = event.get("type") == records.COLLAB_AGENT_SPAWN_END and not receivers
    bad = lost or any(state["status"] in ("errored", "notFound") for state in states.values())
    return {
        "type": "collabAgentToolCall",
        "tool": _TOOLS.get(text(event.get("type")), "wait"),
        "status": "failed" if bad else "completed",
        "senderThreadId": text(event.get("sender_thread_id")),
        "receiverThreadIds": receivers,
        "prompt": event.get("prompt"),
        "model": event.get("model"),
        "reasoningEffort": event.get("reasoning_effort"),
        "agentsStates": states,
    }


def agent_call_item(item: Json) -> Json:
    """The same, for an item stored by 0.169."""
    states = {id: agent_state(status) for id, status in mapping(item.get("agents_states")).items()}
    tool = text(item.get("tool"))
    head, *rest = tool.split("_")
    return {
        "type": "collabAgentToolCall",
        "tool": head + "".join(part.capitalize() for part in rest),
        "status": "inProgress" if item.get("status") == "in_progress" else text(item.get("status")) or "completed",
        "senderThreadId": text(item.get("sender_thread_id")),
        "receiverThreadIds": [text(id) for id in sequence(item.get("receiver_thread_ids"))],
        "prompt": item.get("prompt"),
        "model": item.get("model"),
        "reasoningEffort": item.get("reasoning_effort"),
        "agentsStates": states,
    }
