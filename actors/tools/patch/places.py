"""Resolve a path, and open its folder so that no link can redirect it meanwhile."""

from __future__ import annotations

import os
import stat

from attrs import define, field, frozen

_SEARCH = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@frozen
class Stamp:
    """Identifies a file: equal stamps mean the same, unchanged file."""

    device: int
    inode: int
    size: int
    modified_ns: int
    mode: int

    @property
    def is_link(self) -> bool:
        """Whether the name is a symbolic link."""
        return stat.S_ISLNK(self.mode)


def stamp(name: str, folder: int | None = None) -> Stamp | None:
    """The stamp of a name, without following a link; None if it does not exist. Raises OSError."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Stamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode)


def absolute(path: str, cwd: str) -> str:
    """The path for display: absolute, without `.` and `..`, links not resolved."""
    joined = os.path.normpath(os.path.join(cwd, path))
    return joined[1:] if joined.startswith("//") else joined


def entry(path: str) -> str:
    """The real path of the name itself: links in the folders above it are resolved, the last part is not."""
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)


@define
class Folder:
    """An open folder, and the folders that were made for it."""

    fd: int
    made: list[tuple[int, str]] = field(factory=list[tuple[int, str]])
    """Outermost first: the open parent folder, and the name."""

    def close(self) -> None:
        """Close its descriptors."""
        for fd in (self.fd, *(holder for holder, _ in self.made)):
            os.close(fd)

    def unmake(self) -> None:
        """Remove the folders that were made, if they are empty."""
        for holder, name in reversed(self.made):
            try:
                os.rmdir(name, dir_fd=holder)
            except OSError:
                return


def open_folder(path: str, *, make: bool) -> Folder:
    """Open the folder with this real path, part by part from the root, following no link.

    `make`: create missing folders. Raises OSError, after removing what it created.
    """
    folder = Folder(os.open("/", _SEARCH))
    try:
        for part in path.split("/"):
            if not part:
                continue
            try:
                inner = os.open(part, _SEARCH, dir_fd=folder.fd)
            except FileNotFoundError:
                if not make:
                    raise
                folder.made.append((_make(part, folder.fd), part))
                inner = os.open(part, _SEARCH, dir_fd=folder.fd)
            os.close(folder.fd)
            folder.fd = inner
    except BaseException:
        folder.unmake()
        folder.close()
        raise
    return folder


def _make(name: str, folder: int) -> int:
    """Make a folder in an open one; returns a duplicate descriptor of the open one."""
    holder = os.dup(folder)
    try:
        os.mkdir(name, dir_fd=holder)
    except BaseException:
        os.close(holder)
        raise
    return holder
