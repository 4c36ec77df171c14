"""A thread's conversation: what the model is sent next, and the rollout it is written to.

The rollout is open only while a turn runs. A thread that is loaded but idle holds no descriptor and no lock; when it
next writes it looks whether others have written in the meantime, and if so reads the conversation anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import trio

from spindle.actors.turn.host import Entry
from spindle.rpc.protocol.turns import Turn
from spindle.storage.home import Home
from spindle.storage.rollout.history import with_aborted_outputs
from spindle.storage.rollout.journal import Journal
from spindle.storage.rollout.lines import decode_line, encode_line
from spindle.storage.rollout.load import Loaded, load
from spindle.storage.rollout.replay import Replay


class Conversation:
    """The conversation of one thread. `path` is None for an ephemeral thread, which keeps its lines in memory."""

    def __init__(self, home: Home, thread_id: str, path: Path | None, meta: dict[str, Any]) -> None:
        self.path = path
        self.meta = meta
        self.paginated = meta.get("history_mode") == "paginated"
        """Whether the rollout stores items the way Codex 0.169 does (see storage/rollout/paginated)."""
        self.items: list[bytes] = []
        self.usage: dict[str, Any] | None = None
        self.usage_turn: str | None = None
        self.last_context: dict[str, Any] | None = None
        self.cut_off_turn: str | None = None
        self.summary: str | None = None
        """What the last compaction left in `items` in place of what it took away."""
        self.stored = False
        """Whether the rollout exists."""
        self._lines: list[bytes] | None = [] if path is None else None
        self._journal = None if path is None else Journal(path, home.lock_file(thread_id), numbered=self.paginated)
        self._written = 0
        self._unanswered: Sequence[bytes] = ()

    @property
    def journal(self) -> Journal | None:
        """The rollout's journal; None for an ephemeral thread."""
        return self._journal

    @property
    def is_open(self) -> bool:
        """Whether the rollout can be appended to: between `begin` and `end`."""
        return self.stored and (self._journal is None or self._journal.is_open)

    def take(self, loaded: Loaded) -> None:
        """Continue from what a rollout says."""
        self._continue(loaded.replay)
        if self._journal is not None:
            self._journal.expect(loaded.end, loaded.inode)

    def adopt(self, lines: list[bytes], replay: Replay) -> None:
        """Continue, in memory, from lines that `replay` has taken in."""
        self._lines = lines
        self._continue(replay)

    def _continue(self, replay: Replay) -> None:
        self.stored = True
        if replay.meta is not None:
            self.meta = dict(replay.meta.raw)
        self.items = [item.json for item in replay.completed_history()]
        self.last_context = replay.told_context
        self.summary = replay.summary
        self.usage = replay.token_usage
        self.usage_turn = self.usage.get("turn_id") if self.usage else None
        turns = replay.turns() if replay.ended_interrupted else []
        self.cut_off_turn = turns[-1].id if turns else None
        answered = {id(item) for item in replay.history}
        self._unanswered = [item.json for item in with_aborted_outputs(replay.history) if id(item) not in answered]

    async def reload(self) -> None:
        """Read the rollout anew: a line that was appended changes what came before it. Not while it is open."""
        if self._journal is not None:
            try:
                self.take(await trio.to_thread.run_sync(load, self._journal.path))
            except OSError:
                self._journal.expect(0, -1)  # what is held no longer holds: read it when it is next opened
                raise

    async def begin(self) -> bool:
        """Open the rollout for writing, creating it if it is new; True if others had written to it.

        Raises WriterBusy, JournalError.
        """
        if self._journal is None:
            if not self.stored:
                self.stored = True
                self._append([encode_line("session_meta", self.meta)])
            return False
        journal, new = self._journal, not self.stored
        opened = await trio.to_thread.run_sync(journal.begin, [encode_line("session_meta", self.meta)] if new else [])
        self.stored = True
        changed = bool(opened.foreign) or opened.replaced
        if changed:
            self.take(await trio.to_thread.run_sync(load, journal.path))
        if self._unanswered:
            # the calls that a crash left without an answer get theirs in the file too
            self._append([encode_line("response_item", orjson.Fragment(item)) for item in self._unanswered])
            self._unanswered = ()
        return changed

    def record(self, entries: Sequence[Entry]) -> None:
        """Append lines; response items also become part of what the model is sent. Raises JournalError."""
        lines: list[bytes] = []
        for kind, payload in entries:
            if kind == "response_item":
                encoded = orjson.dumps(payload)
                self.items.append(encoded)
                lines.append(encode_line(kind, orjson.Fragment(encoded)))
            else:
                lines.append(encode_line(kind, payload))
        self._append(lines)

    def replace(self, items: Sequence[bytes], summary: str) -> None:
        """Let the model see these items from now on; a recorded line says so. It has to be told its context again."""
        self.items, self.summary = list(items), summary
        self.last_context = None

    def end(self) -> None:
        """Close the rollout until the next turn."""
        if self._journal is not None:
            self._journal.end()

    async def turns(self, live_turn_id: str | None) -> list[Turn]:
        """The shown turns, read from the rollout. When this returns nothing newer has been recorded."""
        if self._journal is None:
            replay = Replay()
            for raw in self._lines or ():
                if line := decode_line(raw):
                    replay.feed(line)
            return replay.turns(live_turn_id)
        if not self.stored:
            return []
        path = self._journal.path
        for _ in range(4):
            written = self._written
            loaded = await trio.to_thread.run_sync(load, path)
            if written == self._written:
                break
        else:
            loaded = load(path)  # a turn that writes all the time: rather hold it up once than miss a line
        return loaded.replay.turns(live_turn_id)

    def _append(self, lines: list[bytes]) -> None:
        self._written += 1
        if self._journal is not None:
            self._journal.append(lines)
        elif self._lines is not None:
            self._lines += lines
