"""Where the Codex home is. Nearly only the standard library: `initialize` is answered before anything else is imported."""

import os
import stat
from collections.abc import Mapping

from spindle.rpc.protocol.errors import Error


class HomeError(Error):
    """The home directory cannot be used; the message says why and names it."""


def home_path(env: Mapping[str, str]) -> str:
    """The path of an environment's home: `$CODEX_HOME`, else `.codex` in the user's home directory.

    An explicit `CODEX_HOME` must be an existing directory (its real path is used): a mistyped one would hide all
    stored threads. The default need not exist yet, and may be relative.

    Raises HomeError; OSError for a path that cannot be looked at.
    """
    named = env.get("CODEX_HOME", "")
    if not named:
        user = env.get("HOME", "") or os.path.expanduser("~")
        if user == "~":
            raise HomeError("the user has no home directory; set CODEX_HOME")
        return os.path.join(user, ".codex")
    try:
        mode = os.stat(named).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise HomeError(f'CODEX_HOME points to "{named}", but that path does not exist') from None
    if not stat.S_ISDIR(mode):
        raise HomeError(f'CODEX_HOME points to "{named}", but that path is not a directory')
    return os.path.realpath(named)
