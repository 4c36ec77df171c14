"""Paths that stay read-only in writable folders because programs trust them later, and the hidden part of the home."""

from __future__ import annotations

import os
from typing import Final

from spindle.storage.home import CREDENTIALS, INSTRUCTIONS, SECRETS
from spindle.storage.outside import read_start

METADATA: Final = (".git", ".agents", ".codex")
"""Protected names at the top of a writable root: their hooks, instructions and rules have effects outside the sandbox."""

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
"""Names in the Codex home that are never writable. No policy and no grant changes that."""


MOST_LINKS: Final = 40
"""The most links that are followed in one path, as in the kernel."""


def metadata_of(root: str) -> list[str]:
    """The protected paths of a writable `root`: the names, and the target of a `.git` file (worktree or submodule).

    For a worktree these are its own folder, and the common one with the hooks and the configuration.
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
    """The entries of a Codex home that commands see: folders and instructions.

    Other files at its top are or may contain credentials (config.toml, its copies, .env), or are useless to commands. Files
    that are created later, such as a new auth.json, are hidden too.
    """
    with os.scandir(home) as entries:
        return [
            entry.path
            for entry in entries
            if (entry.is_dir() and entry.name != SECRETS) or (entry.name in INSTRUCTIONS and entry.is_file())
        ]


def credentials_elsewhere(home: str) -> list[str]:
    """The files outside `home` that credentials in it link to."""
    paths = [os.path.join(home, name) for name in CREDENTIALS]
    return [os.path.realpath(path) for path in paths if os.path.islink(path) and os.path.isfile(path)]


def resolve(path: str) -> tuple[str, list[str]]:
    """The real path of an absolute `path`, which need not exist, and the folders of the links on the way."""
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
    """The first line of a small file; None if it cannot be read."""
    try:
        return os.fsdecode(read_start(path, 4096).partition(b"\n")[0]).strip()
    except OSError:
        return None
