"""The messages of one rollout: those of the user and those of the assistant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from spindle.rpc.lazy_class import frozen
from spindle.rpc.lenient import Json, is_mapping, sequence, text
from spindle.storage.rollout import records
from spindle.storage.rollout.lines import Line, salvage
from spindle.storage.rollout.scan import EVENT
from spindle.storage.rollout.source import Source
from spindle.storage.rollout.turns import ShownTurns
from spindle.storage.search.needle import Needle, collapsed

_BLOCK: Final = 1 << 15
_EVENT: Final = b'"%b"' % EVENT
# the type of a line stands before its payload, after the timestamp and the optional ordinal
_TYPE_WITHIN: Final = 128
_OPENING: Final = b'{"timestamp":"'
_MESSAGES: Final = frozenset({"userMessage", "agentMessage"})


@frozen
class SearchedMessage:
    """One message, with its text collapsed."""

    turn_id: str
    item_id: str
    text: str


def may_hold(source: Source, needle: Needle, check: Callable[[], None]) -> tuple[bool, int]:
    """Whether a message of the rollout may contain the term, and how many bytes were read for that. Raises OSError."""
    read = 0
    kept = b""
    for block in _blocks(source):
        read += len(block)
        if needle.may_be_in(kept + block):
            return True, read
        kept = block[-needle.overlap :] if needle.overlap else b""
        check()
    return False, read


def messages(source: Source, check: Callable[[], None]) -> list[SearchedMessage]:
    """The messages, oldest first, without those of rolled back turns. Raises OSError.

    `check` is called regularly, and may raise to stop.
    """
    shown = ShownTurns()
    for index, raw in enumerate(_lines(source)):
        if index % 64 == 0:
            check()
        if (line := _event(raw)) is None:
            continue
        count = line.payload.get("num_turns")
        if line.payload.get("type") == records.THREAD_ROLLED_BACK:
            shown.drop(count if isinstance(count, int) else 0)
        else:
            shown.feed(line.payload, index, 0, 0, None)
            _forget_content(shown)
    return [
        SearchedMessage(turn.id, text(item.get("id")), words)
        for turn in shown.turns
        for item in turn.items
        if item["type"] in _MESSAGES and (words := _words_of(item))
    ]


def _event(raw: bytes) -> Line | None:
    """The line if it is an event, also after damaged bytes on the same line."""
    if _EVENT not in raw[:_TYPE_WITHIN] and raw.startswith(b"{") and raw.find(_OPENING, 1) < 0:
        return None
    line = salvage(raw)
    return line if line is not None and line.type == records.EVENT_MSG else None


def _blocks(source: Source) -> Iterator[bytes]:
    at = 0
    while block := source.read(at, at + _BLOCK):
        at += len(block)
        yield block


def _lines(source: Source) -> Iterator[bytes]:
    begun: list[bytes] = []
    for block in _blocks(source):
        first, *more = block.split(b"\n")
        begun.append(first)
        if more:
            yield b"".join(begun)
            yield from more[:-1]
            begun = [more[-1]]
    if rest := b"".join(begun):
        yield rest


def _forget_content(shown: ShownTurns) -> None:
    """Keep only type and id of items that are not searched, such as outputs of tools."""
    if shown.turns and (items := shown.turns[-1].items):
        item = items[-1]
        if item["type"] not in _MESSAGES and item["type"] != "reasoning":
            items[-1] = {"type": item["type"], "id": item.get("id")}


def _words_of(item: Json) -> str:
    if item["type"] == "agentMessage":
        return collapsed(text(item.get("text")))
    parts = [part for part in sequence(item.get("content")) if is_mapping(part) and part.get("type") == "text"]
    return collapsed("\n".join(text(part.get("text")) for part in parts))
