"""Warnings to clients about settings that have no effect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from spindle.rpc.protocol.config import ConfigWarningNotification, TextPosition, TextRange
from spindle.storage.config.notes import Note

REVIEWER: Final = "user"
"""Who decides about approvals, even if a request or config.toml asks for another reviewer."""


def reviewer_warnings(asked: str) -> Sequence[str]:
    """The warnings for clients if `approvalsReviewer` names a reviewer other than `REVIEWER`."""
    if asked == REVIEWER:
        return ()
    return (f"approvalsReviewer `{asked}` is not supported: the user is asked, as with `{REVIEWER}`",)


def warning_of(note: Note) -> ConfigWarningNotification:
    """The notification of a note; the range is empty, at the setting's name."""
    at = None if note.place is None else TextPosition(*note.place)
    path = None if note.path is None else str(note.path)
    return ConfigWarningNotification(note.text, None, path, None if at is None else TextRange(at, at))
