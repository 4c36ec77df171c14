"""Run the hooks of one event at the same time; clients are notified in the order of the configuration."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import orjson
import trio
from attrs import evolve

from spindle.actors.tools.hooks.program import Starter
from spindle.actors.tools.hooks.verdicts import HookVerdict, ProgramEnd, verdict
from spindle.actors.tools.interface import Notifier
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.hooks import (
    HookCompletedNotification,
    HookRunSummary,
    HookStartedNotification,
)
from spindle.storage.config.hooks import HookHandler
from spindle.storage.durable import make_folder

INTERRUPTED = HookVerdict(status="failed", entries=verdict("stop", ProgramEnd(failure="hook was interrupted")).entries)
"""The verdict for a hook that an interrupt killed."""


class HookHost(Notifier, Protocol):
    """The turn as its hooks see it."""

    @property
    def cwd(self) -> str:
        """The directory that hooks run in; absolute."""
        ...


@frozen
class HookRun:
    """A completed run: its id and the verdict."""

    id: str
    verdict: HookVerdict


async def run_hooks(
    handlers: Sequence[HookHandler], host: HookHost, starter: Starter, given: object, call_id: str | None = None
) -> list[HookRun]:
    """Run `handlers`, all of one event, each with `given` as JSON; `call_id` makes the ids of their runs unique.

    Emits hook/started for each, and hook/completed when the last has ended. Cancellation kills them and completes their runs.
    """
    if not handlers:
        return []
    began = time.monotonic()
    runs = [_begun(handler, call_id) for handler in handlers]
    ended: list[tuple[HookVerdict, int] | None] = [None] * len(runs)
    data = orjson.dumps(given)

    async def one(place: int, handler: HookHandler) -> None:
        changed = await _changed(handler, host.cwd)
        if changed is None:
            end = await starter.run(handler.command, host.cwd, data, handler.timeout, handler.environment)
        else:
            end = ProgramEnd(failure=f"hook was not run: {changed}")
        ended[place] = verdict(handler.event, end), _since(began)

    for run in runs:
        host.emit(HookStartedNotification(host.thread_id, host.turn_id, run))
    try:
        async with trio.open_nursery() as nursery:
            for place, handler in enumerate(handlers):
                nursery.start_soon(one, place, handler)
    except BaseExceptionGroup:
        await trio.lowlevel.checkpoint_if_cancelled()  # raise the cancellation without its group
        raise
    finally:
        for run, end in zip(runs, ended, strict=True):
            found, duration_ms = end or (INTERRUPTED, _since(began))
            done = evolve(
                run,
                status=found.status,
                entries=found.entries,
                completed_at=int(time.time()),
                duration_ms=duration_ms,
            )
            host.emit(HookCompletedNotification(host.thread_id, host.turn_id, done))
    return [HookRun(run.id, end[0]) for run, end in zip(runs, ended, strict=True) if end is not None]


async def _changed(handler: HookHandler, cwd: str) -> str | None:
    """Why a project's or a plugin's hook may not run as things are now."""
    if handler.pinned is None:
        return None
    return await trio.to_thread.run_sync(_refusal, handler, cwd, abandon_on_cancel=True)


def _refusal(handler: HookHandler, cwd: str) -> str | None:
    reason = None if handler.pinned is None else handler.pinned.changed(cwd)
    if reason is None and handler.data is not None:
        try:
            make_folder(Path(handler.data))
        except OSError as error:
            return f"the folder for its data cannot be made: {error}"
    return reason


def _begun(handler: HookHandler, call_id: str | None) -> HookRunSummary:
    kind = re.sub("[A-Z]", lambda found: f"-{found[0].lower()}", handler.event)
    return HookRunSummary(
        id=f"{kind}:{handler.order}:{handler.path}" + ("" if call_id is None else f":{call_id}"),
        event_name=handler.event,
        scope="thread" if handler.event == "sessionStart" else "turn",
        source_path=handler.path,
        source=handler.source,
        display_order=handler.order,
        status="running",
        status_message=handler.status_message,
        started_at=int(time.time()),
    )


def _since(began: float) -> int:
    return int((time.monotonic() - began) * 1000)
