"""Which files the model may read in a loaded thread, with what the user has granted for the session."""

from __future__ import annotations

import trio

from spindle.actors.settings.reading import bounds_of, readable_files
from spindle.actors.settings.settings import ThreadSettings
from spindle.actors.thread.core import ThreadCore
from spindle.actors.tools.sandbox.confinement import Grants
from spindle.storage.outside import Readable


async def find_readable(thread: ThreadCore, settings: ThreadSettings, granted: Grants) -> Readable | None:
    """What of the files that were read when the thread was opened may be read; None if it is all of them."""
    state = thread.state
    if bounds_of(settings) == state.read_within or not state.tells_of_files:
        return None
    readable = readable_files(thread.services.home, settings, granted)
    if readable is not None:
        await trio.to_thread.run_sync(readable, settings.cwd, abandon_on_cancel=True)  # it does not block again
    return readable
