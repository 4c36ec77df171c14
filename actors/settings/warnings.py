"""Warnings to clients about settings that have no effect."""

from __future__ import annotations

from spindle.rpc.protocol.config import ConfigWarningNotification, TextPosition, TextRange
from spindle.storage.config.notes import Note


def warning_of(note: Note) -> ConfigWarningNotification:
    """The notification of a note; the range is empty, at the setting's name."""
    at = None if note.place is None else TextPosition(*note.place)
    path = None if note.path is None else str(note.path)
    return ConfigWarningNotification(note.text, None, path, None if at is None else TextRange(at, at))
