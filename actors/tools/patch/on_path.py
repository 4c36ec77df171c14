"""`apply_patch` on the PATH of commands: a folder with a launcher for `program`.

The folder is in `$CODEX_HOME/spindle/commands/`, and its name is a hash of the launcher. So it is written once and only
compared later, a killed runtime leaves nothing to clean up, several versions of Spindle can share a home, and commands cannot
replace it, because no sandbox lets them write to the home. The launcher has the absolute paths of the interpreter and the
packages, because the environment of a command may name others.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import attr

from spindle.actors.tools.commands.environment import Programs
from spindle.storage.durable import make_folder, private_folder, replace

NAMES = ("apply_patch", "applypatch")


def programs(home: Path) -> Programs:
    """The folder; written first if it is missing or was changed. Blocks. Raises OSError."""
    module = Path(__file__)
    ours, theirs = module.parents[4], Path(attr.__file__).parents[1]
    packages = tuple(dict.fromkeys(map(os.path.realpath, (ours, theirs))))
    text = _launcher(os.path.realpath(sys.executable), packages).encode()
    private_folder(home / "spindle")
    folder = home / "spindle" / "commands" / hashlib.sha256(text).hexdigest()[:16]
    for name in NAMES:
        _put(folder / name, text)
    linked = os.path.realpath(module.parents[2])  # in a checkout
    readable = (str(folder), *packages, linked, os.path.realpath(sys.base_prefix))
    return Programs(str(folder), NAMES, readable)


def _launcher(interpreter: str, packages: Sequence[str]) -> str:
    """Runs the interpreter without `site`, which is half of its start time, and with the two packages that are needed."""
    code = f"import sys; sys.path += {list(packages)!r}; from spindle.actors.tools.patch.program import main; main()"
    return f'#!/bin/sh\nexec {shlex.quote(interpreter)} -I -S -c {shlex.quote(code)} "$@"\n'


def _put(path: Path, content: bytes) -> None:
    """Write the file if it differs; it is replaced as a whole."""
    with suppress(OSError):
        if path.read_bytes() == content and os.access(path, os.X_OK):
            return
    make_folder(path.parent)
    replace(path, content, 0o700)
