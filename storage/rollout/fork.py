"""Write the rollout of a fork: its own session_meta, then the lines of its source.

The lines are copied in blocks, so the size of the source does not matter. They go to a temporary file, which is renamed
when it is complete and fsynced: so there is a complete fork or none. A numbered ("paginated") source is renumbered.
Codex 0.169 lets a fork refer to its source instead (`history_base` in the session_meta); the referred bytes are copied,
too, so our forks need no other file.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from attrs import evolve

from spindle.rpc.lazy_class import frozen
from spindle.rpc.lenient import Json, mapping, text_or_none
from spindle.storage.durable import PRIVATE, make_folder, sync_folder, write_all
from spindle.storage.rollout import records
from spindle.storage.rollout.lines import decode_line, encode_line, salvage
from spindle.storage.rollout.source import open_plain

Check = Callable[[], None]
"""Called between two blocks; may raise to stop."""

_BLOCK = 1 << 20
# Python needs about 100 us for a block of lines
_LINES = 1 << 16
_DEPTH = 64
_NUMBER = re.compile(rb'(\{"timestamp":"[^"]*",)(?:"ordinal":\d+,)?')
# the members that identify a line are within this many bytes
_HEAD = 512
_MARKS = re.compile(rb"user_message|UserMessage|t(?:ask|urn)_(?:started|complete|aborted)|thread_rolled_back")


class UnknownTurn(Exception):
    """The rollout has no turn with this id."""

    def __init__(self, turn_id: str) -> None:
        super().__init__(f"turn not found: {turn_id}")


@frozen
class Segment:
    """A part of a history: the bytes [start, end) of a rollout, whole lines."""

    path: Path
    start: int
    end: int


def segments(path: Path, locate: Callable[[str], Path | None]) -> list[Segment]:
    """The parts of a thread's history, oldest first; several for a fork that refers to its source.

    `locate` finds the file of a rollout id (see storage/threads/locate). Blocking. Raises OSError, FileNotFoundError if
    a source is missing.
    """
    found: list[Segment] = []
    end: int | None = None
    for _ in range(_DEPTH):
        with open_plain(path, _LINES) as file:
            head = file.readline()
            whole = _end_of_lines(file.fileno())
        end = whole if end is None else min(end, whole)
        line = salvage(head)
        payload = line.payload if line is not None and line.type == records.SESSION_META else {}
        base = mapping(payload.get("history_base"))
        numbered = payload.get("history_mode") == "paginated"
        found.append(Segment(path, len(head) if numbered else 0, end))
        source = base.get("thread_id")
        if not isinstance(source, str):
            return found[::-1]
        located = locate(source)
        if located is None:
            raise FileNotFoundError(f"the history of thread {source}, which {path.name} continues, is missing")
        path, end = located, base.get("end_byte_offset")
    raise OSError(f"{path} continues a history that continues others more than {_DEPTH} times")


def cut(parts: Sequence[Segment], check: Check, *, last: str | None, before: str | None) -> list[Segment]:
    """The parts up to the end of turn `last`, or up to the start of turn `before`.

    Blocking; reads all parts, but decodes only the lines that start and end turns. Raises UnknownTurn, OSError.
    """
    turns = _Turns()
    for part, (segment, file) in enumerate(_opened(parts)):
        offset = previous = segment.start
        for raw in _lines(file, segment, check):
            turns.index += 1
            if _MARKS.search(raw, 0, _HEAD) and (line := decode_line(raw)) is not None and line.type == records.EVENT_MSG:
                turns.feed(line.payload, part, offset, previous)
            previous = offset
            offset += len(raw)
    wanted = (last if before is None else before) or ""
    if wanted not in turns.shown:
        raise UnknownTurn(wanted)
    place = turns.ids.index(wanted) + (1 if before is None else 0)
    if place == len(turns.ids):
        return list(parts)
    part = turns.parts[place]
    return [*parts[:part], evolve(parts[part], end=turns.offsets[place])]


class _Turns:
    """The positions of turns, by the rules of `ShownTurns`, in few objects: a history may have 100,000 turns.

    `ids`, `parts` and `offsets` have all turns in the order of their start, `shown` the ids that are not rolled back.
    """

    def __init__(self) -> None:
        self.index = -1
        self.ids: list[str] = []
        self.parts: list[int] = []
        self.offsets: list[int] = []
        self.shown: list[str] = []
        self._marked: str | None = None

    def feed(self, event: Json, part: int, offset: int, previous: int) -> None:
        """Fold the event of the line at `offset`; `previous` is the offset of the line before."""
        named = text_or_none(event.get("turn_id"))
        match event.get("type"):
            case records.TASK_STARTED | records.TURN_STARTED:
                self._marked = named or f"rollout-{self.index}"
                self._open(self._marked, part, offset)
            case records.TASK_COMPLETE | records.TURN_COMPLETE | records.TURN_ABORTED:
                if named in (None, self._marked):
                    self._marked = None
            case records.THREAD_ROLLED_BACK:
                count = event.get("num_turns")
                if isinstance(count, int) and count > 0:
                    del self.shown[-count:]
                    self._marked = None
            case records.USER_MESSAGE if self._marked is None:
                # a turn without a start event begins with the model's message, one line before the event
                self._open(f"rollout-{self.index}", part, previous)
            case records.ITEM_COMPLETED if self._marked is None and named not in self.shown[-1:]:
                if mapping(event.get("item")).get("type") in ("UserMessage", "userMessage"):
                    self._open(named or f"rollout-{self.index}", part, previous)
            case _:
                pass

    def _open(self, id: str, part: int, offset: int) -> None:
        self.ids.append(id)
        self.parts.append(part)
        self.offsets.append(offset)
        self.shown.append(id)


def write_fork(
    target: Path,
    meta: dict[str, Any],
    parts: Sequence[Segment],
    close: Callable[[Path], Sequence[bytes]],
    check: Check,
    first: int = 0,
) -> None:
    """Write `meta` and the lines of `parts` to `target`, which must not exist; numbered lines start with `first`.

    `close` gets the path of the file before it is renamed, and returns lines to append. Blocking. Raises OSError and
    the errors of `close` and `check`; then no file is left.
    """
    numbered = meta.get("history_mode") == "paginated"
    make_folder(target.parent)
    unfinished = target.with_name(target.name + ".part")
    try:
        out = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
        try:
            count = first + 1
            write_all(out, encode_line(records.SESSION_META, meta, ordinal=first if numbered else None))
            for segment, file in _opened(parts):
                if numbered:
                    count = _copy_numbered(out, file, segment, count, check)
                else:
                    _copy(out, file, segment, check)
            for line in close(unfinished):
                write_all(out, _number(line, count) if numbered else line)
                count += 1
            os.fsync(out)
        finally:
            os.close(out)
        check()
        os.rename(unfinished, target)
        unfinished = target
        sync_folder(target.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        raise


def fork_lines(meta: dict[str, Any], parts: Sequence[Segment], check: Check) -> list[bytes]:
    """The same lines in memory, for an ephemeral fork. Raises OSError."""
    lines = [encode_line(*records.session_meta(meta))]
    for segment, file in _opened(parts):
        lines += _lines(file, segment, check)
    return lines


def _opened(parts: Sequence[Segment]) -> Iterator[tuple[Segment, BinaryIO]]:
    for segment in parts:
        with open_plain(segment.path, _LINES) as file:
            file.seek(segment.start)
            yield segment, file


def _lines(file: BinaryIO, segment: Segment, check: Check) -> Iterator[bytes]:
    left, taken = segment.end - segment.start, 0
    while left > 0 and (raw := file.readline(left)):
        left -= len(raw)
        taken += len(raw)
        if taken >= _BLOCK:
            taken = 0
            check()
        yield raw if raw.endswith(b"\n") else raw + b"\n"


def _copy(out: int, file: BinaryIO, segment: Segment, check: Check) -> None:
    offset, last = segment.start, b"\n"
    while offset < segment.end:
        block = os.pread(file.fileno(), min(_BLOCK, segment.end - offset), offset)
        if not block:
            raise OSError(f"{segment.path} has become shorter while it was read")
        write_all(out, block)
        offset, last = offset + len(block), block[-1:]
        check()
    if last != b"\n":
        write_all(out, b"\n")


def _copy_numbered(out: int, file: BinaryIO, segment: Segment, count: int, check: Check) -> int:
    batch: list[bytes] = []
    size = 0
    for raw in _lines(file, segment, check):
        batch.append(_number(raw, count))
        count += 1
        size += len(raw)
        if size >= _LINES:
            write_all(out, b"".join(batch))
            batch, size = [], 0
    write_all(out, b"".join(batch))
    return count


def _number(raw: bytes, ordinal: int) -> bytes:
    known = _NUMBER.match(raw)
    if known is not None:
        return known[1] + b'"ordinal":%d,' % ordinal + raw[known.end() :]
    line = decode_line(raw)  # its members are in another order
    return raw if line is None else encode_line(line.type, line.payload, ordinal=ordinal)


def _end_of_lines(fd: int) -> int:
    """The offset after the last whole line; a line without only its newline is whole."""
    size = end = os.fstat(fd).st_size
    tail = b""
    while end > 0:
        start = max(0, end - _LINES)
        block = os.pread(fd, end - start, start)
        at = block.rfind(b"\n")
        if at >= 0:
            end, tail = start + at + 1, block[at + 1 :] + tail
            break
        end, tail = start, block + tail
    return size if tail and decode_line(tail) is not None else end
