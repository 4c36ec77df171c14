"""A thread's conversation: the history that the model is sent, and the rollout that holds it.

The rollout is open only while a turn runs. An idle thread holds no descriptor and no lock. When it next writes, it checks
whether another process has written meanwhile, and reloads the conversation if so. The history is read from the rollout when
it is first needed: a thread that is only read by clients never needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import orjson
import trio

from spindle.actors.delivery.snapshot import Body, Snapshot
from spindle.actors.thread.usage import sound
from spindle.rpc.large import LARGE, apart
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.values import packed
from spindle.rpc.weighing import weigh
from spindle.storage.home import Home
from spindle.storage.rollout import records
from spindle.storage.rollout.history import stored, with_aborted_outputs
from spindle.storage.rollout.journal import Journal, JournalError
from spindle.storage.rollout.lines import decode_line, encode_line
from spindle.storage.rollout.load import Loaded
from spindle.storage.rollout.outliner import Outliner
from spindle.storage.rollout.reading import OpenRollout
from spindle.storage.rollout.records import Entry
from spindle.storage.rollout.replay import RolloutReplay
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
        """Whether the rollout stores items as Codex 0.169 does (see storage/rollout/paginated)."""
        self.usage: dict[str, Any] | None = None
        self.usage_turn: str | None = None
        self.last_context: dict[str, Any] | None = None
        self.cut_off_turn: str | None = None
        self.summary: str | None = None
        """The summary that the last compaction put into `items`."""
        self.stored = False
        """Whether the rollout exists."""
        self._taken: dict[str, str] | None = None
        """The turn of each recent message that has an id of its client; None if the rollout has not been asked yet."""
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
        """Entries recorded while a large one is being written."""
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
        """The history, item by item. It is loaded from `begin` on."""
        if self._items is None:
            raise RuntimeError("the history has not been loaded yet: call begin() first")
        return self._items

    @items.setter
    def items(self, items: list[bytes]) -> None:
        self._items = items

    async def copied(self) -> list[bytes]:
        """A copy of the history, loaded or not, in which each call has an output. Raises OSError, RolloutChanged."""
        if self._items is None:
            return (await self._reading(lambda rollout: _History.of(rollout.replay()))).items
        items = list(self._items)
        return await apart(sum(map(len, items)), self._limiter, _answered, items)

    def take(self, loaded: Loaded) -> None:
        """Continue from a rollout that has been read whole."""
        self._continue(loaded.replay)
        if self._journal is not None:
            self._journal.expect(loaded.end, loaded.inode)

    def adopt(self, lines: list[bytes], replay: RolloutReplay) -> None:
        """Continue, in memory, from lines that `replay` has read."""
        self._lines = lines
        self._continue(replay)

    def _continue(self, replay: RolloutReplay) -> None:
        turns = replay.shown.turns if replay.ended_interrupted else []
        meta = None if replay.meta is None else replay.meta.raw
        self._stand_at(meta, replay.context_in_history, replay.token_usage, turns[-1].id if turns else None)
        self._take_history(_History.of(replay))

    async def reload(self) -> None:
        """Reload from the rollout: an appended line changes what comes before it. Not while the rollout is open."""
        if self._journal is not None:
            try:
                await self._reading(self.follow)
            except OSError:
                self._journal.expect(0, -1)  # memory is out of date: reload when it is next opened
                raise

    async def go_on_in(self, path: Path) -> None:
        """Continue in another file, after a revert. Not while the rollout is open. Raises OSError."""
        self.path, self._journal = path, self._journal_of(path)
        await self.reload()

    def _journal_of(self, path: Path) -> Journal:
        return Journal(path, self._lock_file, numbered=self.paginated)

    def follow(self, rollout: OpenRollout) -> None:
        """Continue from the end of a rollout. Its history is loaded later. Blocking."""
        outline = rollout.outline
        cut_off = outline.ids[-1] if outline.cut_off else None
        context = None if outline.context_removed else rollout.payload(outline.context)
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
        self.stored, self._taken = True, None
        if meta is not None:
            self.meta = dict(meta)
        self.last_context, self.cut_off_turn = context, cut_off
        self.usage, self.usage_turn = (sound(usage), usage.get("turn_id")) if usage else (None, None)

    def _take_history(self, history: _History) -> None:
        self.summary, self._items, self._unanswered = history.summary, history.items, history.unanswered

    async def begin(self, *, history: bool = True, pending: Collection[str] = ()) -> bool:
        """Open the rollout for writing, creating it if it is new. Returns whether another process had written to it.

        A history that is loaded has an output for each call, except for those that are `pending`.

        With `history` the history is loaded too, if it is not yet. Without, calls that a crash left without an output stay
        without one. Raises WriterBusy, JournalError, OSError.
        """
        await self._kept()
        if self._journal is None:
            if not self.stored:
                self.stored = True
                self._append([encode_line(*records.session_meta(self.meta))])
            return False
        journal, new, changed = self._journal, not self.stored, False
        if new or not journal.begin_at_once():
            opened = await self._in_thread(journal.begin, [encode_line(*records.session_meta(self.meta))] if new else [])
            changed = bool(opened.foreign) or opened.replaced
        self.stored = True
        try:
            if self.paginated and not new and await self._begin_newer(journal.path):
                changed = True
            if changed:
                await self._reading(self.follow)
            if history and self._items is None:
                self._take_history(await self._reading(lambda rollout: _History.of(rollout.replay(), pending)))
            if self._unanswered:
                # calls that a crash left without an output get one in the file too
                self._append([encode_line(records.RESPONSE_ITEM, orjson.Fragment(item)) for item in self._unanswered])
                self._unanswered = ()
        except BaseException:
            self.end()
            raise
        return changed

    async def _begin_newer(self, path: Path) -> bool:
        """If another program has reverted the thread meanwhile, open the file in which it continues."""
        newest = await self._in_thread(newest_segment, self._home, path)
        if newest == path:
            return False
        self.end()
        self.path, self._journal = newest, self._journal_of(newest)
        await self._in_thread(self._journal.begin)
        return True

    def record(self, entries: Sequence[Entry]) -> None:
        """Append entries. Response items join the history; a `turn_context` is what the model knows of its context.

        While a large entry is being written, they come behind it. Raises JournalError, and TypeError or ValueError for what
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
        """As `record`, but large entries are encoded and written in a worker thread. A write that has begun is not cancelled.

        `then` is called when the entries are recorded, before any others are.
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
        """Wait until a large entry is written."""
        while self._keeping is not None:
            await self._keeping.wait()

    def replace(self, items: Sequence[bytes], summary: str) -> None:
        """Replace the history, as a recorded line says. The model has to get its context again."""
        self.items, self.summary = list(items), summary
        self.last_context = None

    def end(self) -> None:
        """Close the rollout until the next turn, when a large entry is written."""
        if self._keeping is not None:
            self._end_behind = True
        elif self._journal is not None:
            self._journal.end()

    async def close(self) -> None:
        """The last call: close the rollout, and store the outline of a long one for the next load."""
        await self._kept()
        self.end()
        if self._journal is not None and self._outliner.is_long(self._journal.path):
            await self._in_thread(self._outliner.settle, self._journal.path)

    async def turn_of(self, client_id: str) -> str | None:
        """The turn in the record that took the message with this id of its client; None if no recent one did."""
        if self._taken is None or not await self._is_current():
            self._taken = await self._recently_taken()
        return self._taken.get(client_id)

    async def _is_current(self) -> bool:
        return self.is_open or self._journal is None or await self._in_thread(self._journal.is_current)

    async def _recently_taken(self) -> dict[str, str]:
        if not self.stored:
            return {}
        if self._journal is not None:
            return await self._reading(OpenRollout.taken)
        bodies = await self._in_thread(_Kept(self._lines or []).bodies, None)
        items = ((item, body["id"]) for body in bodies for item in body["items"])
        return {item["clientId"]: turn for item, turn in items if item.get("clientId") is not None}

    def took(self, turn_id: str, client_ids: Iterable[str]) -> None:
        """A turn, whose record ends, took the messages with these ids."""
        if self._taken is not None:
            self._taken |= dict.fromkeys(client_ids, turn_id)

    async def snapshot(self, live_turn_id: str | None, *, whole: bool = False) -> Snapshot:
        """The shown turns as they are when this returns. They are read later, and the caller closes the snapshot.

        `whole`: all of them will be read. Raises OSError.
        """
        await self._kept()
        if self._journal is None:
            return Snapshot.of(await self._unchanged(_Kept(self._lines or []).bodies, live_turn_id))
        if not self.stored:
            return Snapshot.of([])
        return Snapshot.stored(await self._opened(with_turns=whole), live_turn_id)

    async def _opened(self, *, with_turns: bool = False) -> OpenRollout:
        """The rollout, open for reading. It has everything that is recorded when this returns."""
        assert self._journal is not None
        opening = partial(OpenRollout, self._journal.path, self._outliner, with_turns=with_turns)
        return await self._unchanged(opening, drop=OpenRollout.close)

    async def _unchanged(self, read: Callable[..., T], *args: Any, drop: Callable[[T], object] = bool) -> T:
        """The result of `read` while nothing is recorded. A result that came too late is passed to `drop`."""
        for _ in range(4):
            written = self._written
            found = await self._in_thread(read, *args)
            if written == self._written:
                return found
            drop(found)
        return read(*args)  # a turn writes all the time: block it rather than miss a line

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
    """Encoded entries: the lines, the response items among them, and the last `turn_context`."""

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
        """The batches in one."""
        contexts = [batch.context for batch in batches if batch.context is not None]
        lines = [line for batch in batches for line in batch.lines]
        return cls(lines, [item for batch in batches for item in batch.items], contexts[-1] if contexts else None)


@frozen
class _History:
    """The history, encoded. `unanswered` are the outputs in it that the file lacks."""

    summary: str | None
    items: list[bytes]
    unanswered: list[bytes]

    @classmethod
    def of(cls, replay: RolloutReplay, pending: Collection[str] = ()) -> _History:
        """Blocking."""
        known, completed = set(map(id, replay.history)), replay.completed_history(pending)
        added = [item.json for item in completed if id(item) not in known]
        return cls(replay.summary, [item.json for item in completed], added)


def _answered(items: list[bytes]) -> list[bytes]:
    found = [item for raw in items if (item := stored(orjson.loads(raw))) is not None]
    return [item.json for item in with_aborted_outputs(found)]


class _Kept:
    """The shown turns of a rollout in memory. Each call reads the lines that are new."""

    def __init__(self, lines: list[bytes]) -> None:
        self._lines, self._read, self._replay = lines, 0, RolloutReplay()

    def bodies(self, live_turn_id: str | None) -> list[Body]:
        """The shown turns. Blocking."""
        new = self._lines[self._read :]
        self._read += len(new)
        for raw in new:
            if line := decode_line(raw):
                self._replay.feed(line)
        return [turn.body(turn.id == live_turn_id) for turn in self._replay.shown.turns]
