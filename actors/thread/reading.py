"""What the server may read for the model under a thread's settings: the same that its commands may."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import trio

from spindle.actors.thread.services import Services
from spindle.actors.thread.settings import ThreadSettings
from spindle.actors.tools.sandbox.confinement import NOTHING, Grants, Place, restricted
from spindle.actors.tools.sandbox.profile import ProfileError, of_settings
from spindle.storage.outside import Readable

if TYPE_CHECKING:
    from spindle.actors.thread.thread import ThreadActor


def restricts(settings: ThreadSettings) -> bool:
    """Whether there may be files that may not be read."""
    return settings.profile is not None or restricted(settings.sandbox)


def readable_files(services: Services, settings: ThreadSettings, granted: Grants = NOTHING) -> Readable | None:
    """Whether a file may be read; None where every file may be. Blocks where `restricts`."""
    if not restricts(settings):
        return None
    place = Place(settings.cwd, str(services.home.path), os.environ.get("TMPDIR"))
    try:
        confinement = of_settings(settings.sandbox, settings.profile, place, granted)
    except ProfileError:  # its commands do not run either
        return nothing
    return None if confinement is None else confinement.readable


async def find_readable(services: Services, settings: ThreadSettings, granted: Grants = NOTHING) -> Readable | None:
    """The same, in a worker thread where it blocks."""
    if not restricts(settings):
        return None
    return await trio.to_thread.run_sync(readable_files, services, settings, granted, abandon_on_cancel=True)


def granted(thread: ThreadActor) -> Grants:
    """What the user has granted for the session besides."""
    runner = thread.tools.running
    return NOTHING if runner is None else runner.remembered.granted("")


def nothing(path: str) -> bool:
    """No file may be read."""
    return False
