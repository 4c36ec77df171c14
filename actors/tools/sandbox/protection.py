"""What stays read-only wherever a command may write, as programs will trust it later, and what of the home is hidden."""

from __future__ import annotations

import os
from typing import Final

from spindle.storage.home import CREDENTIALS, INSTRUCTIONS, SECRETS
from spindle.storage.outside import read_start

METADATA: Final = (".git", ".agents", ".codex")
"""Names at the top of a writable root: hooks, instructions and rules that run or count outside the sandbox later."""

HOME_OWN: Final = (
    "AGENTS.md",
    "AGENTS.override.md",
    "agents",
    "archived_sessions",
    "auth.json",
    "config.toml",
    "history.jsonl",
    "hooks.json",
    "plugins",
    "prompts",
    "rules",
    "sessions",
    "skills",
    "spindle",
    "thread-writer-locks",
)
"""Names in the Codex home that no policy and no grant makes writable."""


MOST_LINKS: Final = 40
"""As many links as the kernel follows in one path."""


def metadata_of(root: str) -> list[str]:
    """What is protected at a writable `root`: the names, and where a `.git` file (of a worktree or submodule) points.

    Of a worktree that is its own folder and the common one, where the hooks and the configuration are.
    """
    paths = [os.path.join(root, name) for name in METADATA]
    pointed = _gitdir(os.path.join(root, ".git"))
    if pointed is not None:
        paths.append(pointed)
        common = _first_line(os.path.join(pointed, "commondir"))
        if common is not None:
            paths.append(os.path.normpath(os.path.join(pointed, common)))
    return paths


def shown_of(home: str) -> list[str]:
    """What a command sees in a Codex home: its folders and instructions.

    The other files at its top are credentials, or may hold some (config.toml, its copies, .env), or are of no use to it. What
    a program puts there later is none of these, so that a new auth.json is no more to be seen than an old one.
    """
    with os.scandir(home) as entries:
        return [
            entry.path
            for entry in entries
            if (entry.is_dir() and entry.name != SECRETS) or (entry.name in INSTRUCTIONS and entry.is_file())
        ]


def credentials_elsewhere(home: str) -> list[str]:
    """The files outside of `home` that its credentials are links to."""
    paths = [os.path.join(home, name) for name in CREDENTIALS]
    return [os.path.realpath(path) for path in paths if os.path.islink(path) and os.path.isfile(path)]


def resolve(path: str) -> tuple[str, list[str]]:
    """The real path of an absolute `path`, as far as it exists, and the folders of the links on the way."""
    real, folders = "/", list[str]()
    waiting = path.split("/")[::-1]
    while waiting:
        name = waiting.pop()
        if name == "..":
            real = os.path.dirname(real)
        elif name not in ("", "."):
            place = os.path.join(real, name)
            if os.path.islink(place) and len(folders) < MOST_LINKS:
                folders.append(real)
                target = os.readlink(place)
                real = "/" if target.startswith("/") else real
                waiting += target.split("/")[::-1]
            else:
                real = place
    return real, folders


def has_link(root: str) -> bool:
    """Whether a protected name at `root` is a symbolic link."""
    return any(os.path.islink(os.path.join(root, name)) for name in METADATA)


def _gitdir(path: str) -> str | None:
    line = _first_line(path)
    if line is None or not line.startswith("gitdir:"):
        return None
    return os.path.normpath(os.path.join(os.path.dirname(path), line.removeprefix("gitdir:").strip()))


def _first_line(path: str) -> str | None:
    """The first line of a small file; None where there is none to read."""
    try:
        return os.fsdecode(read_start(path, 4096).partition(b"\n")[0]).strip()
    except OSError:
        return None
