"""Where a path really leads, and opening its folder so that nothing can lead elsewhere in the meantime."""

from __future__ import annotations

import os
import stat

from attrs import define, field, frozen

_SEARCH = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@frozen
class Stamp:
    """What tells whether a name in a folder still is the file it was."""

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
    """The stamp of a name, links not followed; None if there is nothing. Raises OSError."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Stamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode)


def absolute(path: str, cwd: str) -> str:
    """The path as it is shown: absolute, without `.` and `..`, links left as they are."""
    joined = os.path.normpath(os.path.join(cwd, path))
    return joined[1:] if joined.startswith("//") else joined


def entry(path: str) -> str:
    """Where the name itself is: links in the folders above resolved, a link in the last place not."""
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)


@define
class Folder:
    """An open folder, and the folders that had to be made for it."""

    fd: int
    made: list[tuple[int, str]] = field(factory=list[tuple[int, str]])
    """Outermost first: the open folder that holds it, and its name."""

    def close(self) -> None:
        """Let go of it."""
        for fd in (self.fd, *(holder for holder, _ in self.made)):
            os.close(fd)

    def unmake(self) -> None:
        """Remove the folders that were made, as far as they are empty."""
        for holder, name in reversed(self.made):
            try:
                os.rmdir(name, dir_fd=holder)
            except OSError:
                return


def open_folder(path: str, *, make: bool) -> Folder:
    """Open the folder with this real path from the root down, refusing links that have come into it since.

    Missing folders are made if `make` is set. Raises OSError; what was made is then removed again.
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
    """Make a folder in an open one; returns another descriptor of that."""
    holder = os.dup(folder)
    try:
        os.mkdir(name, dir_fd=holder)
    except BaseException:
        os.close(holder)
        raise
    return holder
