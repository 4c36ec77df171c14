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
