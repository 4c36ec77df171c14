"""The items of stored turns for clients: in the protocol's form, or omitted.

Most items are built here member by member, so checking the few members from the file is enough. Other items are
structured as the protocol's types once, which adds missing members and refuses items that no client could read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from spindle.rpc.lenient import Json
from spindle.rpc.protocol.converter import InvalidValue, structure, unstructure
from spindle.rpc.protocol.turns import Turn
from spindle.storage.rollout.items import OUTPUT_LIMIT, cut_output

_PHASES = (None, "commentary", "final_answer")
_MESSAGE = frozenset({"type", "id", "text", "phase", "memoryCitation"})
_REASONING = frozenset({"type", "id", "summary", "content"})
_TEXT = frozenset({"type", "text", "text_elements"})


def _plain_message(item: Json) -> bool:
    return (
        item.keys() == _MESSAGE
        and type(item["text"]) is str
        and item["phase"] in _PHASES
        and item["memoryCitation"] is None
    )


def _plain_question(item: Json) -> bool:
    return len(item) - (type(item.get("clientId")) is str) == 3 and all(
        part.keys() == _TEXT and type(part["text"]) is str and not part["text_elements"] for part in item["content"]
    )


def _plain_reasoning(item: Json) -> bool:
    return item.keys() == _REASONING and all(type(part) is str for part in (*item["summary"], *item["content"]))


_PLAIN: Mapping[str, Callable[[Json], bool]] = {
    "agentMessage": _plain_message,
    "userMessage": _plain_question,
    "reasoning": _plain_reasoning,
}


def shown_item(item: Json) -> Json | None:
    """The item in the protocol's form; None if the protocol does not have it."""
    plain = _PLAIN.get(item["type"])
    try:
        if plain is not None and type(item["id"]) is str and plain(item):
            return item
    except (AttributeError, KeyError, TypeError):
        pass
    output = item.get("aggregatedOutput")
    if isinstance(output, str) and len(output) > OUTPUT_LIMIT:
        item = item | {"aggregatedOutput": cut_output(output)}
    try:
        turn = structure({"id": "", "items": [item], "status": "completed", "error": None}, Turn)
    except InvalidValue:
        return None
    known: Json = unstructure(turn)["items"][0]
    return known
