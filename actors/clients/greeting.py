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
    "spindle.actors.tasks.slots",
    "spindle.rpc.transports.accepting",
    "spindle.rpc.transports.unix_socket",
    "spindle.storage.running_folder",
)
"""What clients ask for next: a thread, its first turn, a list; and what answers `spindle top`."""


async def greet(caller: Caller) -> None:
    """Warn of what is wrong with the configuration; then import and prepare what the client will need next."""
    try:
        await _greet(caller)
    finally:
        caller.backend.greeted.set()


async def _greet(caller: Caller) -> None:
    from spindle.storage.config import Config, ConfigError

    backend = caller.backend
    loader = backend.config_loader

    def look() -> tuple[Config, Sequence[Note]]:
        from spindle.storage.config.hooks import hook_config
        from spindle.storage.config.notes import untrusted

        config = loader.load(Path(caller.cwd))
        config.check()
        config.check_provider(config.model_provider)
        notes = [*config.notes, *hook_config(config).notes]
        return config, [*notes, note] if (note := untrusted(config.layers)) is not None else notes

    config = None
    try:
        config, notes = await trio.to_thread.run_sync(look, abandon_on_cancel=True)
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
    services = backend.services  # made here, on trio's thread: handlers use it in worker threads
    await trio.to_thread.run_sync(backend.indexing.prepare)
    if config is not None:
        from spindle.rpc.model.interface import Prepares

        model = services.models.get(config.model_provider, config)
        if isinstance(model, Prepares):
            await model.prepare()
