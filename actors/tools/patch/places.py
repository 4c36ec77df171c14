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
    """An open folder, and the folders that had to be made for it, outermost first."""

    fd: int
    made: list[str] = field(factory=list[str])

    def close(self) -> None:
        """Let go of it."""
        os.close(self.fd)


def open_folder(path: str, *, make: bool) -> Folder:
    """Open the folder with this real path from the root down, refusing links that have come into it since.

    Missing folders are made if `make` is set. Raises OSError; what was made is then removed again.
    """
    fd = os.open("/", _SEARCH)
    folder = Folder(fd)
    walked = "/"
    try:
        for part in path.split("/"):
            if not part:
                continue
            walked = os.path.join(walked, part)
            try:
                inner = os.open(part, _SEARCH, dir_fd=folder.fd)
            except FileNotFoundError:
                if not make:
                    raise
                os.mkdir(part, dir_fd=folder.fd)
                folder.made.append(walked)
                inner = os.open(part, _SEARCH, dir_fd=folder.fd)
            os.close(folder.fd)
            folder.fd = inner
    except BaseException:
        folder.close()
        unmake(folder.made)
        raise
    return folder


def unmake(made: list[str]) -> None:
    """Remove folders that were made, as far as they are empty."""
    for path in reversed(made):
        try:
            os.rmdir(path)
        except OSError:
            return
