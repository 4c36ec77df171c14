"""Files of the machine, as a client reads, changes and watches them."""

from collections.abc import Sequence
from typing import ClassVar

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.shapes import AbsolutePath
from spindle.rpc.protocol.wire import Notification


@frozen
class FsReadFileParams:
    """Read a whole file."""

    path: AbsolutePath


@frozen
class FsReadFileResponse:
    """The content of the file."""

    data_base64: str


@frozen
class FsWriteFileParams:
    """Create a file, or replace its content."""

    path: AbsolutePath
    data_base64: str


@frozen
class FsWriteFileResponse:
    """The file is written."""


@frozen
class FsCreateDirectoryParams:
    """Create a folder; by default with its missing parents."""

    path: AbsolutePath
    recursive: bool | None = None


@frozen
class FsCreateDirectoryResponse:
    """The folder exists."""


@frozen
class FsGetMetadataParams:
    """Describe a file or folder; links are followed."""

    path: AbsolutePath


@frozen
class FsGetMetadataResponse:
    """What the path leads to, and whether it is itself a link. Times are Unix milliseconds, 0 if unknown."""

    is_directory: bool
    is_file: bool
    is_symlink: bool
    created_at_ms: int
    modified_at_ms: int


@frozen
class FsReadDirectoryParams:
    """List a folder."""

    path: AbsolutePath


@frozen
class FsReadDirectoryEntry:
    """One entry of a folder: its name, and what it leads to."""

    file_name: str
    is_directory: bool
    is_file: bool


@frozen
class FsReadDirectoryResponse:
    """The entries, in no order; without links that lead nowhere."""

    entries: Sequence[FsReadDirectoryEntry]


@frozen
class FsRemoveParams:
    """Remove a file, a link or a folder; by default with its content, and without an error if there is none."""

    path: AbsolutePath
    recursive: bool | None = None
    force: bool | None = None


@frozen
class FsRemoveResponse:
    """Nothing is at the path now."""


@frozen
class FsCopyParams:
    """Copy a file, a link, or with `recursive` a folder."""

    source_path: AbsolutePath
    destination_path: AbsolutePath
    recursive: bool = False


@frozen
class FsCopyResponse:
    """The copy is complete."""


@frozen
class FsWatchParams:
    """Watch a file, or the entries of a folder. The client chooses `watch_id`."""

    watch_id: str
    path: AbsolutePath


@frozen
class FsWatchResponse:
    """The path, without `.` and `..`."""

    path: str


@frozen
class FsUnwatchParams:
    """End a watch."""

    watch_id: str


@frozen
class FsUnwatchResponse:
    """The watch has ended."""


@frozen
class FsChangedNotification(Notification):
    """Something has changed at these paths, which are sorted."""

    METHOD: ClassVar[str] = "fs/changed"
    watch_id: str
    changed_paths: Sequence[str]
