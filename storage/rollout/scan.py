"""Going over the lines of a rollout of any size: fast, in bounded memory, and without parsing what nobody asks for.

Lines are told apart by how they open, which all writers of the format have in common (`HEAD`); a line that opens
otherwise is parsed. A line counts if it opens so and ends like an object, or if it parses: what else is wrong with it is
found out by whoever reads it (`lines.salvage`). So everybody counts the same lines, whichever they look into.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from spindle.storage.rollout import records
from spindle.storage.rollout.lines import decode_line, repair
from spindle.storage.rollout.source import Source

BLOCK = 64 * 1024
"""Bytes read at a time. Reading lets other threads run, so this also bounds how long they wait for us."""
WHOLE = 8 * 1024
"""Of a longer line only the beginning is handed out, unless all of it is asked for."""

HEAD = re.compile(
    rb'\{"timestamp":"[^"\\]{0,64}",(?:"ordinal":\d{1,20},)?"type":"(\w{1,64})","payload":\{(?:"type":"(\w{1,64})"[,}])?'
)
"""How a line opens: its type, and that of the payload where it comes first."""

_GLUED = b'{"timestamp":"'
EVENT: Final = records.EVENT_MSG.encode()
_NEWLINE = b"\n"


class Found(NamedTuple):
    """A line: where it and the next one begin, its place among the lines that count, its types, its bytes.

    `raw` is without newline, and repaired if it had to be parsed; `whole` is False where it is only the beginning of a
    long line. `subtype` is the payload's type, None where it is not known without parsing.
    """

    offset: int
    end: int
    place: int
    type: bytes
    subtype: bytes | None
    raw: bytes
    whole: bool
    head: int
    """How much of `raw` is the head that `HEAD` describes; 0 if it opens otherwise."""


class Scan:
    """One pass over the bytes [start, stop) of a rollout; iterate over it once.

    wanted: the types that are handed out; all, if None. events: of events, the subtypes that are.
    index: the place of the first line.
    in_full: whether long lines are handed out whole, and not their beginnings.
    Afterwards `end` is the offset behind the last line that counts or is terminated, `index` the place of the next line,
    `skipped` how many lines could not be read. Raises OSError.
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
        """A line that does not open or end as usual, if it can be read all the same; two, if a newline is missing."""
        if raw.isspace():
            return []
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
        """What stands behind the last newline: a line if it is whole, else torn or still being written."""
        # only what parses as it stands: whoever appends next completes it or cuts it off by the same rule
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
