"""A request to the model as instruments see it: what of the answer arrives, and how it ends."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from attrs import evolve

from spindle.actors.services.instruments import Instruments, RequestInfo, RequestOutcome
from spindle.actors.tasks.faults import parts
from spindle.rpc.model.interface import Completed, ItemDone, Model, ModelEvent, Provided
from spindle.rpc.urls import shown


class _Seen:
    """Passes on the batches of an answer, and notes what is in them."""

    def __init__(self) -> None:
        self.raised: BaseException | None = None
        self._began = time.monotonic()
        self._first: float | None = None
        self._items: list[Mapping[str, Any]] = []
        self._completed: Completed | None = None
        self._batches: AsyncIterator[Sequence[ModelEvent]]

    def over(self, batches: AsyncIterator[Sequence[ModelEvent]]) -> AsyncIterator[Sequence[ModelEvent]]:
        """Pass on these."""
        self._batches = batches
        return self

    def __aiter__(self) -> AsyncIterator[Sequence[ModelEvent]]:
        return self

    async def __anext__(self) -> Sequence[ModelEvent]:
        batch = await anext(self._batches)
        if self._first is None:
            self._first = time.monotonic() - self._began
        for event in batch:
            if isinstance(event, ItemDone):
                self._items.append(event.item)
            elif isinstance(event, Completed):
                self._completed = event
        return batch

    def outcome(self) -> RequestOutcome:
        """How the request has ended."""
        cancelled, error = (None, None) if self.raised is None else parts(self.raised)
        done = self._completed
        return RequestOutcome(
            response_id=None if done is None else done.response_id,
            model=None if done is None else done.model,
            usage=None if done is None else done.usage,
            items=self._items,
            seconds_to_first=self._first,
            seconds=time.monotonic() - self._began,
            error=error,
            cancelled=cancelled is not None,
        )


class WatchedRequest:
    """A request that instruments are called for."""

    def __init__(self, instruments: Instruments, model: Model, info: RequestInfo) -> None:
        self._instruments, self._model = instruments, model
        self._info = evolve(info, request=evolve(info.request, retried=self.retried))

    @asynccontextmanager
    async def stream(self) -> AsyncGenerator[AsyncIterator[Sequence[ModelEvent]]]:
        """As `Model.stream`."""
        seen = _Seen()
        with self._instruments.request(self._info, seen.outcome):
            try:
                async with self._model.stream(self._info.request) as batches:
                    yield seen.over(batches)
            except BaseException as raised:
                seen.raised = raised
                raise

    def retried(self, error: Exception, delay: float) -> None:
        """It has failed and is sent again in `delay` seconds."""
        self._instruments.each(lambda instrument: instrument.request_retried(self._info, error, delay))


def server_of(model: Model) -> str | None:
    """The URL of the model's provider, without secrets; None if the model names none."""
    url = model.provider.base_url if isinstance(model, Provided) else None
    return None if url is None else shown(url)
