"""A thread's conversation: what the model is sent next, and the rollout it is written to.

The rollout is open only while a turn runs. A thread that is loaded but idle holds no descriptor and no lock; when it
next writes it looks whether others have written in the meantime, and if so reads the conversation anew. What the model is
sent is read from the rollout when something first needs it: a thread that is resumed to be looked at never does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import orjson
import trio
from attrs import frozen

from spindle.actors.delivery.snapshot import Body, Snapshot
from spindle.actors.thread.usage import sound
from spindle.rpc.large import LARGE
from spindle.rpc.protocol.values import packed
from spindle.rpc.weighing import weigh
from spindle.storage.home import Home
from spindle.storage.rollout import records
from spindle.storage.rollout.history import with_aborted_outputs
from spindle.storage.rollout.journal import Journal, JournalError
from spindle.storage.rollout.lines import decode_line, encode_line
from spindle.storage.rollout.load import Loaded
from spindle.storage.rollout.outliner import Outliner
from spindle.storage.rollout.reading import OpenRollout
from spindle.storage.rollout.records import Entry
from spindle.storage.rollout.replay import Replay
from spindle.storage.threads.locate import newest_segment

T = TypeVar("T")


class Conversation:
    """The conversation of one thread. `path` is None for an ephemeral thread, which keeps its lines in memory."""

    def __init__(
        self,
        home: Home,
        thread_id: str,
        path: Path | None,
        meta: dict[str, Any],
        outliner: Outliner | None = None,
        limiter: trio.CapacityLimiter | None = None,
    ) -> None:
        self.path = path
        self.meta = meta
        self.paginated = meta.get("history_mode") == "paginated"
        """Whether the rollout stores items the way Codex 0.169 does (see storage/rollout/paginated)."""
        self.usage: dict[str, Any] | None = None
        self.usage_turn: str | None = None
        self.last_context: dict[str, Any] | None = None
        self.cut_off_turn: str | None = None
        self.summary: str | None = None
        """What the last compaction left in `items` in place of what it took away."""
        self.stored = False
        """Whether the rollout exists."""
        self._outliner = outliner if outliner is not None else Outliner()
        self._items: list[bytes] | None = []
        self._lines: list[bytes] | None = [] if path is None else None
        self._limiter = limiter
        self._home = home
        self._lock_file = home.lock_file(thread_id)
        self._journal = None if path is None else self._journal_of(path)
        self._written = 0
        self._unanswered: Sequence[bytes] = ()
        self._keeping: trio.Event | None = None
        self._behind: list[_Batch] = []
        """What has been recorded while something large is being written."""
        self._end_behind = False

    @property
    def journal(self) -> Journal | None:
        """The rollout's journal; None for an ephemeral thread."""
        return self._journal

    @property
    def is_open(self) -> bool:
        """Whether the rollout can be appended to: between `begin` and `end`."""
        return self.stored and not self._end_behind and (self._journal is None or self._journal.is_open)

    @property
    def items(self) -> list[bytes]:
        """What the model is sent, item by item; there from `begin` on."""
        if self._items is None:
            raise RuntimeError("the history has not been loaded: begin() does it")
        return self._items

    @items.setter
    def items(self, items: list[bytes]) -> None:
        self._items = items

    def take(self, loaded: Loaded) -> None:
        """Continue from what a rollout that has been read whole says."""
        self._continue(loaded.replay)
        if self._journal is not None:
            self._journal.expect(loaded.end, loaded.inode)

    def adopt(self, lines: list[bytes], replay: Replay) -> None:
        """Continue, in memory, from lines that `replay` has taken in."""
        self._lines = lines
        self._continue(replay)

    def _continue(self, replay: Replay) -> None:
        turns = replay.shown.turns if replay.ended_interrupted else []
        meta = None if replay.meta is None else replay.meta.raw
        self._stand_at(meta, replay.told_context, replay.token_usage, turns[-1].id if turns else None)
        self._take_history(_History.of(replay))

    async def reload(self) -> None:
        """Read the rollout anew: a line that was appended changes what came before it. Not while it is open."""
        if self._journal is not None:
            try:
                await self._reading(self.follow)
            except OSError:
                self._journal.expect(0, -1)  # what is held no longer holds: read it when it is next opened
                raise

    async def go_on_in(self, path: Path) -> None:
        """The thread has been reverted: continue from another file. Not while the rollout is open. Raises OSError."""
        self.path, self._journal = path, self._journal_of(path)
        await self.reload()

    def _journal_of(self, path: Path) -> Journal:
        return Journal(path, self._lock_file, numbered=self.paginated)

    def follow(self, rollout: OpenRollout) -> None:
        """Continue from what the end of a rollout says; its history is loaded later. Blocking."""
        outline = rollout.outline
        cut_off = outline.ids[-1] if outline.cut_off else None
        context = None if outline.untold else rollout.payload(outline.context)
        self._stand_at(rollout.payload(outline.meta), context, rollout.token_usage, cut_off)
        self._items, self._unanswered = None, ()
        if self._journal is not None:
            self._journal.expect(rollout.end, outline.inode)

    def _stand_at(
        self,
        meta: dict[str, Any] | None,
        context: dict[str, Any] | None,
        usage: dict[str, Any] | None,
        cut_off: str | None,
    ) -> None:
        self.stored = True
        if meta is not None:
            self.meta = dict(meta)
        self.last_context, self.cut_off_turn = context, cut_off
        self.usage, self.usage_turn = (sound(usage), usage.get("turn_id")) if usage else (None, None)

    def _take_history(self, history: _History) -> None:
        self.summary, self._items, self._unanswered = history.summary, history.items, history.unanswered

    async def begin(self, *, history: bool = True) -> bool:
        """Open the rollout for writing, creating it if it is new; True if others had written to it.

        With `history` what the model is sent is loaded too, unless it is already; without, calls that a crash left without
        an answer stay so. Raises WriterBusy, JournalError, OSError.
        """
        await self._kept()
        if self._journal is None:
            if not self.stored:
                self.stored = True
                self._append([encode_line(*records.session_meta(self.meta))])
            return False
        journal, new = self._journal, not self.stored
        opened = await self._in_thread(journal.begin, [encode_line(*records.session_meta(self.meta))] if new else [])
        self.stored = True
        changed = bool(opened.foreign) or opened.replaced
        try:
            if self.paginated and not new and await self._begin_newer(journal.path):
                changed = True
            if changed:
                await self._reading(self.follow)
            if history and self._items is None:
                self._take_history(await self._reading(lambda rollout: _History.of(rollout.replay())))
            if self._unanswered:
                # the calls that a crash left without an answer get theirs in the file too
                self._append([encode_line(records.RESPONSE_ITEM, orjson.Fragment(item)) for item in self._unanswered])
                self._unanswered = ()
        except BaseException:
            self.end()
            raise
        return changed

    async def _begin_newer(self, path: Path) -> bool:
        """Open the file in which the thread goes on if another program has reverted it meanwhile."""
        newest = await self._in_thread(newest_segment, self._home, path)
        if newest == path:
            return False
        self.end()
        self.path, self._journal = newest, self._journal_of(newest)
        await self._in_thread(self._journal.begin)
        return True

    def record(self, entries: Sequence[Entry]) -> None:
        """Append lines; response items become part of what the model is sent, a `turn_context` what it has been told.

        While something large is being kept, they come behind it. Raises JournalError, and TypeError or ValueError for what
        cannot be encoded; nothing has changed then.
        """
        batch = _Batch.of(entries)
        if self._keeping is None:
            self._append(batch.lines)
            self._recorded(batch)
        elif self._end_behind:
            raise JournalError("the rollout is not open")
        else:
            self._behind.append(batch)

    async def keep(self, entries: Sequence[Entry], then: Callable[[], None] | None = None) -> None:
        """As `record`, but what is large is encoded and written in a worker thread; once begun it is not cancelled.

        `then` is called when it is recorded, and before anything else is.
        """
        if weigh(entries, LARGE) < LARGE and self._keeping is None:
            self.record(entries)
            if then is not None:
                then()
            return
        with trio.CancelScope(shield=True):
            await self._kept()
            self._keeping = trio.Event()
            try:
                await self._write_apart(partial(_Batch.of, entries))
                if then is not None:
                    then()
            finally:
                try:
                    await self._catch_up()
                finally:
                    kept, self._keeping, self._behind = self._keeping, None, []
                    kept.set()
                    if self._end_behind:
                        self._end_behind = False
                        self.end()

    async def _catch_up(self) -> None:
        while self._behind:
            behind, self._behind = self._behind, []
            await self._write_apart(partial(_Batch.joined, behind))

    async def _write_apart(self, encode: Callable[[], _Batch]) -> None:
        def work() -> _Batch:
            batch = encode()
            self._write(batch.lines)
            return batch

        try:
            self._recorded(await self._in_thread(work))
        finally:
            self._written += 1

    def _recorded(self, batch: _Batch) -> None:
        if self._items is not None:
            self._items += batch.items
        if batch.context is not None:
            self.last_context = batch.context

    async def _kept(self) -> None:
        """Wait for what is being written."""
        while self._keeping is not None:
            await self._keeping.wait()

    def replace(self, items: Sequence[bytes], summary: str) -> None:
        """Let the model see these items from now on; a recorded line says so. It has to be told its context again."""
        self.items, self.summary = list(items), summary
        self.last_context = None

    def end(self) -> None:
        """Close the rollout until the next turn, behind what is being written."""
        if self._keeping is not None:
            self._end_behind = True
        elif self._journal is not None:
            self._journal.end()

    async def close(self) -> None:
        """Nothing more is asked of it: let go of the rollout, and note where its turns are for who opens it next."""
        await self._kept()
        self.end()
        if self._journal is not None and self._outliner.is_long(self._journal.path):
            await self._in_thread(self._outliner.settle, self._journal.path)

    async def snapshot(self, live_turn_id: str | None, *, whole: bool = False) -> Snapshot:
        """The shown turns as they are when this returns, yet to be read; to be closed. Raises OSError.

        `whole`: all of them are going to be read.
        """
        await self._kept()
        if self._journal is None:
            return Snapshot.of(await self._unchanged(_Kept(self._lines or []).bodies, live_turn_id))
        if not self.stored:
            return Snapshot.of([])
        return Snapshot.stored(await self._opened(with_turns=whole), live_turn_id)

    async def _opened(self, *, with_turns: bool = False) -> OpenRollout:
        """The rollout, open for reading. When this returns nothing newer has been recorded."""
        assert self._journal is not None
        opening = partial(OpenRollout, self._journal.path, self._outliner, with_turns=with_turns)
        return await self._unchanged(opening, drop=OpenRollout.close)

    async def _unchanged(self, read: Callable[..., T], *args: Any, drop: Callable[[T], object] = bool) -> T:
        """What `read` finds when nothing is recorded meanwhile; what it has found otherwise is dropped."""
        for _ in range(4):
            written = self._written
            found = await self._in_thread(read, *args)
            if written == self._written:
                return found
            drop(found)
        return read(*args)  # a turn that writes all the time: rather hold it up than miss a line

    async def _reading(self, read: Callable[[OpenRollout], T]) -> T:
        rollout = await self._opened()
        try:
            return await self._in_thread(read, rollout)
        finally:
            rollout.close()

    async def _in_thread(self, work: Callable[..., T], *args: Any) -> T:
        return await trio.to_thread.run_sync(work, *args, limiter=self._limiter)

    def _append(self, lines: list[bytes]) -> None:
        self._written += 1
        self._write(lines)

    def _write(self, lines: list[bytes]) -> None:
        if self._journal is not None:
            self._journal.append(lines)
        elif self._lines is not None:
            self._lines += lines


@frozen
class _Batch:
    """Entries, encoded: the lines, the response items among them, and the last `turn_context`."""

    lines: list[bytes]
    items: list[bytes]
    context: dict[str, Any] | None

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> _Batch:
        """Raises TypeError, ValueError."""
        lines: list[bytes] = []
        items: list[bytes] = []
        context = None
        for kind, payload in entries:
            if kind == records.RESPONSE_ITEM:
                encoded = packed(orjson.dumps(payload))
                items.append(encoded)
                lines.append(encode_line(kind, orjson.Fragment(encoded)))
            else:
                lines.append(encode_line(kind, payload))
                context = payload if kind == records.TURN_CONTEXT else context
        return cls(lines, items, context)

    @classmethod
    def joined(cls, batches: Sequence[_Batch]) -> _Batch:
        """One behind the other."""
        contexts = [batch.context for batch in batches if batch.context is not None]
        lines = [line for batch in batches for line in batch.lines]
        return cls(lines, [item for batch in batches for item in batch.items], contexts[-1] if contexts else None)


@frozen
class _History:
    """What the model is sent next, encoded; `unanswered` are the outputs in it that the file lacks."""

    summary: str | None
    items: list[bytes]
    unanswered: list[bytes]

    @classmethod
    def of(cls, replay: Replay) -> _History:
        """Blocking."""
        known = {id(item) for item in replay.history}
        added = [item.json for item in with_aborted_outputs(replay.history) if id(item) not in known]
        return cls(replay.summary, [item.json for item in replay.completed_history()], added)


class _Kept:
    """What a rollout in memory shows; each time it is asked, what has been added is read."""

    def __init__(self, lines: list[bytes]) -> None:
        self._lines, self._read, self._replay = lines, 0, Replay()

    def bodies(self, live_turn_id: str | None) -> list[Body]:
        """The shown turns. Blocking."""
        new = self._lines[self._read :]
        self._read += len(new)
        for raw in new:
            if line := decode_line(raw):
                self._replay.feed(line)
        return [turn.body(turn.id == live_turn_id) for turn in self._replay.shown.turns]
