"""The telemetry that the user's `[otel]` asks for: begun when the first thread is loaded, and flushed at the end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import trio

from spindle.actors.services.instruments import Instrument, Instruments
from spindle.rpc.lenient import mapping
from spindle.storage.config import ConfigError, ConfigLoader

if TYPE_CHECKING:
    from spindle.storage.config.otel import OtelConfig

log = logging.getLogger("spindle")

FLUSHING: Final = 2.0
"""Seconds that the end of the runtime waits for what is left to be sent."""


class Exporting(Protocol):
    """Instruments that send what they see somewhere."""

    @property
    def instruments(self) -> Sequence[Instrument]:
        """The instruments."""
        ...

    @property
    def shutdowns(self) -> Sequence[Callable[[], None]]:
        """Send what is left, each in a thread of its own."""
        ...


MakeExporting: TypeAlias = "Callable[[OtelConfig], Exporting | None]"
"""Makes them, None if it cannot. Blocks: what it needs is imported then."""


class Telemetry:
    """Adds to `instruments` what the user's files ask for, once."""

    def __init__(self, instruments: Instruments, loader: ConfigLoader, make: MakeExporting) -> None:
        self._instruments, self._loader, self._make = instruments, loader, make
        self._begun: trio.Event | None = None
        self._exporting: Exporting | None = None

    async def begin(self) -> None:
        """Return when they are added, or cannot be."""
        if self._begun is not None:
            await self._begun.wait()
            return
        self._begun = begun = trio.Event()
        try:
            self._exporting = await trio.to_thread.run_sync(self._made)
            if self._exporting is not None:
                self._instruments.add(self._exporting.instruments)
        except Exception:  # telemetry is never in the way
            log.exception("[otel] of config.toml has no effect")
        finally:
            begun.set()

    def _made(self) -> Exporting | None:
        """A project's file has no say, so the configuration is that outside of any project."""
        from spindle.storage.config.otel import otel_config

        try:
            table = self._loader.load(None).raw.get("otel")
        except (ConfigError, OSError):
            return None
        wanted = otel_config(mapping(table), self._loader.home.path)
        return None if wanted.traces is None and wanted.metrics is None else self._make(wanted)

    async def aclose(self) -> None:
        """Send what is left, for a limited time."""
        exporting, self._exporting = self._exporting, None
        if exporting is None:
            return
        with trio.move_on_after(FLUSHING) as flushing:
            async with trio.open_nursery() as nursery:
                for shutdown in exporting.shutdowns:
                    nursery.start_soon(_shut_down, shutdown)
        if flushing.cancelled_caught:
            log.warning("OpenTelemetry: what was not sent within %g s is lost", FLUSHING)


async def _shut_down(shutdown: Callable[[], None]) -> None:
    try:
        await trio.to_thread.run_sync(shutdown, abandon_on_cancel=True)
    except Exception:
        log.exception("OpenTelemetry could not be shut down")
