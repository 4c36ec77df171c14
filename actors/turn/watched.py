"""A request to the model as instruments see it: what of the answer arrives, and how it ends."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

from spindle.actors.services.instruments import Purpose, RequestInfo, RequestOutcome
from spindle.actors.tasks.faults import parts
from spindle.actors.turn.host import TurnHost
from spindle.rpc.model.interface import (
    Completed,
    ItemDone,
    Model,
    ModelError,
    ModelEvent,
    ModelRequest,
    Retried,
    Stream,
)


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
    """One request to `model` for which instruments are called. It is the stream of its answer, as `Model.stream` returns it."""

    def __init__(
        self,
        host: TurnHost,
        model: Model,
        ask: Callable[[Retried], ModelRequest],
        provider: str,
        purpose: Purpose,
        attempt: int,
    ) -> None:
        sent = self._sent = list[RequestInfo]()

        def retried(error: ModelError, delay: float) -> None:
            for info in sent:
                _tell(host, info, error, delay)

        request = ask(retried)
        self._host, self._model, self._seen = host, model, _Seen()
        self._info = RequestInfo(
            thread_id=host.thread_id,
            turn_id=host.turn_id,
            purpose=purpose,
            model=request.model,
            model_provider=provider,
            server=getattr(model, "shown", None),
            attempt=attempt,
            request=request,
        )
        self._stream: Stream
        self._around = host.instruments.request(self._info, self._seen.outcome)

    async def __aenter__(self) -> AsyncIterator[Sequence[ModelEvent]]:
        self._sent.append(self._info)
        self._around.__enter__()
        try:
            self._stream = self._model.stream(self._info.request)
            return self._seen.over(await self._stream.__aenter__())
        except BaseException as raised:
            self._end(raised)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            handled = await self._stream.__aexit__(kind, error, trace)
        except BaseException as raised:
            self._end(raised)
            raise
        self._end(error)
        return handled

    def _end(self, raised: BaseException | None) -> None:
        self._seen.raised = raised
        try:
            self._around.__exit__(None, None, None)
        finally:  # else the error and this, and the request and its callback, would refer to each other
            self._seen.raised = raised = None
            self._sent.clear()

    def retried(self, error: Exception, delay: float) -> None:
        """It has failed and is sent again in `delay` seconds, as another request."""
        _tell(self._host, self._info, error, delay)


def _tell(host: TurnHost, info: RequestInfo, error: Exception, delay: float) -> None:
    host.instruments.each(lambda instrument: instrument.request_retried(info, error, delay))
