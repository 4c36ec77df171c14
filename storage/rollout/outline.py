"""The outline of a rollout: the positions of its turns, and the values in force at its end. One pass makes it; it is
extended as the file grows.

With it a page of turns is read from the bytes of those turns alone, and a thread continues from its last compaction. It
is small (about 70 bytes a turn) and may be lost at any time: it is rebuilt from the file.
"""

from __future__ import annotations

import time
import zlib
from array import array
from typing import Any

import orjson
from attrs import define, field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.lenient import Json
from spindle.storage.rollout import records
from spindle.storage.rollout.fold import Fold, SessionMeta
from spindle.storage.rollout.heads import LOOKED_AT, counts_tokens, light_event, read_event
from spindle.storage.rollout.lines import salvage
from spindle.storage.rollout.scan import EVENT, Found, Scan
from spindle.storage.rollout.source import Source
from spindle.storage.rollout.turns import ShownTurn

VERSION = 3
FINGERPRINT = 4096
"""Bytes at the start and before the end of a file that identify it."""

_BREATH = 64
_WANTED = records.encoded([records.EVENT_MSG, records.TURN_CONTEXT, records.COMPACTED, records.SESSION_META])
_TOKEN_COUNT = records.TOKEN_COUNT.encode()
_CONTEXT = records.TURN_CONTEXT.encode()
_COMPACTED = records.COMPACTED.encode()
_KEPT_HISTORY = b'"replacement_history":['


@frozen
class Span:
    """The bytes [start, end) of the file."""

    start: int
    end: int


@frozen
class Stray:
    """A line of a turn that stands among the lines of a later turn, or of none.

    turn: its turn (-1: a turn that was rolled back). numbered: the number of items numbered before it. took: the number
    of items it numbered. put: whether it added an item. place: see `scan.Found`.
    """

    turn: int
    span: Span
    place: int
    numbered: int
    took: int
    put: bool


@frozen
class Compaction:
    """The last compaction with the whole history for the model: its line, and the turns at that time.

    `turns` is the number of turns before it that are still shown. `rolled_back` are the turns after these that were rolled
    back later, as (id, whether it has a user message). `open` is whether the last of all these turns was running,
    `marked` whether it had a start event.
    """

    span: Span
    place: int
    turns: int
    rolled_back: tuple[tuple[str, bool], ...] = ()
    open: bool = False
    marked: bool = False


@define(eq=False)
class Outline:
    """See the module. Turns are numbered from 0, oldest first; the columns have one entry per turn.

    context_removed, settings, context_newer: see `fold.Fold`. starts, ends: the turn's bytes. places: the place of its first
    line. numbered: the number of items numbered before it. spoken: 1 if it has a user message.
    """

    inode: int = 0
    end: int = 0
    place: int = 0
    fingerprint: int = 0
    skipped: int = 0
    ids: list[str] = field(factory=lambda: list[str]())
    starts: array[int] = field(factory=lambda: array("q"))
    ends: array[int] = field(factory=lambda: array("q"))
    places: array[int] = field(factory=lambda: array("q"))
    numbered: array[int] = field(factory=lambda: array("q"))
    spoken: bytearray = field(factory=bytearray)
    strays: tuple[Stray, ...] = ()
    compaction: Compaction | None = None
    meta: Span | None = None
    meta_id: str | None = None
    context: Span | None = None
    context_removed: bool = False
    settings: Span | None = None
    context_newer: bool = False
    usage: Span | None = None
    usage_turn: str | None = None
    name: str | None = None
    cut_off: bool = False
    """Whether the last turn started and has no end."""
    straight: bool = True
    """Whether the last compaction is one with the whole history (or there is none), no turn was rolled back since, and all
    lines since have the usual start and end. Then the model's history is what that compaction kept, and the response items
    since, in order.
    """
    resume: bytes = b""
    """The other state that a later pass needs to continue from here."""

    def encode(self) -> bytes:
        """Encode for storage. `decode` is the inverse."""
        head = {
            "version": VERSION,
            "inode": self.inode,
            "end": self.end,
            "place": self.place,
            "fingerprint": self.fingerprint,
            "skipped": self.skipped,
            "turns": len(self.ids),
            "ids": "\n".join(self.ids),
            "strays": [[s.turn, s.span.start, s.span.end, s.place, s.numbered, s.took, s.put] for s in self.strays],
            "compaction": _compaction_out(self.compaction),
            "meta": _span_out(self.meta),
            "metaId": self.meta_id,
            "context": _span_out(self.context),
            "untold": self.context_removed,
            "settings": _span_out(self.settings),
            "toldSince": self.context_newer,
            "usage": _span_out(self.usage),
            "usageTurn": self.usage_turn,
            "name": self.name,
            "cutOff": self.cut_off,
            "straight": self.straight,
            "resume": len(self.resume),
        }
        encoded = orjson.dumps(head)
        columns = (self.starts, self.ends, self.places, self.numbered)
        body = b"".join((*(column.tobytes() for column in columns), bytes(self.spoken), self.resume))
        return zlib.compress(len(encoded).to_bytes(8, "little") + encoded + body, 1)

    @classmethod
    def decode(cls, data: bytes) -> Outline | None:
        """Decode the result of `encode`; None for other data, also of another version."""
        try:
            plain = zlib.decompress(data)
            size = int.from_bytes(plain[:8], "little")
            head: Json = orjson.loads(plain[8 : 8 + size])
            if head["version"] != VERSION:
                return None
            count: int = head["turns"]
            columns: list[array[int]] = []
            at = 8 + size
            for _ in range(4):
                column = array("q")
                column.frombytes(plain[at : at + 8 * count])
                columns.append(column)
                at += 8 * count
            return cls(
                inode=head["inode"],
                end=head["end"],
                place=head["place"],
                fingerprint=head["fingerprint"],
                skipped=head["skipped"],
                ids=head["ids"].split("\n") if count else [],
                starts=columns[0],
                ends=columns[1],
                places=columns[2],
                numbered=columns[3],
                spoken=bytearray(plain[at : at + count]),
                strays=tuple(Stray(s[0], Span(s[1], s[2]), *s[3:]) for s in head["strays"]),
                compaction=_compaction_in(head["compaction"]),
                meta=_span_in(head["meta"]),
                meta_id=head["metaId"],
                context=_span_in(head["context"]),
                context_removed=head["untold"],
                settings=_span_in(head["settings"]),
                context_newer=head["toldSince"],
                usage=_span_in(head["usage"]),
                usage_turn=head["usageTurn"],
                name=head["name"],
                cut_off=head["cutOff"],
                straight=head["straight"],
                resume=plain[at + count : at + count + head["resume"]],
            )
        except (zlib.error, orjson.JSONDecodeError, KeyError, ValueError, TypeError, IndexError):
            return None


def _span_out(span: Span | None) -> list[int] | None:
    return None if span is None else [span.start, span.end]


def _span_in(value: Any) -> Span | None:
    return None if value is None else Span(*value)


def _compaction_out(of: Compaction | None) -> list[Any] | None:
    if of is None:
        return None
    return [of.span.start, of.span.end, of.place, of.turns, list(of.rolled_back), of.open, of.marked]


def _compaction_in(value: Any) -> Compaction | None:
    if value is None:
        return None
    start, end, place, turns, rolled_back, running, marked = value
    return Compaction(Span(start, end), place, turns, tuple((id, spoke) for id, spoke in rolled_back), running, marked)


@define(eq=False)
class _Where:
    """The position of a turn during the pass. `end` is None while its lines may follow."""

    start: int
    place: int
    numbered: int
    end: int | None = None


class Skim:
    """A pass over a rollout that makes its outline. Blocking; use a worker thread."""

    def __init__(self, source: Source, known: Outline | None = None, *, light: bool = True) -> None:
        """Continue where `known`, an outline of this rollout, ends; without it, start from the beginning.

        Unless `light`, the turns are also built, in `turns`; this works only from the beginning.
        """
        self._source = source
        self._light = light
        self._fold = Fold(light=light)
        self._strays: list[tuple[ShownTurn, Stray]] = []
        self._owner: ShownTurn | None = None
        self._meta: Span | None = None
        # the last compaction: its line, its place, the turns at that time, whether the last was running, and marked
        self._compaction: tuple[Span, int, list[ShownTurn], bool, bool] | None = None
        self._bent = False
        self._odd = 0
        self._scan = Scan(source, wanted=_WANTED, events=LOOKED_AT)
        if known is not None:
            self._restore(known)

    def run(self) -> Outline:
        """Read to the end. Raises OSError."""
        shown = self._fold.shown
        for found in self._scan:
            if found.type == EVENT:
                if found.subtype == _TOKEN_COUNT and (counted := counts_tokens(found)) is not None:
                    if counted:
                        self._fold.spent((found.offset, found.end))
                    continue
                event = light_event(found) if self._light else None
                if event is None:
                    event = self._parsed(found)
                kind = event.get("type")
                if isinstance(kind, str) and kind in records.BESIDE_TURNS:
                    self._beside_turns(event, found)
                elif event:
                    self._turn_event(event, found, shown.numbered)
            elif found.type == _CONTEXT:
                self._fold.in_context((found.offset, found.end))
            elif found.type == _COMPACTED:
                self._compacted(found)
            else:
                self._session_meta(found)
        return self._outline()

    @property
    def turns(self) -> list[ShownTurn]:
        """The turns so far."""
        return self._fold.shown.turns

    def _parsed(self, found: Found) -> Json:
        if not found.whole:
            found = found._replace(raw=self._source.read(found.offset, found.end).removesuffix(b"\n"), whole=True)
        if not self._light:
            return read_event(found)
        line = salvage(found.raw)
        return {} if line is None else line.payload

    def _beside_turns(self, event: Json, found: Found) -> None:
        fold = self._fold
        match event["type"]:
            case records.TOKEN_COUNT:
                if event.get("info"):
                    fold.spent((found.offset, found.end))
            case records.THREAD_NAME_UPDATED:
                fold.named(event)
            case records.THREAD_SETTINGS_APPLIED:
                fold.applied((found.offset, found.end))
            case _:
                if fold.roll_back(event):
                    self._bent = True
                    self._close(found.offset)

    def _turn_event(self, event: Json, found: Found, numbered: int) -> None:
        shown = self._fold.shown
        shown.feed(event, found.place, context=self._fold.context)
        if shown.opened is not None:
            self._close(found.offset)
            shown.opened.where = _Where(found.offset, found.place, numbered)
            self._owner = shown.opened
        elif (turn := shown.touched) is not None and turn is not self._owner:
            took = shown.numbered - numbered
            put = event.get("type") not in _ENDS
            stray = Stray(-1, Span(found.offset, found.end), found.place, numbered, took, put)
            self._strays.append((turn, stray))

    def _close(self, offset: int) -> None:
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.where.end = offset

    def _compacted(self, found: Found) -> None:
        self._fold.compacted()
        self._bent = not _contains(self._source, found, _KEPT_HISTORY)
        if not self._bent:
            self._odd = self._scan.odd
            turns, current = list(self._fold.shown.turns), self._fold.shown.current
            marked = current is not None and current.marked
            span = Span(found.offset, found.end)
            self._compaction = span, found.place, turns, current is not None, marked

    def _session_meta(self, found: Found) -> None:
        meta = SessionMeta.of(self._parsed(found))
        if found.offset == self._source.own and meta is not None:
            self._fold.meta_id = meta.id  # the lines before belong to another thread, whose history this one continues
        if meta is not None and self._fold.own_meta(meta.id):
            self._meta = Span(found.offset, found.end)

    def _outline(self) -> Outline:
        fold, scan, turns = self._fold, self._scan, self._fold.shown.turns
        at = {id(turn): place for place, turn in enumerate(turns)}
        current = fold.shown.current
        return Outline(
            inode=self._source.inode,
            end=scan.end,
            place=scan.index,
            fingerprint=fingerprint(self._source, scan.end),
            skipped=scan.skipped,
            ids=[turn.id.replace("\n", " ") for turn in turns],
            starts=array("q", [turn.where.start for turn in turns]),
            ends=array("q", [scan.end if turn.where.end is None else turn.where.end for turn in turns]),
            places=array("q", [turn.where.place for turn in turns]),
            numbered=array("q", [turn.where.numbered for turn in turns]),
            spoken=bytearray(turn.has_user_message for turn in turns),
            strays=tuple(
                Stray(at.get(id(turn), -1), s.span, s.place, s.numbered, s.took, s.put) for turn, s in self._strays
            ),
            compaction=self._last_compaction(at),
            meta=self._meta,
            meta_id=fold.meta_id,
            context=_span_in(fold.context),
            context_removed=fold.context_removed,
            settings=_span_in(fold.settings),
            context_newer=fold.context_newer,
            usage=_span_in(fold.usage),
            usage_turn=fold.usage_turn,
            name=fold.name,
            cut_off=bool(turns) and turns[-1].end is None,
            straight=not self._bent and scan.odd == self._odd,
            resume=orjson.dumps(
                {
                    "numbered": fold.shown.numbered,
                    "owner": self._owner is not None,
                    "current": current is not None,
                    "open": [place for place, turn in enumerate(turns) if turn.end is None],
                    "unmarked": [place for place, turn in enumerate(turns) if not turn.marked],
                    "counts": [turn.numbered for turn in turns],
                    "before": _runs([turn.context_before for turn in turns]),
                    "contexts": _runs([turn.context for turn in turns]),
                    "reasoning": fold.shown.in_reasoning,
                }
            ),
        )

    def _last_compaction(self, at: dict[int, int]) -> Compaction | None:
        if self._compaction is None:
            return None
        span, place, turns, running, marked = self._compaction
        kept = sum(id(turn) in at for turn in turns)
        rolled_back = tuple((turn.id, turn.has_user_message) for turn in turns[kept:])
        return Compaction(span, place, kept, rolled_back, running, marked)

    def _restore(self, known: Outline) -> None:
        """Restore the state at the end of the pass that made `known`."""
        fold, shown = self._fold, self._fold.shown
        state: Json = orjson.loads(known.resume)
        still_open, unmarked = set(state["open"]), set(state["unmarked"])
        before, contexts = _unrun(state["before"]), _unrun(state["contexts"])
        last = len(known.ids) - 1
        for place, id in enumerate(known.ids):
            if place % _BREATH == 0:
                time.sleep(0)  # lets other threads run
            turn = ShownTurn(id, place not in unmarked, 0, before[place])
            turn.context = contexts[place]
            turn.end = None if place in still_open else "completed"
            turn.numbered = state["counts"][place]
            turn.has_user_message = bool(known.spoken[place])
            owned = place == last and state["owner"]
            turn.where = _Where(
                known.starts[place], known.places[place], known.numbered[place], None if owned else known.ends[place]
            )
            shown.adopt(turn)
            if owned:
                self._owner = turn
        if last >= 0 and state["current"]:
            shown.current = shown.turns[-1]
        shown.numbered = state["numbered"]
        if state["reasoning"] and self._owner is not None:
            shown.continue_reasoning(self._owner)
        removed = ShownTurn("", True, 0, None)
        self._strays = [(shown.turns[s.turn] if s.turn >= 0 else removed, s) for s in known.strays]
        if known.compaction is not None:
            of = known.compaction
            lost = [ShownTurn(id, True, 0, None) for id, _ in of.rolled_back]
            for turn, (_, spoke) in zip(lost, of.rolled_back, strict=True):
                turn.has_user_message = spoke
            self._compaction = of.span, of.place, [*shown.turns[: of.turns], *lost], of.open, of.marked
        self._bent = not known.straight
        self._meta, fold.meta_id = known.meta, known.meta_id
        fold.context_removed, fold.context_newer = known.context_removed, known.context_newer
        fold.settings = _span_out(known.settings)
        fold.context, fold.usage, fold.usage_turn, fold.name = (
            _span_out(known.context),
            _span_out(known.usage),
            known.usage_turn,
            known.name,
        )
        self._scan = Scan(self._source, known.end, wanted=_WANTED, events=LOOKED_AT, index=known.place)
        self._scan.skipped = known.skipped


# events that end a turn without adding an item
_ENDS = records.TURN_ENDS | {records.ERROR}


def _runs(values: list[Any]) -> list[list[Any]]:
    """Run-length encode the values: [[value, times], ...]"""
    runs: list[list[Any]] = []
    for value in values:
        if runs and runs[-1][0] == value:
            runs[-1][1] += 1
        else:
            runs.append([value, 1])
    return runs


def _unrun(runs: list[list[Any]]) -> list[Any]:
    return [value for value, times in runs for _ in range(times)]


def fingerprint(source: Source, end: int) -> int:
    """A checksum of the file's start and of the bytes before `end`; appending does not change it. Raises OSError."""
    first = source.read(0, min(FINGERPRINT, end))
    return zlib.crc32(source.read(max(0, end - FINGERPRINT), end), zlib.crc32(first))


def _contains(source: Source, found: Found, words: bytes) -> bool:
    if found.whole:
        return words in found.raw
    at, before, step = found.offset, b"", 1 << 20
    while at < found.end:
        block = source.read(at, min(found.end, at + step))
        if not block:
            return False
        if words in before + block:
            return True
        before, at = block[-len(words) :], at + len(block)
    return False
