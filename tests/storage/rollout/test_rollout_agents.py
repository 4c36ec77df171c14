"""Calls to agents: from rollouts to thread items."""

import pytest

from spindle.storage.rollout.items import EVENTS, completed_item

STATES = {"a": {"status": "completed", "message": "done"}}
CALL = {
    "type": "collabAgentToolCall",
    "status": "completed",
    "senderThreadId": "p",
    "receiverThreadIds": ["a"],
    "prompt": None,
    "model": None,
    "reasoningEffort": None,
    "agentsStates": STATES,
}
ENDED = {"sender_thread_id": "p", "receiver_thread_id": "a", "status": {"completed": "done"}}


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        (
            {"type": "collab_agent_spawn_end", "new_thread_id": "a", "prompt": "go", "model": "m", "reasoning_effort": "low"},
            {"tool": "spawnAgent", "prompt": "go", "model": "m", "reasoningEffort": "low"},
        ),
        (
            {"type": "collab_agent_spawn_end", "receiver_thread_id": None, "status": "not_found", "prompt": "go"},
            {"tool": "spawnAgent", "prompt": "go", "receiverThreadIds": [], "agentsStates": {}, "status": "failed"},
        ),
        ({"type": "collab_agent_interaction_end", "prompt": "more"}, {"tool": "sendInput", "prompt": "more"}),
        ({"type": "collab_close_end"}, {"tool": "closeAgent"}),
        (
            {"type": "collab_resume_end", "status": "pending_init"},
            {"tool": "resumeAgent", "agentsStates": {"a": {"status": "pendingInit", "message": None}}},
        ),
        (
            {"type": "collab_close_end", "status": {"errored": "no"}},
            {"tool": "closeAgent", "status": "failed", "agentsStates": {"a": {"status": "errored", "message": "no"}}},
        ),
        (
            {"type": "collab_waiting_end", "statuses": {"a": {"completed": "done"}, "b": "not_found"}},
            {
                "tool": "wait",
                "status": "failed",
                "receiverThreadIds": ["a", "b"],
                "agentsStates": {**STATES, "b": {"status": "notFound", "message": None}},
            },
        ),
        (
            {"type": "collab_waiting_end", "statuses": {}},
            {"tool": "wait", "receiverThreadIds": [], "agentsStates": {}},
        ),
        (
            {"type": "collab_close_end", "status": {"vanished": 1}},
            {"tool": "closeAgent", "status": "failed", "agentsStates": {"a": {"status": "notFound", "message": None}}},
        ),
    ],
)
def test_the_events_of_0_124(event, shown):
    event = ENDED | event
    assert EVENTS[event["type"]](event) == CALL | shown


@pytest.mark.parametrize(
    ("tool", "shown"), [("spawn_agent", "spawnAgent"), ("wait", "wait"), ("followup_task", "followupTask")]
)
def test_the_item_of_0_169(tool, shown):
    stored = {
        "type": "CollabAgentToolCall",
        "id": "call-1",
        "tool": tool,
        "status": "completed",
        "sender_thread_id": "p",
        "receiver_thread_ids": ["a"],
        "receiver_agents": [{"thread_id": "a", "agent_nickname": "Elm"}],
        "agents_states": {"a": {"completed": "done"}},
    }
    assert completed_item(stored) == {**CALL, "id": "call-1", "tool": shown}
