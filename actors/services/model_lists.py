"""What providers say of their models (`lists_models` in their table): asked for beside the turns, and never in their way.

A list is good for `FRESH` seconds. After that it is asked for again in the background while the old one goes on being used;
only where there is none at all does anybody wait, and not for long. A provider that does not answer is left alone for `AGAIN`
seconds, and turns go on as if it had no list.
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
"""Seconds after which a provider is asked again that did not answer."""
PATIENCE: Final = 1.0
"""Seconds that a turn waits for the first list of a provider."""


@define(eq=False)
class _Known:
    lister: ListsModels
    key: str
    kept: ModelList | None = None
    failed_at: float | None = None
    looked: trio.Event = field(factory=trio.Event)
    """Set when the kept list has been read."""
    asking: trio.Event | None = None
    """Set when the provider that is being asked has answered, or has not."""


class ModelLists:
    """The lists of one runtime's providers. Without a nursery nobody is asked."""

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
        """What the provider has said, as far as it is known now."""
        known = self._of(provider_id, config)
        return () if known is None or known.kept is None else known.kept.entries

    async def ready(self, provider_id: str, config: Config, patience: float = PATIENCE) -> None:
        """Have the provider's list asked for if it is old; wait up to `patience` seconds if there is none. Never raises."""
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
        key = repr(provider)
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
            log.info("a provider's list of models could not be had: %s", error.message)
        except Exception:
            known.failed_at = self._now()
            log.exception("a provider's list of models could not be taken")
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
