"""The diff of all files that the patches of a turn changed, in git's format.

The content of each file before its first patch of the turn is kept and compared with the disk, so later changes to it by
other tools are included. Renames are followed. Paths are relative to the git repository of the file, else to the turn's
working directory, else absolute.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from attrs import define, field

from spindle.actors.tools.patch.apply import PatchOutcome
from spindle.actors.tools.patch.content import Content, UnreadableFile, read_content, split_lines
from spindle.actors.tools.patch.effects import NO_BLOB, FileEffect, opaque_blob
from spindle.actors.tools.patch.unified import unified_diff
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.values import clean
from spindle.storage.outside import place_of

CONTEXT = 3
"""Lines around each change."""
SHOWN_BYTES = 2**20
"""Larger files count as binary, as very large ones do for git."""
KEPT_BYTES = 32 * 2**20
"""Text kept for a turn; files beyond it count as binary."""

_LINK = 0o120000
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC


@frozen
class _Version:
    """A file at one moment: git's mode and name for it, and its lines unless it counts as binary."""

    mode: int
    blob: str
    lines: Sequence[str] | None


@define
class TurnDiff:
    """The files that the patches of one turn changed. `record` and `render` block, and must not run at the same time."""

    cwd: str
    _before: dict[str, _Version | None] = field(factory=dict[str, "_Version | None"], init=False)
    _first: dict[str, str] = field(factory=dict[str, str], init=False)
    """The path before the turn of each file that was moved, by its path now."""
    _kept: int = field(default=0, init=False)
    _roots: dict[str, str | None] = field(factory=dict[str, "str | None"], init=False)

    def record(self, outcome: PatchOutcome) -> None:
        """Keep the files as they were before a patch; call it for a failed patch as well."""
        effects = outcome.plan.effects
        for effect in effects:
            if effect.target not in self._before:
                self._before[effect.target] = self._version(effect)
        if not outcome.success:
            return
        first = dict(self._first)
        for effect in effects:
            if effect.after is None or effect.origin is not None:
                first.pop(effect.target, None)
        for effect in effects:
            if effect.origin is not None and effect.after is not None:
                first[effect.target] = self._first.get(effect.origin, effect.origin)
        self._first = {now: was for now, was in first.items() if now != was}

    def render(self) -> str:
        """The diff from before the turn to the disk now; "" if nothing differs."""
        now = {path: _on_disk(path) for path in self._before}
        renamed = {
            path: was for path, was in self._first.items() if now[path] is not None and self._before[was] is not None
        }
        moved_away = set(renamed.values())
        parts: list[tuple[str, str]] = []
        for path, after in now.items():
            was = renamed.get(path, path)
            before = None if path in moved_away and path not in renamed else self._before[was]
            parts.append((self._shown(path), self._diff(was, path, before, after)))
        return clean("".join(diff for _, diff in sorted(parts)))

    def _version(self, effect: FileEffect) -> _Version | None:
        """The file before an effect; without its lines if it is too large to keep."""
        if effect.link is not None:
            return _link_version(effect.link)
        image = effect.before
        if image is None:
            return None
        mode = _git_mode(image.mode or 0)
        if image.content is None:
            return _Version(mode, image.blob, None)
        size = sum(map(len, image.content.lines))
        if size > SHOWN_BYTES or self._kept + size > KEPT_BYTES:
            return _Version(mode, image.content.blob(), None)
        self._kept += size
        return _Version(mode, image.content.blob(), image.content.lines)

    def _diff(self, was: str, path: str, before: _Version | None, after: _Version | None) -> str:
        """The diff of one file, whose path before the turn was `was`; "" if nothing differs."""
        if before == after and (was == path or before is None):
            return ""
        old, new = _quoted("a/", self._shown(was)), _quoted("b/", self._shown(path))
        head = f"diff --git {old} {new}\n"
        if before is None or after is None:
            one = before or after
            assert one is not None
            head += f"{'new' if before is None else 'deleted'} file mode {one.mode:o}\n"
        else:
            if before.mode != after.mode:
                head += f"old mode {before.mode:o}\nnew mode {after.mode:o}\n"
            if before.blob == after.blob:
                similar = f"similarity index 100%\nrename from {self._shown(was)}\nrename to {self._shown(path)}\n"
                return head + similar if was != path else head
        head += f"index {before.blob if before else NO_BLOB}..{after.blob if after else NO_BLOB}\n"
        names = f"--- {old if before else '/dev/null'}\n+++ {new if after else '/dev/null'}\n"
        old_lines, new_lines = before.lines if before else (), after.lines if after else ()
        if old_lines is None or new_lines is None:
            return f"{head}{names}Binary files differ\n"
        body = unified_diff(old_lines, new_lines, CONTEXT)
        return head + names + body if body else head

    def _shown(self, path: str) -> str:
        """The path in the diff."""
        root = self._root(os.path.dirname(path)) or os.path.realpath(self.cwd)
        if path.startswith(root.rstrip("/") + "/"):
            return os.path.relpath(path, root)
        return path.lstrip("/")

    def _root(self, folder: str) -> str | None:
        """The git repository around a folder."""
        if folder not in self._roots:
            if os.path.lexists(os.path.join(folder, ".git")):
                self._roots[folder] = folder
            else:
                above = os.path.dirname(folder)
                self._roots[folder] = self._root(above) if above != folder else None
        return self._roots[folder]


def _git_mode(permissions: int) -> int:
    return 0o100755 if permissions & 0o100 else 0o100644


def _link_version(to: str) -> _Version:
    content = Content(tuple(split_lines(clean(to))))
    return _Version(_LINK, content.blob(), content.lines)


def _on_disk(path: str) -> _Version | None:
    """The file on disk; None if there is none, or if git would not track it."""
    try:
        if stat.S_ISLNK(os.lstat(path).st_mode):
            return _link_version(os.readlink(path))
        fd = os.open(path, _READ)
    except OSError:
        return None
    try:
        found = os.fstat(fd)
        mode = _git_mode(found.st_mode)
        if not stat.S_ISREG(found.st_mode) or place_of(fd) != path:  # a folder on the way has become a link
            return None
        if found.st_size > SHOWN_BYTES:
            return _Version(mode, opaque_blob(fd), None)
        try:
            content = read_content(fd)
        except UnreadableFile:
            return _Version(mode, opaque_blob(fd), None)
        return _Version(mode, content.blob(), content.lines)
    except OSError:
        return None
    finally:
        os.close(fd)


def _quoted(side: str, path: str) -> str:
    """A path in a header, quoted as git does if it would break the line."""
    if not any(character < " " or character in '"\\\x7f' for character in path):
        return side + path
    named = {"\n": "\\n", "\t": "\\t", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
    text = "".join(
        named.get(character) or (f"\\{ord(character):03o}" if character < " " or character == "\x7f" else character)
        for character in path
    )
    return f'"{side}{text}"'
