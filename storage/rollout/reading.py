"""Read parts of a rollout, at the cost of the parts: some turns, the model's history, single lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from pathlib import Path
from types import TracebackType
from typing import Self

from spindle.rpc.lenient import Json, mapping
from spindle.storage.rollout import records
from spindle.storage.rollout.compressed import existing, is_compressed, plain_path
from spindle.storage.rollout.heads import client_id_of, light_event, read_event
from spindle.storage.rollout.lines import Line, salvage
from spindle.storage.rollout.outline import Outline, Span, Stray
from spindle.storage.rollout.outliner import Outliner, holds
from spindle.storage.rollout.replay import RolloutReplay
from spindle.storage.rollout.scan import EVENT, Found, Scan
from spindle.storage.rollout.source import RolloutChanged, Source
from spindle.storage.rollout.straight import response_items
from spindle.storage.rollout.turns import SHOWN_EVENTS, ShownTurn, ShownTurns

_EVENTS = frozenset({EVENT})
_MESSAGES = records.encoded([records.USER_MESSAGE, records.ITEM_COMPLETED])
_TAKEN_TURNS = 1024
_TAKEN_BYTES = 64 * 1024 * 1024
_HISTORY = records.encoded([records.EVENT_MSG, records.RESPONSE_ITEM, records.COMPACTED])
_ID_LENGTH = 36  # the length of the rollout id at the end of a file's name


class OpenRollout:
    """A rollout as of its opening: later lines are not visible. Everything here blocks.

    Opening makes or extends its outline. `with_turns` says that all turns are wanted, which may then be built in the
    same pass. Raises OSError. After `rest` or `close`, the next read opens the file again, and raises RolloutChanged if
    it is another file.
    """

    def __init__(self, path: Path, outliner: Outliner, *, with_turns: bool = False) -> None:
        self.path = path
        self._outliner, self._find = outliner, outliner.find
        self._open: Source | None = Source(path, outliner.find)
        try:
            self.outline: Outline
            self.outline, self._turns = outliner.of(self._open, path, with_turns=with_turns)
            self._own, self._size = self._open.own, self._open.size
        except BaseException:
            self._open.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def again(self) -> Self:
        """A second reader of the same lines."""
        other = copy(self)
        other._open = other._turns = None
        return other

    def rest(self) -> None:
        """Close the file until the next read. May be called twice."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def close(self) -> None:
        """Close the file and drop the turns in memory. May be called twice."""
        self.rest()
        if self._turns is not None:
            self._turns = None
            self._outliner.turns_dropped(self._size)

    @property
    def end(self) -> int:
        """The offset after the last line, in the thread's own file."""
        return self.outline.end - self._own

    @property
    def _source(self) -> Source:
        if self._open is None:
            self._open = self._opened_again()
        return self._open

    def _opened_again(self) -> Source:
        """The file, which may have been appended to, moved, compressed or decompressed. Raises OSError, RolloutChanged."""
        path = existing(plain_path(self.path))
        if self._find is not None and not path.exists():
            path = self._find(plain_path(self.path).stem[-_ID_LENGTH:]) or path
        source = Source(path, self._find)
        try:
            rewritten = source.inode != self.outline.inode and is_compressed(path) == is_compressed(self.path)
            if rewritten or not holds(self.outline, source):
                raise RolloutChanged(f"{path} has been rewritten")
        except BaseException:
            source.close()
            raise
        return source

    def payload(self, span: Span | None) -> Json | None:
        """The payload of the line at a position of the outline. Raises OSError."""
        if span is None:
            return None
        line = salvage(self._source.read(span.start, span.end))
        return None if line is None else line.payload

    @property
    def token_usage(self) -> Json | None:
        """As `RolloutReplay.token_usage`. Raises OSError."""
        count = self.payload(self.outline.usage)
        return None if count is None else {**mapping(count.get("info")), "turn_id": self.outline.usage_turn}

    # -- turns

    def turns(self, numbers: Sequence[int], live_turn_id: str | None = None) -> Iterator[Json]:
        """The turns with these ascending `numbers`, in the JSON form for clients.

        Reads only the bytes of these turns, lazily, and has one turn in memory. Raises OSError, RolloutChanged.
        """
        if (turns := self._turns) is not None:
            for number in numbers:
                yield turns[number].body(turns[number].id == live_turn_id)
            return
        at, foreign, own = 0, dict[int, Stray](), dict[int, list[Stray]]()
        for stray in self.outline.strays:
            foreign[stray.span.start] = stray
            own.setdefault(stray.turn, []).append(stray)
        starts, ends = self.outline.starts, self.outline.ends
        while at < len(numbers):
            first = last = numbers[at]
            at += 1
            while at < len(numbers) and numbers[at] == last + 1 and ends[last] == starts[last + 1]:
                last, at = last + 1, at + 1
            for turn in self._neighbours(first, last, foreign, own):
                yield turn.body(turn.id == live_turn_id)

    def _neighbours(
        self, first: int, last: int, foreign: dict[int, Stray], own: dict[int, list[Stray]]
    ) -> Iterator[ShownTurn]:
        outline = self.outline
        ends, number = outline.ends, first
        shown = self._folding(number)
        scan = Scan(
            self._source,
            outline.starts[first],
            ends[last],
            wanted=_EVENTS,
            events=SHOWN_EVENTS,
            index=outline.places[first],
        )
        for found in scan:
            while found.offset >= ends[number]:
                yield self._finished(number, shown, own)
                number += 1
                shown = self._folding(number)
            if (stray := foreign.get(found.offset)) is not None and stray.turn != number:
                if stray.put:
                    shown.passed(stray.took)
                continue
            shown.feed(self._event(found), found.place)
        yield self._finished(number, shown, own)
        if number != last:
            raise RolloutChanged(f"{self.path} has been rewritten")

    def _folding(self, number: int) -> ShownTurns:
        shown = ShownTurns()
        shown.numbered = self.outline.numbered[number]
        return shown

    def _finished(self, number: int, shown: ShownTurns, own: dict[int, list[Stray]]) -> ShownTurn:
        for stray in own.get(number, ()):
            shown.numbered = stray.numbered
            line = self._found(stray)
            shown.feed(self._event(line), stray.place)
        if not shown.turns or shown.turns[0].id != self.outline.ids[number]:
            raise RolloutChanged(f"{self.path} has been rewritten")
        return shown.turns[0]

    def _found(self, stray: Stray) -> Found:
        (found,) = Scan(self._source, stray.span.start, stray.span.end, index=stray.place, in_full=True)
        return found

    def _event(self, found: Found) -> Json:
        return read_event(self._whole(found))

    def _whole(self, found: Found) -> Found:
        if found.whole:
            return found
        raw = self._source.read(found.offset, found.end)
        return found._replace(raw=raw.removesuffix(b"\n"), whole=True)

    def taken(self) -> dict[str, str]:
        """The id of the turn that has each user message with an id of its client, by that id.

        Reads the last turns, at most 64 MiB and at least one turn. Raises OSError.
        """
        outline, found = self.outline, dict[str, str]()
        count, after = len(outline.ids), outline.end - _TAKEN_BYTES
        recent = (number for number in range(max(0, count - _TAKEN_TURNS), count) if outline.starts[number] >= after)
        for number in range(next(recent, max(0, count - 1)), count):
            span = Scan(self._source, outline.starts[number], outline.ends[number], wanted=_EVENTS, events=_MESSAGES)
            for line in span:
                if (client_id := client_id_of(line)) is not None:
                    found[client_id] = outline.ids[number]
        return found

    # -- what the model is sent

    def replay(self) -> RolloutReplay:
        """The model's history, as in a `RolloutReplay` of the whole file; the turns of this replay are not usable.

        Reads from the last compaction with the whole history, and of a straight rollout only the response items. Raises
        OSError.
        """
        replay, start, place = RolloutReplay(light=True), 0, 0
        compaction = self.outline.compaction
        if self.outline.straight:
            if compaction is not None:
                start = compaction.span.end
                if (line := salvage(self._source.read(compaction.span.start, start))) is not None:
                    replay.feed(line)
            replay.history += response_items(self._source, start, self.outline.end)
            return replay
        if compaction is not None:
            start, place = compaction.span.start, compaction.place
            shown = replay.shown
            for number in range(compaction.turns):
                turn = ShownTurn(self.outline.ids[number], True, 0, None)
                turn.has_user_message = bool(self.outline.spoken[number])
                shown.adopt(turn)
            for id, spoke in compaction.rolled_back:
                turn = ShownTurn(id, True, 0, None)
                turn.has_user_message = spoke
                shown.adopt(turn)
            if compaction.open and shown.turns:
                shown.current = shown.turns[-1]
                shown.current.marked = compaction.marked
        for found in Scan(self._source, start, self.outline.end, wanted=_HISTORY, index=place):
            if found.type == EVENT:
                event = light_event(found)
                if event is None:
                    event = self._event(found)
                if event:
                    replay.feed(Line("", records.EVENT_MSG, event), found.place)
            elif (line := salvage(self._whole(found).raw)) is not None:
                replay.feed(line, found.place)
        return replay
