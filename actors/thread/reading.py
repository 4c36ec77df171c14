"""Which files the model may read in a loaded thread, with what the user has granted for the session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from spindle.actors.settings.reading import bounds_of, readable_files
from spindle.actors.settings.settings import ThreadSettings
from spindle.actors.tools.sandbox.confinement import NOTHING, Grants
from spindle.storage.outside import Readable

if TYPE_CHECKING:
    from spindle.actors.thread.actor import ThreadActor


def session_grants(thread: ThreadActor) -> Grants:
    """What the user has granted for the session besides."""
    runner = thread.tools.running
    return NOTHING if runner is None else runner.remembered.granted("")


async def find_readable(thread: ThreadActor, settings: ThreadSettings) -> Readable | None:
    """What of the files that were read when the thread was opened may be read; None if it is all of them."""
    state = thread.state
    if bounds_of(settings) == state.read_within or not state.tells_of_files:
        return None
    readable = readable_files(thread.services.home, settings, session_grants(thread))
    if readable is not None:
        await trio.to_thread.run_sync(readable, settings.cwd, abandon_on_cancel=True)  # it does not block again
    return readable
