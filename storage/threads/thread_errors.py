"""What can be wrong with a stored thread. The messages are what a client is shown."""

import errno
from pathlib import Path
from typing import Final

_PASSING: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR})


def is_passing(error: BaseException) -> bool:
    """Whether an error says nothing of the file: the process has run out of descriptors or memory, or was interrupted.

    What is damaged can be left out of a list; what could not be looked at is an error to who asked for the list.
    """
    return isinstance(error, OSError) and error.errno in _PASSING


class StoredThreadError(Exception):
    """Base of everything raised about stored threads; `str()` is fit for a client."""


class NoRollout(StoredThreadError):
    """No rollout file below `sessions/` carries this thread id in its name."""

    def __init__(self, thread_id: str) -> None:
        super().__init__(f"no rollout found for thread id {thread_id}")
        self.thread_id = thread_id


class NoArchivedRollout(StoredThreadError):
    """No rollout file in `archived_sessions/` carries this thread id in its name."""

    def __init__(self, thread_id: str) -> None:
        super().__init__(f"no archived rollout found for thread id {thread_id}")
        self.thread_id = thread_id


class EmptyRollout(StoredThreadError):
    """The rollout file holds no line at all."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"rollout at {path} is empty")
        self.path = path


class NoSessionMeta(StoredThreadError):
    """The first readable line of the rollout is not a `session_meta`."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"rollout at {path} does not start with session metadata")
        self.path = path


class ArchiveConflict(StoredThreadError):
    """A file of the same name is already where the rollout should go; nothing was moved."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"refusing to replace {path}")
        self.path = path


class InvalidCursor(StoredThreadError):
    """The cursor was not given out by a list."""

    def __init__(self, cursor: str) -> None:
        super().__init__(f"invalid cursor: {cursor}")
        self.cursor = cursor
