"""A model that records a real provider once, and plays the recording from then on."""

from __future__ import annotations

import difflib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import trio
from attrs import evolve

from spindle.rpc.model.interface import (
    InputDelta,
    Model,
    ModelError,
    ModelEvent,
    ModelRequest,
    ReasoningDelta,
    SummaryDelta,
    TextDelta,
)
from spindle.rpc.model.playing import Raw, words
from spindle.storage.durable import PRIVATE, make_folder, replace
from spindle.testing.answers import Answers
from spindle.testing.played import PlayedModel
from spindle.testing.recording import (
    Exchange,
    compared,
    decoded,
    encoded,
    error_fields,
    error_of,
    last_text,
    read,
    written,
)
from spindle.testing.requests import Request
from spindle.testing.scrubbing import Places, mapped, scrub, settle

Mode: TypeAlias = Literal["replay", "record", "once"]
_LINES = 16


class RecordedModel(PlayedModel):
    """Plays the recording in the file `path`; no network is needed. `testing.recording` has the format.

    mode: `replay`; `record` asks the model `real` and writes the file again; `once` records if there is no file yet.
    A request is found by its model, its conversation and the names of its tools. Folders, dates, ids and durations in it do not
    count. A request that was not recorded fails the test with the difference, and so do exchanges that were not asked for,
    unless `strict` is False. Secrets are not written: keys by their form, headers, and the values of environment variables
    whose names contain KEY, TOKEN, SECRET and the like. Read a recording before you commit it.

    Building one reads the file, which blocks. Raises OSError, and ValueError for a file that is no recording.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        real: Model | None = None,
        *,
        mode: Mode = "replay",
        strict: bool = True,
    ) -> None:
        if mode not in (modes := get_args(Mode)):
            raise ValueError(f"mode {mode!r} is not one of {', '.join(modes)}")
        super().__init__(strict=strict, stream_max_retries=0 if real is None else real.stream_max_retries)
        self.path = Path(path)
        self.real = real
        self.recording = mode == "record" or (mode == "once" and not self.path.exists())
        """Whether `real` is asked."""
        if self.recording and real is None:
            raise ValueError(f"mode {mode!r} needs the model to record, `real`")
        self.exchanges = [] if self.recording else read(self.path)
        self._writing = trio.Lock()

    def stream(self, request: ModelRequest) -> AbstractAsyncContextManager[AsyncIterator[Sequence[ModelEvent]]]:
        """As in `Model`."""
        return self._record(self.real, request) if self.recording and self.real is not None else super().stream(request)

    async def aclose(self) -> None:
        """Close the real model, if there is one."""
        if self.real is not None:
            await self.real.aclose()

    def answer(self, request: Request) -> Answers:
        """What was recorded for the request."""
        places = Places.of(request.texts)
        asked = _compared(request, places)
        same = [each for each in self.exchanges if compared(each.request) == compared(asked)]
        found = next((each for each in same if not each.played), None)
        if found is None:
            raise self.refuse(f"{self.path}: {self._difference(asked, len(same))}")
        found.played = True
        answer: list[Answers] = [_streamed(event, places) for event in found.events]
        if found.error is not None:
            answer.append(error_of(found.error))
        if found.cancelled:
            answer.append(trio.Event())
        return answer

    def left(self) -> list[str]:
        """A strict recording must be used up."""
        left = [each for each in self.exchanges if not each.played and not self.recording]
        if not left or not self.strict:
            return []
        return ["\n".join([f"{self.path}: recorded, but not asked for:", *(last_text(each.request) for each in left)])]

    @asynccontextmanager
    async def _record(self, real: Model, raw: ModelRequest) -> AsyncGenerator[AsyncIterator[Sequence[ModelEvent]]]:
        request = Request(raw)
        self.requests.append(request)
        places = Places.of(request.texts)
        exchange, events = Exchange(_compared(request, places), played=True), list[ModelEvent]()
        try:
            async with real.stream(raw) as batches, aclosing(_kept(batches, events)) as kept:
                yield kept
        except ModelError as error:
            exchange.error = scrub(error_fields(error), os.environ)
            raise
        except trio.Cancelled:
            exchange.cancelled = True
            raise
        finally:
            exchange.events = mapped(scrub(encoded(events), os.environ), places.hide)
            self.exchanges.append(exchange)
            with trio.CancelScope(shield=True):
                await self._save()

    async def _save(self) -> None:
        async with self._writing:
            await trio.to_thread.run_sync(partial(_write, self.path, written(self.exchanges)))

    def _difference(self, asked: Mapping[str, Any], recorded: int) -> str:
        what = last_text(asked)
        if recorded:
            return f"the request {what} was recorded {recorded} time(s), and is asked once more"
        left = [each for each in self.exchanges if not each.played]
        if not left:
            return f"the request {what} was not recorded, and nothing that was recorded is left"
        ours, theirs = compared(asked).splitlines(), compared(left[0].request).splitlines()
        lines = list(difflib.unified_diff(theirs, ours, "recorded", "asked", lineterm="", n=1))
        more = [f"… {len(lines) - _LINES} more lines"] if len(lines) > _LINES else []
        return "\n".join([f"the request {what} was not recorded", *lines[:_LINES], *more])


async def _kept(
    batches: AsyncIterator[Sequence[ModelEvent]], events: list[ModelEvent]
) -> AsyncGenerator[Sequence[ModelEvent], None]:
    async for batch in batches:
        events += batch
        yield batch


def _compared(request: Request, places: Places) -> Mapping[str, Any]:
    """The request as it is recorded."""
    items = [{name: member for name, member in item.items() if name != "encrypted_content"} for item in request.items]
    said = {"model": request.model, "tools": sorted(request.tools), "input": items}
    hidden: Mapping[str, Any] = mapped(scrub(said, os.environ), lambda text: settle(places.hide(text)))
    return hidden


def _streamed(event: Mapping[str, Any], places: Places) -> list[Raw]:
    """A recorded event as it is played; a text word by word."""
    pieces: list[Raw] = []
    for each in decoded(mapped(event, places.show)):
        if isinstance(each, TextDelta | SummaryDelta | ReasoningDelta | InputDelta):
            pieces += [Raw([evolve(each, delta=word)]) for word in words(each.delta)]
        else:
            pieces.append(Raw([each]))
    return pieces


def _write(path: Path, content: bytes) -> None:
    make_folder(path.parent)
    replace(path, content, PRIVATE)
