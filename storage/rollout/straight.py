"""The model's history of a straight rollout: its response items, in the order of the file.

They are found as text, without looking at the lines between them. `Outline.straight` says where this is the whole history.
"""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from spindle.rpc.lenient import Json, is_mapping
from spindle.rpc.protocol.values import DEPTH_OF_RECORDS, opened
from spindle.storage.rollout import records
from spindle.storage.rollout.history import StoredItem, stored
from spindle.storage.rollout.lines import salvage
from spindle.storage.rollout.source import Source

BLOCK = 256 * 1024
"""Bytes per read, between which other threads run. Larger blocks are not faster."""

_MARK = b'"type":"%s","payload":{' % records.RESPONSE_ITEM.encode()
_MARKED_WITHIN = 256
"""The start of an item's line has the mark within so many bytes."""
_NEWLINE = b"\n"


def response_items(source: Source, start: int, stop: int) -> Iterator[StoredItem]:
    """The items in the bytes [start, stop) of a rollout. Raises OSError."""
    for raw in _marked_lines(source, start, stop):
        payload = _payload(raw)
        if payload is not None and (item := stored(payload)) is not None:
            yield item


def _payload(raw: bytes) -> Json | None:
    try:
        line = orjson.loads(raw)
        payload: object = line["payload"]
        if line["type"] == records.RESPONSE_ITEM and is_mapping(payload) and opened(raw) <= DEPTH_OF_RECORDS:
            return payload
    except (orjson.JSONDecodeError, KeyError, TypeError):
        pass
    salvaged = salvage(raw)
    return salvaged.payload if salvaged is not None and salvaged.type == records.RESPONSE_ITEM else None


def _marked_lines(source: Source, start: int, stop: int) -> Iterator[bytes]:
    """The lines that contain the mark; few others than those of items do."""
    buffer = bytearray(BLOCK)
    view = memoryview(buffer)
    base, fill = start, 0  # `base` is the offset of the buffer's first byte
    while True:
        count = source.read_into(view[fill : max(fill, min(BLOCK, stop - base))], base + fill)
        fill += count
        end = buffer.rfind(_NEWLINE, 0, fill) + 1 if count else fill
        at = buffer.find(_MARK, 0, end)
        while at >= 0:
            newline = buffer.find(_NEWLINE, at, end)
            newline = end if newline < 0 else newline
            yield bytes(view[buffer.rfind(_NEWLINE, 0, at) + 1 : newline])
            at = buffer.find(_MARK, newline, end)
        if not count:
            return
        if end == 0 and fill == BLOCK:
            following = _next_line(source, base + fill, stop)
            if buffer.find(_MARK, 0, _MARKED_WITHIN) >= 0:
                yield source.read(base, following).removesuffix(_NEWLINE)
            base, fill = following, 0
        else:
            buffer[: fill - end] = buffer[end:fill]
            base, fill = base + end, fill - end


def _next_line(source: Source, at: int, stop: int) -> int:
    """The offset after the next newline."""
    while block := source.read(at, min(at + BLOCK, stop)):
        newline = block.find(_NEWLINE)
        if newline >= 0:
            return at + newline + 1
        at += len(block)
    return at
