"""Lists of models from providers (`lists_models` in their table), requested in the background.

A list is fresh for `FRESH` seconds. After that it is requested again, while turns use the old one. Only a turn without any list
waits for one, at most `PATIENCE` seconds. A provider that fails is not asked again for `AGAIN` seconds, and turns run as if it
had no list.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import trio
from attrs import define, evolve, field

from spindle.actors.services.models import Models
from spindle.actors.tasks.boundary import start_apart
from spindle.rpc.model.interface import ListsModels, ModelError
from spindle.storage.home import Home
from spindle.storage.model_lists import ModelList, keep_list, read_list, usable

if TYPE_CHECKING:
    from spindle.storage.config import Config

log = logging.getLogger("spindle")

FRESH: Final = 300.0
"""Seconds, as in Codex 0.124."""
AGAIN: Final = 60.0
"""Seconds before a provider that failed is asked again."""
PATIENCE: Final = 1.0
"""Seconds that a turn waits for the first list of a provider."""


@define(eq=False)
class _Known:
    lister: ListsModels
    key: str
    kept: ModelList | None = None
    failed_at: float | None = None
    looked: trio.Event = field(factory=trio.Event)
    """Set when the list on disk has been read."""
    asking: trio.Event | None = None
    """Set when the request that is under way has ended, well or not; None if there is none."""


class ModelLists:
    """The lists of one runtime's providers. Without a nursery no provider is asked."""

    def __init__(
        self,
        home: Home,
        models: Models,
        version: str,
        background: trio.Nursery | None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._home, self._models, self._version = home, models, version
        self._background, self._now = background, now
        self._known: dict[str, _Known] = {}

    def entries(self, provider_id: str, config: Config) -> Sequence[Mapping[str, Any]]:
        """The provider's list as it is known now; empty if there is none."""
        known = self._of(provider_id, config)
        return () if known is None or known.kept is None else known.kept.entries

    async def ready(self, provider_id: str, config: Config, patience: float = PATIENCE) -> None:
        """Request the provider's list if it is old; wait up to `patience` seconds if there is none. Raises nothing."""
        known = self._of(provider_id, config)
        if known is None or self._background is None:
            return
        with trio.move_on_after(patience):
            if known.asking is None and not known.looked.is_set():
                known.asking = trio.Event()
                start_apart(self._background, "asking for a list of models", self._ask, known, known.asking)
                await known.looked.wait()
            if known.asking is None and self._is_due(known):
                known.asking = trio.Event()
                start_apart(self._background, "asking for a list of models", self._ask, known, known.asking)
            if known.kept is None and known.asking is not None:
                await known.asking.wait()

    def _of(self, provider_id: str, config: Config) -> _Known | None:
        provider = config.providers().get(provider_id)
        if provider is None or not provider.lists_models or not provider.base_url or config.model_catalog is not None:
            return None
        key = provider.identity
        if key not in self._known:
            lister = self._models.get(provider_id, config)
            if not isinstance(lister, ListsModels):
                return None
            self._known[key] = _Known(lister, key)
        return self._known[key]

    def _is_due(self, known: _Known) -> bool:
        now, kept, failed = self._now(), known.kept, known.failed_at
        if failed is not None and 0 <= now - failed < AGAIN:
            return False
        return kept is None or not 0 <= now - kept.fetched_at <= FRESH

    async def _ask(self, known: _Known, answered: trio.Event) -> None:
        try:
            if not known.looked.is_set():
                known.kept = await trio.to_thread.run_sync(
                    read_list, self._home, known.key, self._version, abandon_on_cancel=True
                )
                known.looked.set()
            if self._is_due(known):
                known.kept, known.failed_at = await self._asked(known), None
                await trio.to_thread.run_sync(keep_list, self._home, known.key, self._version, known.kept)
        except ModelError as error:
            known.failed_at = self._now()
            log.info("the list of models of a provider could not be fetched: %s", error.message)
        except Exception:
            known.failed_at = self._now()
            log.exception("the list of models of a provider could not be used")
        finally:
            known.asking = None
            known.looked.set()
            answered.set()

    async def _asked(self, known: _Known) -> ModelList:
        old = known.kept
        listed = await known.lister.list_models(self._version, None if old is None else old.etag)
        if listed is None and old is not None:
            return evolve(old, fetched_at=self._now())
        entries, etag = listed or ((), None)
        return ModelList(usable(entries), etag, self._now())
