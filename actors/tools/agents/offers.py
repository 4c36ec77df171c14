"""The offers of the agents' tools: names and fields as in Codex 0.124, with our own descriptions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from spindle.actors.tools.agents.agents import AgentModel
from spindle.actors.tools.agents.roles import Role
from spindle.actors.tools.interface import function

_ITEMS = {
    "type": "array",
    "description": "The same in parts, where text alone will not do.",
    "items": {
        "type": "object",
        "properties": {
            "type": {"type": "string", "description": "text, image, local_image, skill or mention"},
            "text": {"type": "string", "description": "Of a text."},
            "image_url": {"type": "string", "description": "Of an image."},
            "path": {"type": "string", "description": "Of a local_image, a skill or a mention."},
            "name": {"type": "string", "description": "Of a skill or a mention."},
        },
        "additionalProperties": False,
    },
}

_SPAWN = """\
Starts an agent of your own for a part of the task, and returns its id and a nickname. It works beside you in the same \
directory, knows only what you tell it (unless `fork_context`), and when it is done you get a message with its last words.

Start agents only where the user has asked for agents, delegation or parallel work. A task that is merely large or deep \
is not such a request.

- Give away what can be done beside your own work; do yourself what your next step needs.
- Describe a piece of work that is complete in itself, says what to hand back, and does not overlap with another's. Agents \
that change files each get files of their own, and are told that others are at work.
- While they work, go on with something else. Wait for an agent only when you cannot go on without it.
- Look over what comes back before you rely on it, and close agents that you do not need any more.\
"""


def spawn_offer(roles: Iterable[Role], models: Sequence[AgentModel]) -> dict[str, Any]:
    """spawn_agent"""
    kinds = "\n".join(f"- {role.name}: {role.description}".rstrip(": ") for role in roles)
    known = "\n".join(f"- {model.slug}: {model.description} (efforts: {', '.join(model.efforts)})" for model in models)
    return function(
        "spawn_agent",
        _SPAWN,
        {
            "agent_type": {"type": "string", "description": f"The agent's role, `default` if left out:\n{kinds}"},
            "fork_context": {
                "type": "boolean",
                "description": "Whether it begins with this conversation. It then has your role, model and effort.",
            },
            "items": _ITEMS,
            "message": {"type": "string", "description": "The task. Either this or `items`."},
            "model": {
                "type": "string",
                "description": f"Leave it out for your own, unless the user wants another one. There are:\n{known}",
            },
            "reasoning_effort": {"type": "string", "description": "Leave it out for your own."},
        },
        [],
    )


SEND_OFFER = function(
    "send_input",
    "Sends a message to an agent. One that has done what comes before is better asked to go on than replaced by another.",
    {
        "interrupt": {
            "type": "boolean",
            "description": "Whether to end what it does and have it look at this at once; else it sees it when it can.",
        },
        "items": _ITEMS,
        "message": {"type": "string", "description": "The message. Either this or `items`."},
        "target": {"type": "string", "description": "The agent's id."},
    },
    ["target"],
)

RESUME_OFFER = function(
    "resume_agent",
    "Opens an agent again that was closed, with all it knew; then send_input and wait_agent work with it.",
    {"id": {"type": "string", "description": "The agent's id."}},
    ["id"],
)

WAIT_OFFER = function(
    "wait_agent",
    "Waits until one of some agents has come to an end, and returns the status of those that have, with their last words. "
    "Returns an empty status when the time is up.",
    {
        "targets": {"type": "array", "items": {"type": "string"}, "description": "The agents' ids."},
        "timeout_ms": {
            "type": "number",
            "description": "How long at most: 30000 if left out, 10000 to 3600000. Better long than often.",
        },
    },
    ["targets"],
)

CLOSE_OFFER = function(
    "close_agent",
    "Ends an agent that is no longer needed, and those it has started; returns the status it had.",
    {"target": {"type": "string", "description": "The agent's id."}},
    ["target"],
)
