"""A turn that waits for an answer, in the state store: written before clients are asked, removed before the answer is used.

So a question that was asked and not answered can be asked again by a later process, and an answer is used at most once.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import trio

from spindle.storage.rollout.journal import JournalError
from spindle.storage.state import StateStore, StateUnavailable
from spindle.storage.state.open_turns import forget, keep, take

log = logging.getLogger("spindle")


class WaitingTurn:
    """What is stored of one turn while a question of it is open.

    `describe` returns what the turn needs to go on, as it is at that moment; `sync` has the rollout on disk. `stopping` says
    whether the turn was interrupted or suspended, or has ended: its row is then left as it is.
    """

    def __init__(
        self,
        store: StateStore,
        thread_id: str,
        turn_id: str,
        describe: Callable[[], bytes],
        sync: Callable[[], Awaitable[None]],
        stopping: Callable[[], bool],
        *,
        resumed: bool = False,
    ) -> None:
        self._store, self._thread_id, self._turn_id = store, thread_id, turn_id
        self._describe, self._sync, self._stopping = describe, sync, stopping
        self.resumed = resumed
        """Whether the turn was suspended, and has not been claimed yet."""
        self._open = 1 if resumed else 0
        self._stored = resumed
        self.repeats: set[str] = set()
        """The calls that ask the open questions, and have done nothing yet."""

    @property
    def stored(self) -> bool:
        """Whether the turn can go on in a later process: a question is open, and all that is needed is on disk."""
        return self._open > 0 and self._stored

    @asynccontextmanager
    async def question(self, repeats: str | None) -> AsyncGenerator[None]:
        """A question is asked inside the block. `repeats` is that of `ToolHost.ask`."""
        self._open += 1
        if repeats is not None:
            self.repeats.add(repeats)
        try:
            await self.save()
            yield
        finally:
            self._open -= 1
            self.repeats.discard(repeats or "")
            if not self._stopping():
                with trio.CancelScope(shield=True):
                    await self.save()

    async def save(self) -> None:
        """Store the turn as it is now, or remove it if no question is open. A failure is logged: the turn goes on."""
        try:
            if self._open:
                await self._sync()
                kept = partial(keep, thread_id=self._thread_id, turn_id=self._turn_id, body=self._describe())
                await self._store.change(kept)
                self._stored = True
            elif self._stored:
                await self._store.change(partial(forget, thread_id=self._thread_id, turn_id=self._turn_id))
                self._stored = False
        except (StateUnavailable, JournalError, OSError) as error:
            log.warning("thread %s: an open question is not kept: %s", self._thread_id, error)

    async def claim(self) -> bytes | None:
        """Remove what is stored of a resumed turn, and return it: from now on its calls may act. Raises StateUnavailable."""
        body = await self._store.change(partial(take, thread_id=self._thread_id, turn_id=self._turn_id))
        self.resumed = False
        self._open -= 1
        self._stored = self._open > 0
        return body

    async def end(self) -> None:
        """The turn has ended, and its end is recorded: nothing is kept of it."""
        self._open = 0
        await self.save()
