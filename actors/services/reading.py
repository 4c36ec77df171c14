"""What the server may read for the model under a thread's settings: the same that its commands may."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

import trio

from spindle.actors.services.services import Services
from spindle.actors.settings.settings import ThreadSettings
from spindle.actors.tools.sandbox.confinement import NOTHING, Grants, Place
from spindle.actors.tools.sandbox.profile import ProfileError, of_settings
from spindle.rpc.protocol.settings import (
    DangerFullAccessPolicy,
    ExternalSandboxPolicy,
    PermissionProfile,
    SandboxPolicy,
)
from spindle.storage.outside import Readable

if TYPE_CHECKING:
    from spindle.actors.thread.actor import ThreadActor

Bounds: TypeAlias = tuple[SandboxPolicy, PermissionProfile | None, str]


def bounds_of(settings: ThreadSettings) -> Bounds:
    """What decides which files may be read. Where it is the same, the same files may be."""
    return settings.sandbox, settings.profile, settings.cwd


def readable_files(services: Services, settings: ThreadSettings, granted: Grants = NOTHING) -> Readable | None:
    """Whether a file may be read, None where nothing is confined. What says so is worked out when first asked, which blocks."""
    if settings.profile is None and isinstance(settings.sandbox, DangerFullAccessPolicy | ExternalSandboxPolicy):
        return None

    @cache
    def found() -> Readable:
        place = Place(settings.cwd, str(services.home.path), os.environ.get("TMPDIR"))
        try:
            confinement = of_settings(settings.sandbox, settings.profile, place, granted)
        except (ProfileError, OSError):  # its commands do not run either
            return nothing
        return anything if confinement is None else confinement.readable

    return lambda path: found()(path)


def session_grants(thread: ThreadActor) -> Grants:
    """What the user has granted for the session besides."""
    runner = thread.tools.running
    return NOTHING if runner is None else runner.remembered.granted("")


async def find_readable(thread: ThreadActor, settings: ThreadSettings) -> Readable | None:
    """What of the files that were read when the thread was opened may be read; None if it is all of them."""
    state = thread.state
    if bounds_of(settings) == state.read_within or not state.tells_of_files:
        return None
    readable = readable_files(thread.services, settings, session_grants(thread))
    if readable is not None:
        await trio.to_thread.run_sync(readable, settings.cwd, abandon_on_cancel=True)  # it does not block again
    return readable


def anything(path: str) -> bool:
    """Every file may be read."""
    return True


def nothing(path: str) -> bool:
    """No file may be read."""
    return False
