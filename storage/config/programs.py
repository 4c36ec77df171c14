"""The project's files that its settings run: found by name in the settings, compared by content."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import orjson

from spindle.rpc.lazy_class import frozen
from spindle.storage.outside import digest_file

PROGRAM: Final = 256 << 20
"""The most bytes of a compared file; a larger one cannot be approved."""
ENTRIES: Final = 20_000
"""The most files and folders of a plugin."""
DEPTH: Final = 32
"""The most levels of folders in a plugin."""
WORDS: Final = 1000
"""The most different words of a setting that are searched as files."""

_NO_FILE: Final = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES))
_APART: Final = re.compile(r"(?:\$\w*|[\s\"'`(){}\[\]<>|&;=,:*?])+")


@frozen
class ProjectProgram:
    """The texts of a project's setting that may name files: each of `texts` is tried whole and word by word.

    A relative name is searched in `root`, the project's folder, and in `bases`. An absolute name is tried unchanged and
    below `root`, because commands such as `$(git rev-parse --show-toplevel)/check` do not know the root.
    """

    texts: Sequence[str]
    root: Path
    bases: Sequence[Path] = ()

    def files(self, cwd: str | Path | None = None, pinned: Mapping[str, str] | None = None) -> dict[str, str]:
        """The named files in the project, each with the hash of its content. Blocking.

        `cwd` is one more folder to search. A word without a slash may be anything; with `pinned` it counts only if it
        leads to one of these files. Raises OSError for a file that cannot be read, or is larger than `PROGRAM`.
        """
        found: dict[str, str] = {}
        for path, plain in self._paths(cwd):
            if path not in found and not (plain and pinned is not None and path not in pinned):
                if _is_file(path) and self._inside(path):
                    found[path] = digest_file(path, PROGRAM)
        return found

    def _paths(self, cwd: str | Path | None) -> Iterator[tuple[str, bool]]:
        folders = [str(self.root), *map(str, self.bases), *([] if cwd is None else [str(cwd)])]
        names = dict.fromkeys(name for text in self.texts for name in (text, *_APART.split(text)) if name)
        if len(names) > WORDS:
            raise OSError(errno.E2BIG, f"a command of more than {WORDS} words")
        for name in names:
            home = os.path.expanduser(name)
            if home.startswith("/"):
                yield os.path.normpath(home), False
                name = name.lstrip("/")
            for folder in folders:
                yield os.path.normpath(os.path.join(folder, name)), "/" not in name

    def _inside(self, path: str) -> bool:
        """Whether a file is in the project, by its name or by its real path."""
        return _below(path, str(self.root)) or _below(os.path.realpath(path), os.path.realpath(self.root))


@frozen
class Pinned:
    """A program and its approved files: path -> hash."""

    program: ProjectProgram
    files: Mapping[str, str]

    def changed(self, cwd: str | Path | None = None) -> str | None:
        """The reason not to run it in `cwd`: a file that has changed since its approval. Blocking; never raises."""
        try:
            found = self.program.files(cwd, self.files)
        except OSError as error:
            return f"{error.filename or 'a file that it names'} cannot be read: {error.strerror or error}"
        for path, digest in found.items():
            if (approved := self.files.get(path)) != digest:
                return f"{path} is not approved" if approved is None else f"{path} has changed since it was approved"
        return None


@frozen
class PinnedFolder:
    """A plugin's folder as it was approved: a digest of all names and contents."""

    root: Path
    digest: str

    @classmethod
    def of(cls, root: Path) -> PinnedFolder:
        """The folder as it is. Blocking. Raises OSError, also for one beyond the bounds of a plugin."""
        return cls(root, _digest_folder(root))

    def changed(self, cwd: str | Path | None = None) -> str | None:
        """The reason not to run a program of the folder: something in it has changed. Blocking; never raises."""
        try:
            same = _digest_folder(self.root) == self.digest
        except OSError as error:
            return f"{error.filename or self.root} cannot be read: {error.strerror or error}"
        return None if same else "plugin contents changed; hook approval required"


def _digest_folder(root: Path) -> str:
    found = hashlib.sha256()
    left = ENTRIES
    waiting = [(root, 0)]
    while waiting:
        folder, depth = waiting.pop()
        with os.scandir(folder) as listed:
            entries = sorted(listed, key=lambda entry: entry.name)
        left -= len(entries)
        if left < 0 or depth > DEPTH:
            raise OSError(errno.EFBIG, "the folder is larger than a plugin may be", str(root))
        for entry in entries:
            kind, content = "other", ""
            if entry.is_symlink():
                kind, content = "link", os.readlink(entry.path)
            elif entry.is_dir():
                kind = "folder"
                waiting.append((Path(entry.path), depth + 1))
            elif entry.is_file():
                kind, content = "file", digest_file(entry.path, PROGRAM)
            name = os.path.relpath(entry.path, root)
            found.update(orjson.dumps([os.fsencode(name).hex(), kind, os.fsencode(content).hex()]))
    return f"sha256:{found.hexdigest()}"


def hash_of(value: object) -> str:
    """The hash of a value, as Codex makes it. The order of keys does not change it."""
    return f"sha256:{hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()}"


def _is_file(path: str) -> bool:
    """Whether a file exists. Raises OSError if that cannot be found out."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except ValueError:  # an impossible file name
        return False
    except OSError as error:
        if error.errno in _NO_FILE:
            return False
        raise


def _below(path: str, root: str) -> bool:
    return path.startswith(root.rstrip("/") + "/")
