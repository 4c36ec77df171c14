"""An archive with the user's feedback: a report, and the files that the user chose."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from spindle.rpc.lazy_class import frozen
from spindle.storage.outside import read_file

MOST: Final = 64 * 1024 * 1024
"""Bytes of one file in the archive."""
FILES: Final = 32
"""Files in the archive, without the report and the list of the files."""


class FeedbackError(Exception):
    """The archive cannot be written; the text says why."""


@frozen
class Attachment:
    """A file for the archive, and the kind of its content."""

    path: Path
    content_type: str


def save(target: Path, report: Mapping[str, Any], attachments: Sequence[Attachment]) -> None:
    """Write the archive as a new file that only its owner can read. Blocks. Raises FeedbackError; then nothing is left."""
    if len(attachments) > FILES:
        raise FeedbackError(f"more than {FILES} files were selected")
    if os.path.lexists(target):
        raise FeedbackError("feedback save path already exists")
    try:
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise FeedbackError(f'{error.strerror} (os error {error.errno}) at path "{target}"') from error
    try:
        with open(fd, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("report.json", json.dumps(report, ensure_ascii=False))
            listed = [_add(archive, number, attachment) for number, attachment in enumerate(attachments)]
            archive.writestr("manifest.json", json.dumps(listed, ensure_ascii=False))
    except BaseException as error:
        with suppress(OSError):
            os.unlink(target)
        if isinstance(error, OSError):
            raise FeedbackError(f"{error.strerror} (os error {error.errno})") from error
        raise


def _add(archive: zipfile.ZipFile, number: int, attachment: Attachment) -> dict[str, str]:
    try:
        content = read_file(attachment.path, MOST)
    except OSError as error:
        what = f"{error.strerror} (os error {error.errno})"
        raise FeedbackError(f"failed to read selected attachment {attachment.path}: {what}") from error
    entry = f"attachments/{number:04}/{attachment.path.name}"
    archive.writestr(entry, content)
    return {"entry": entry, "filename": attachment.path.name, "contentType": attachment.content_type}
