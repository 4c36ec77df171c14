"""Instructions in AGENTS.md files: one in the home, one per folder from the project's root to the cwd.

In each folder `AGENTS.override.md` replaces `AGENTS.md`. The home's file belongs to the user. A project's files may be
links to any file, so files that may not be read for the model are not read here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from attrs import evolve

from spindle.rpc.lazy_class import frozen
from spindle.storage.config.layers import folders_up, project_root
from spindle.storage.home import Home
from spindle.storage.outside import TEXT, Hidden, Readable, planted, read_placed, read_start

_NAMES = ("AGENTS.override.md", "AGENTS.md")
_PROJECT_HEADING = "\n\n--- project-doc ---\n\n"


@frozen
class Part:
    """The text of one file. `place` is its real path; None if the system does not give it."""

    source: str
    text: str
    place: str | None = None


@frozen
class Instructions:
    """The texts of the home's file and the project's files, in order. `hidden` are existing files that may not be read."""

    own: Part | None = None
    project: Sequence[Part] = ()
    hidden: Sequence[str] = ()

    @property
    def text(self) -> str | None:
        """The text for the model, None if there is none."""
        texts = [self.own.text] if self.own else []
        if project := "\n\n".join(part.text for part in self.project if part.text.strip()):
            texts.append(project)
        return _PROJECT_HEADING.join(texts) if texts else None

    @property
    def sources(self) -> Sequence[str]:
        """The files of the text."""
        return tuple(part.source for part in ([self.own] if self.own else []) + list(self.project))

    def within(self, readable: Readable | None) -> Instructions:
        """Without the project's files that are not `readable`."""
        if readable is None:
            return self
        return evolve(self, project=[one for one in self.project if one.place is not None and readable(one.place)])


def read_instructions(
    home: Home,
    cwd: Path,
    *,
    max_bytes: int = 32 * 1024,
    fallback_names: Sequence[str] = (),
    root_markers: Sequence[str] = (".git",),
    readable: Readable | None = None,
) -> Instructions:
    """Collect the instructions for `cwd` (absolute; it need not exist). Blocking.

    `max_bytes` bounds the project's files together and cuts the last one; with 0 only the home's file is used, cut at
    `TEXT` bytes. `fallback_names` are tried in folders without an AGENTS.md. Files that cannot be read are skipped. So
    are project files that are not `readable`, that another user has put into a folder like /tmp, or that link to hidden
    files of the home.
    """
    parts: list[Part] = []
    hidden: list[str] = []
    left = max_bytes
    for folder in reversed(folders_up(cwd, project_root(cwd, root_markers))):
        if left <= 0:
            break
        for path in (folder / name for name in (*_NAMES, *fallback_names)):
            if not os.path.lexists(path) or planted(path):  # most do not exist, so nothing else is checked
                continue
            try:
                data, place = read_placed(path, left, readable)
                if home.hides(place or os.path.realpath(path)):
                    raise Hidden(path)
            except Hidden:
                hidden.append(str(path))
            except (OSError, ValueError):  # an impossible file name
                pass
            else:
                left -= len(data)
                parts.append(Part(str(path), data.decode("utf-8", "replace"), place))
                break
    return Instructions(_home_part(home), parts, hidden)


def _home_part(home: Home) -> Part | None:
    for path in (home.path / name for name in _NAMES):
        try:
            text = read_start(path, TEXT).decode("utf-8", "replace").strip()
        except (OSError, ValueError):
            continue
        if text:
            return Part(str(path), text)
    return None
