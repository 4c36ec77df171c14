"""The arguments of the agents' tools, and their checks."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from attrs import field

from spindle.actors.tools.interface import ToolRefused
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.user_input import (
    AudioInput,
    ImageInput,
    LocalAudioInput,
    LocalImageInput,
    MentionInput,
    SkillInput,
    TextInput,
    UserInput,
)

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]


@frozen
class Item:
    """One part of an input; `type` decides which other members it needs."""

    type: str
    text: str | None = None
    image_url: str | None = field(default=None, metadata={"wire": "image_url"})
    path: str | None = None
    name: str | None = None


@frozen(kw_only=True)
class Spawn:
    """spawn_agent"""

    message: str | None = None
    items: Sequence[Item] | None = None
    agent_type: str | None = field(default=None, metadata={"wire": "agent_type"})
    model: str | None = None
    reasoning_effort: Effort | None = field(default=None, metadata={"wire": "reasoning_effort"})
    fork_context: bool = field(default=False, metadata={"wire": "fork_context"})


@frozen(kw_only=True)
class Send:
    """send_input"""

    target: str
    message: str | None = None
    items: Sequence[Item] | None = None
    interrupt: bool = False


@frozen(kw_only=True)
class Wait:
    """wait_agent"""

    targets: Sequence[str] = ()
    timeout_ms: float | None = field(default=None, metadata={"wire": "timeout_ms"})


@frozen(kw_only=True)
class Resume:
    """resume_agent"""

    id: str


@frozen(kw_only=True)
class Close:
    """close_agent"""

    target: str


def agent_id(text: str) -> str:
    """An agent's id in canonical form. Raises ToolRefused."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise ToolRefused(f"invalid agent id {text}: it is not a UUID") from None


def given(message: str | None, items: Sequence[Item] | None) -> list[UserInput]:
    """The input of a call, from `message` or `items`. Raises ToolRefused unless exactly one is given."""
    if message is None and items is None:
        raise ToolRefused("Provide one of: message or items")
    if message is not None and items is not None:
        raise ToolRefused("Provide either message or items, but not both")
    if message is not None:
        if not message.strip():
            raise ToolRefused("Empty message can't be sent to an agent")
        return [TextInput(message)]
    if not items:
        raise ToolRefused("Items can't be empty")
    return [_part(item, f"items[{at}]") for at, item in enumerate(items)]


_PARTS: Mapping[str, tuple[tuple[str, ...], Callable[..., UserInput]]] = {
    "text": (("text",), TextInput),
    "image": (("image_url",), ImageInput),
    "local_image": (("path",), LocalImageInput),
    "skill": (("name", "path"), SkillInput),
    "mention": (("name", "path"), MentionInput),
}


def _part(item: Item, at: str) -> UserInput:
    if item.type not in _PARTS:
        raise ToolRefused(f"failed to parse function arguments: {at}.type: unknown variant `{item.type}`")
    names, make = _PARTS[item.type]
    values = [getattr(item, name) for name in names]
    for name, value in zip(names, values, strict=True):
        if value is None:
            raise ToolRefused(f"failed to parse function arguments: {at}: missing field `{name}`")
    return make(*values)


def preview(content: Sequence[UserInput]) -> str:
    """An input as one text, for clients."""
    return "\n".join(_previewed(part) for part in content)


def _previewed(part: UserInput) -> str:
    match part:
        case TextInput():
            return part.text
        case ImageInput():
            return "[image]"
        case LocalImageInput():
            return f"[local_image:{part.path}]"
        case AudioInput():
            return "[audio]"
        case LocalAudioInput():
            return f"[local_audio:{part.path}]"
        case SkillInput():
            return f"[skill:${part.name}]({part.path})"
        case MentionInput():
            return f"[mention:${part.name}]({part.path})"
