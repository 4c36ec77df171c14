"""Which files the server may read for the model under a thread's settings: the files that its commands may read."""

from __future__ import annotations

import os
from functools import cache
from typing import TypeAlias

from spindle.actors.settings.settings import Settings
from spindle.actors.tools.sandbox.confinement import NOTHING, Grants, Place
from spindle.actors.tools.sandbox.profile import ProfileError, of_settings
from spindle.rpc.protocol.settings import (
    DangerFullAccessPolicy,
    ExternalSandboxPolicy,
    PermissionProfile,
    SandboxPolicy,
)
from spindle.storage.home import Home
from spindle.storage.outside import Readable

Bounds: TypeAlias = tuple[SandboxPolicy, PermissionProfile | None, str]


def bounds_of(settings: Settings) -> Bounds:
    """What decides which files may be read. If it is equal, the same files may be read."""
    return settings.sandbox, settings.profile, settings.cwd


def readable_files(home: Home, settings: Settings, granted: Grants = NOTHING) -> Readable | None:
    """Tells whether a file may be read; None if every file may. The first call blocks on the disk."""
    if settings.profile is None and isinstance(settings.sandbox, DangerFullAccessPolicy | ExternalSandboxPolicy):
        return None

    @cache
    def found() -> Readable:
        place = Place(settings.cwd, str(home.path), os.environ.get("TMPDIR"))
        try:
            confinement = of_settings(settings.sandbox, settings.profile, place, granted)
        except (ProfileError, OSError):  # commands do not run under these settings either
            return no_file
        return every_file if confinement is None else confinement.readable

    return lambda path: found()(path)


def every_file(path: str) -> bool:
    """Every file may be read."""
    return True


def no_file(path: str) -> bool:
    """No file may be read."""
    return False
