"""The id of an installation: a UUID in the home's file `installation_id`, which all servers of the home share."""

from __future__ import annotations

import uuid
from pathlib import Path

from spindle.storage.durable import replace
from spindle.storage.outside import read_file

_MOST = 1024


def installation_id(home: Path) -> str:
    """The id; a missing or unreadable one is made. Blocks. Raises OSError if it can be neither read nor written."""
    path = home / "installation_id"
    try:
        return str(uuid.UUID(read_file(path, _MOST).decode("ascii").strip()))
    except (FileNotFoundError, ValueError):
        made = str(uuid.uuid4())
        replace(path, made.encode("ascii"))
        return made
