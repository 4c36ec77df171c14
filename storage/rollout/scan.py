"""Scan the lines of a rollout of any size: fast, in bounded memory, and without parsing unwanted lines.

The start of a line gives its type; all writers of the format write it in the same way (`HEAD`). A line with another
start is parsed. A line counts if it has this start and ends like an object, or if it parses. Its reader finds other
damage (`lines.salvage`). So all readers count the same lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from spindle.storage.rollout import records
from spindle.storage.rollout.lines import decode_line, repair
from spindle.storage.rollout.source import Source

BLOCK = 64 * 1024
"""Bytes per read. A read lets other threads run, so this also bounds their wait."""
WHOLE = 8 * 1024
"""Of a longer line only the start is given, unless whole lines are wanted."""

HEAD = re.compile(
    rb'\{"timestamp":"[^"\\]{0,64}",(?:"ordinal":\d{1,20},)?"type":"(\w{1,64})","payload":\{(?:"type":"(\w{1,64})"[,}])?'
)
"""The start of a line: its type, and the payload's type if that is the first member."""

_GLUED = b'{"timestamp":"'
EVENT: Final = records.EVENT_MSG.encode()
_NEWLINE = b"\n"


class Found(NamedTuple):
    """A line: its offset and that of the next line, its place among the lines that count, its types, its bytes.

    `raw` has no newline, and is repaired if it had to be parsed; `whole` is False for the start of a long line.
    `subtype` is the payload's type, None if only parsing would give it.
    """

    offset: int
    end: int
    place: int
    type: bytes
    subtype: bytes | None
    raw: bytes
    whole: bool
    head: int
    """The length of the part of `raw` that matches `HEAD`; 0 if it does not match."""


class Scan:
    """One pass over the bytes [start, stop) of a rollout; iterate over it once.

    wanted: the types to give; None for all. events: the subtypes of events to give. index: the place of the first line.
    in_full: whether long lines are given whole.

    Afterwards `end` is the offset after the last line that counts or has a newline, `index` the place of the next line,
    `skipped` the number of lines that could not be read, `odd` the number of lines with an unusual start or end, those
    included. Raises OSError.
    """

    def __init__(
        self,
        source: Source,
        start: int = 0,
        stop: int | None = None,
        *,
        wanted: frozenset[bytes] | None = None,
        events: frozenset[bytes] | None = None,
        index: int = 0,
        in_full: bool = False,
    ) -> None:
        self._source = source
        self._stop = source.size if stop is None else stop
        self._wanted = wanted
        self._events = events
        self._in_full = in_full
        self.end: int = start
        self.index = index
        self.skipped = 0
        self.odd = 0

    def __iter__(self) -> Iterator[Found]:
        buffer = bytearray(BLOCK)
        view = memoryview(buffer)
        match, wanted, events, whole = HEAD.match, self._wanted, self._events, self._in_full
        base, fill, stop = self.end, 0, self._stop  # `base` is the offset of the buffer's first byte
        while True:
            room = min(BLOCK - fill, stop - base - fill)
            count = self._source.read_into(view[fill : fill + room], base + fill) if room > 0 else 0
            fill += count
            start, index = 0, self.index
            while (newline := buffer.find(_NEWLINE, start, fill)) >= 0:
                head = match(buffer, start, newline)
                if head is not None and buffer[newline - 1] == 125 and buffer.find(_GLUED, head.end() - 1, newline) < 0:
                    kind, subtype = head[1], head[2]
                    if (wanted is None or kind in wanted) and (
                        events is None or subtype is None or kind != EVENT or subtype in events
                    ):
                        full = whole or newline - start <= WHOLE
                        raw = bytes(view[start : newline if full else start + WHOLE])
                        self.end, self.index = base + newline + 1, index + 1
                        at = head.end() - start
                        yield Found(base + start, base + newline + 1, index, kind, subtype, raw, full, at)
                    index += 1
                elif newline > start:
                    for odd in self._odd(bytes(view[start:newline]), base + start, base + newline + 1, index):
                        self.end, self.index = odd.end, odd.place + 1
                        if wanted is None or odd.type in wanted:
                            yield odd
                        index += 1
                start = newline + 1
            self.end, self.index = base + start, index
            if count == 0:
                if start < fill:
                    yield from self._tail(bytes(view[start:fill]), base + start)
                return
            if start == 0 and fill == BLOCK:
                long = self._long(bytes(view), base)
                for found in long or ():
                    if wanted is None or found.type in wanted:
                        yield found
                if long is None or self.end >= stop:
                    return
                base, fill = self.end, 0
            else:
                buffer[: fill - start] = buffer[start:fill]
                base, fill = base + start, fill - start

    def _odd(self, raw: bytes, offset: int, end: int, index: int) -> list[Found]:
        """A line with an unusual start or end, if it can be read; two lines if a newline is missing."""
        if raw.isspace():
            return []
        self.odd += 1
        if decode_line(raw) is None:
            at = raw.find(_GLUED, 1)
            if at > 0 and decode_line(raw[:at]) is not None:
                first = self._odd(raw[:at], offset, offset + at, index)
                return first + self._odd(raw[at:], offset + at, end, index + 1)
        repaired = repair(raw)
        line = None if repaired is None else decode_line(repaired)
        if repaired is None or line is None:
            self.skipped += 1
            return []
        subtype = line.payload.get("type")
        name = subtype.encode() if isinstance(subtype, str) else None
        return [Found(offset, end, index, line.type.encode(), name, repaired, True, 0)]

    def _tail(self, raw: bytes, offset: int) -> Iterator[Found]:
        """The bytes after the last newline: a line if they are whole, else torn or still being written."""
        # only a line that parses unrepaired: the next writer completes or removes it by the same rule
        if decode_line(raw) is None:
            self.skipped += not raw.isspace() and 1
            return
        for found in self._odd(raw, offset, offset + len(raw), self.index):
            self.end, self.index = found.end, found.place + 1
            if self._wanted is None or found.type in self._wanted:
                yield found

    def _long(self, beginning: bytes, offset: int) -> list[Found] | None:
        """A line longer than a block, if it counts; None if nothing ends before `stop`."""
        head = HEAD.match(beginning)
        keep = self._in_full or head is None
        pieces = [beginning]
        at, last = offset + len(beginning), beginning[-1]
        glued = head is not None and beginning.find(_GLUED, head.end() - 1) >= 0
        while True:
            block = self._source.read(at, min(at + BLOCK, self._stop)) if at < self._stop else b""
            if not block:
                return list(self._tail(self._source.read(offset, at), offset)) or None
            newline = block.find(_NEWLINE)
            piece = block if newline < 0 else block[:newline]
            glued = glued or _GLUED in piece or _GLUED in pieces[-1][-len(_GLUED) :] + piece[: len(_GLUED)]
            if piece:
                last = piece[-1]
            if keep:
                pieces.append(piece)
            else:
                pieces[1:] = [piece[-len(_GLUED) :]]
            at += len(piece)
            if newline >= 0:
                break
        end = at + 1
        if head is not None and last == 125 and not glued:
            index, self.index, self.end = self.index, self.index + 1, end
            raw = b"".join(pieces) if self._in_full else beginning[:WHOLE]
            return [Found(offset, end, index, head[1], head[2], raw, self._in_full, head.end())]
        odd = self._odd(b"".join(pieces) if keep else self._source.read(offset, at), offset, end, self.index)
        self.end = end
        self.index += len(odd)
        return odd
