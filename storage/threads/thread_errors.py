"""Errors of stored threads. The messages are for clients."""

import errno
from pathlib import Path
from typing import Final

_PASSING: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR})


def is_passing(error: BaseException) -> bool:
    """Whether an error is not the file's own: the process is out of descriptors or memory, or was interrupted.

    A list may skip damaged files. For a file that could not be read for such a reason, the list fails.
    """
    return isinstance(error, OSError) and error.errno in _PASSING


class StoredThreadError(Exception):
    """The base of the errors of stored threads; `str()` is for clients."""


class NoRollout(StoredThreadError):
    """No rollout file below `sessions/` has this thread id in its name."""

    def __init__(self, thread_id: str) -> None:
        super().__init__(f"no rollout found for thread id {thread_id}")
        self.thread_id = thread_id


class NoArchivedRollout(StoredThreadError):
    """No rollout file in `archived_sessions/` has this thread id in its name."""

    def __init__(self, thread_id: str) -> None:
        super().__init__(f"no archived rollout found for thread id {thread_id}")
        self.thread_id = thread_id


class EmptyRollout(StoredThreadError):
    """The rollout file has no lines."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"rollout at {path} is empty")
        self.path = path


class NoSessionMeta(StoredThreadError):
    """The first readable line of the rollout is not a `session_meta`."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"rollout at {path} does not start with session metadata")
        self.path = path


class ArchiveConflict(StoredThreadError):
    """The target already has a file of the same name; nothing was moved."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"refusing to replace {path}")
        self.path = path


class InvalidCursor(StoredThreadError):
    """The cursor is not one of a list."""

    def __init__(self, cursor: str) -> None:
        super().__init__(f"invalid cursor: {cursor}")
        self.cursor = cursor
