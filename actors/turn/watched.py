"""A request to the model as instruments see it: what of the answer arrives, and how it ends."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from spindle.actors.services.instruments import Purpose, RequestInfo, RequestOutcome
from spindle.actors.tasks.faults import parts
from spindle.actors.turn.host import TurnHost
from spindle.rpc.model.interface import Completed, ItemDone, Model, ModelError, ModelEvent, ModelRequest, Retried


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
    """One request to `model` for which instruments are called."""

    def __init__(self, host: TurnHost, model: Model, provider: str, purpose: Purpose, attempt: int) -> None:
        self._host, self._model = host, model
        self._provider, self._attempt = provider, attempt
        self._purpose: Purpose = purpose
        self._info: RequestInfo | None = None

    @asynccontextmanager
    async def stream(
        self, ask: Callable[[Retried], ModelRequest]
    ) -> AsyncGenerator[AsyncIterator[Sequence[ModelEvent]]]:
        """As `Model.stream`, of what `ask` makes."""
        host, sent = self._host, list[RequestInfo]()

        def retried(error: ModelError, delay: float) -> None:
            for info in sent:
                _tell(host, info, error, delay)

        request, seen = ask(retried), _Seen()
        info = self._info = RequestInfo(
            thread_id=host.thread_id,
            turn_id=host.turn_id,
            purpose=self._purpose,
            model=request.model,
            model_provider=self._provider,
            server=getattr(self._model, "shown", None),
            attempt=self._attempt,
            request=request,
        )
        sent.append(info)
        with host.instruments.request(info, seen.outcome):
            try:
                async with self._model.stream(request) as batches:
                    yield seen.over(batches)
            except BaseException as raised:
                seen.raised = raised
                raise
            finally:
                sent.clear()  # else the request, which has the callback, would refer to itself

    def retried(self, error: Exception, delay: float) -> None:
        """It has failed and is sent again in `delay` seconds, as another request."""
        if self._info is not None:
            _tell(self._host, self._info, error, delay)


def _tell(host: TurnHost, info: RequestInfo, error: Exception, delay: float) -> None:
    host.instruments.each(lambda instrument: instrument.request_retried(info, error, delay))
