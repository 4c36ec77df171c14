"""What a client is notified of after `initialize`, and what is imported for its next requests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from spindle.actors.clients.caller import Caller
from spindle.actors.registry.ahead import MODEL, PAUSE, THREAD, import_ahead

if TYPE_CHECKING:
    from spindle.storage.config.notes import Note

NEXT = (
    *THREAD,
    "spindle.actors.clients.methods.threads",
    "spindle.actors.clients.methods.turns",
    *MODEL,
    "spindle.storage.index",
    "spindle.actors.clients.methods.listing",
)
"""What clients ask for next: a thread, its first turn, a list."""


async def greet(caller: Caller) -> None:
    """Warn of what is wrong with the configuration; then import what the client will need next."""
    from spindle.storage.config import ConfigError

    backend = caller.backend
    loader = backend.config_loader

    def look() -> Sequence[Note]:
        from spindle.storage.config.hooks import hook_config

        config = loader.load(Path(caller.cwd))
        config.check()
        config.check_provider(config.model_provider)
        return [*config.notes, *hook_config(config).notes]

    try:
        notes = await trio.to_thread.run_sync(look, abandon_on_cancel=True)
    except (ConfigError, OSError) as error:
        from spindle.rpc.protocol.config import ConfigWarningNotification

        summary = "Invalid configuration; using defaults."
        caller.notify(ConfigWarningNotification(summary, str(error), str(backend.home.config_file)))
    else:
        if notes:
            from spindle.actors.settings.warnings import warning_of

            for note in notes:
                caller.notify(warning_of(note))

    await trio.sleep(PAUSE)
    await import_ahead(NEXT, lambda: caller.awaited)
    _ = backend.services  # made here, on trio's thread: handlers use it in worker threads
    await trio.to_thread.run_sync(backend.indexing.prepare)
