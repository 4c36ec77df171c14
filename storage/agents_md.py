"""Instructions that users keep in AGENTS.md files: one in the home, one per folder from the project's root to the cwd.

In each place `AGENTS.override.md` replaces `AGENTS.md`.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from spindle.storage.config.layers import folders_up, project_root
from spindle.storage.home import Home
from spindle.storage.outside import TEXT, planted, read_start

_NAMES = ("AGENTS.override.md", "AGENTS.md")
_PROJECT_HEADING = "\n\n--- project-doc ---\n\n"


@frozen
class Instructions:
    """`text` is what the model is told, None if there is nothing; `sources` the files it came from, in order."""

    text: str | None
    sources: Sequence[str]


def read_instructions(
    home: Home,
    cwd: Path,
    *,
    max_bytes: int = 32 * 1024,
    fallback_names: Sequence[str] = (),
    root_markers: Sequence[str] = (".git",),
) -> Instructions:
    """Collect the instructions that hold in `cwd` (absolute; it need not exist). Blocks on the disk.

    `max_bytes` bounds the project's files together, cutting the last one; 0 leaves the home's file only, which is cut at
    `TEXT` bytes.
    `fallback_names` are tried in folders without an AGENTS.md. Files that cannot be read are left out, and those that another
    user has put into a folder like /tmp, and links of a project to the home's credentials.
    """
    sources: list[str] = []
    own = _home_text(home, sources)
    project = _project_text(home, cwd, max_bytes, (*_NAMES, *fallback_names), root_markers, sources)
    parts = [part for part in (own, project) if part]
    return Instructions(_PROJECT_HEADING.join(parts) if parts else None, tuple(sources))


def _home_text(home: Home, sources: list[str]) -> str:
    for name in _NAMES:
        path = home.path / name
        data = _read(path, TEXT)
        text = "" if data is None else data.decode("utf-8", "replace").strip()
        if text:
            sources.append(str(path))
            return text
    return ""


def _project_text(
    home: Home, cwd: Path, max_bytes: int, names: Sequence[str], root_markers: Sequence[str], sources: list[str]
) -> str:
    parts: list[str] = []
    left = max_bytes
    for folder in reversed(folders_up(cwd, project_root(cwd, root_markers))):
        if left <= 0:
            break
        for name in names:
            data = _read(folder / name, left)
            if data is None or planted(folder / name) or home.hides(os.path.realpath(folder / name)):
                continue
            sources.append(str(folder / name))
            left -= len(data)
            text = data.decode("utf-8", "replace")
            if text.strip():
                parts.append(text)
            break
    return "\n\n".join(parts)


def _read(path: Path, most: int) -> bytes | None:
    """The first `most` bytes of a regular file, None if there is none."""
    try:
        return read_start(path, most)
    except (OSError, ValueError):  # a name that no file can have
        return None
