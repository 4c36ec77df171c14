"""Notice changes of the skills that clients have listed. Nothing is watched before the first list."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

import trio

from spindle.actors.services.skills import Listed, SkillCatalog
from spindle.actors.services.watches import Watches
from spindle.actors.tasks.boundary import start_apart
from spindle.storage.skills import FoundSkills
from spindle.storage.watching import Watched

LISTS: Final = 64
"""Lists that are kept up to date: those that were asked for last."""
SETTLE: Final = 1.0
"""Seconds between two searches of the disk. After folders are watched there is one more, for what changed just before."""
REST: Final = 20
"""So many times as long as a search took, nothing is searched: large folders that change all the time keep no core busy."""


class SkillChanges:
    """Keeps listed skills up to date, and announces changes."""

    def __init__(
        self, catalog: SkillCatalog, watches: Watches, nursery: trio.Nursery, announce: Callable[[], None]
    ) -> None:
        """`nursery` runs what waits for changes."""
        self._catalog = catalog
        self._watches = watches
        self._nursery = nursery
        self._announce = announce
        self._lists: OrderedDict[Listed, FoundSkills] = OrderedDict()
        self._watched: dict[str, Watched] = {}
        self._changed: set[str] = set()
        self._stale = False
        self._wake: trio.Event | None = None
        self._took = 0.0

    def listed(self, listed: Listed, found: FoundSkills) -> None:
        """A client was shown these skills, and is notified when they change."""
        known = listed in self._lists
        self._lists[listed] = found
        self._lists.move_to_end(listed)
        if len(self._lists) > LISTS:
            self._lists.popitem(last=False)
        if self._wake is None:
            self._wake = trio.Event()
            start_apart(self._nursery, "watching skills", self._run)
        if not known:
            self._wake.set()

    def forget(self) -> None:
        """Clients know that all lists may be different: search the disk again."""
        self._stale = True
        if self._wake is not None:
            self._wake.set()

    async def _run(self) -> None:
        try:
            while True:
                assert self._wake is not None
                await self._wake.wait()
                self._wake = trio.Event()
                if self._changed or self._stale:
                    await self._search()
                    await trio.sleep(max(SETTLE, REST * self._took))
                while await self._watch():
                    await trio.sleep(max(SETTLE, REST * self._took))
                    await self._search()
        finally:
            for watched in self._watched.values():
                self._watches.drop(watched)

    async def _search(self) -> None:
        """Search the disk again, and announce what is different."""
        changed, self._changed = self._changed, set()
        known, self._stale = self._stale, False
        before = dict(self._lists)
        began = trio.current_time()
        found = await trio.to_thread.run_sync(self._search_all, list(before), abandon_on_cancel=True)
        self._took = trio.current_time() - began
        self._lists.update((listed, new) for listed, new in found.items() if listed in self._lists)
        if (found != before and not known) or any(os.path.basename(path) == "SKILL.md" for path in changed):
            self._announce()

    def _search_all(self, lists: Sequence[Listed]) -> dict[Listed, FoundSkills]:
        return {listed: self._catalog.search(listed) for listed in lists}

    async def _watch(self) -> bool:
        """Watch the folders of all lists, and no others. Whether there are new ones."""
        folders = {os.fspath(folder) for found in self._lists.values() for folder in found.folders}
        for gone in self._watched.keys() - folders:
            self._watches.drop(self._watched.pop(gone))
        new = folders - self._watched.keys()
        for folder in new:
            watched = self._watched[folder] = Watched(folder)
            try:
                await self._watches.add(watched, self._notify)
            except OSError:  # the system has no room: what is in this folder is found by the next forced list
                self._watches.drop(watched)
        return bool(new)

    def _notify(self, paths: Sequence[str]) -> None:
        self._changed.update(paths)
        if self._wake is not None:
            self._wake.set()
