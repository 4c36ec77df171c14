"""A parsed patch: hunks for files, and the chunks of lines in them."""

from __future__ import annotations

from enum import Enum
from typing import TypeAlias

from attrs import frozen


class PatchError(Exception):
    """The patch is refused. The message is the answer to the model."""


class Op(Enum):
    """What happens to a line of a chunk; the values are the signs in the patch."""

    KEEP = " "
    REMOVE = "-"
    ADD = "+"


@frozen
class Edit:
    """One line of a chunk, without its sign and its newline."""

    op: Op
    text: str


@frozen
class Chunk:
    """Lines that are found and changed together. `context` is a line above them; `at_end`: they end the file."""

    context: str | None
    edits: tuple[Edit, ...]
    at_end: bool = False

    @property
    def old(self) -> list[str]:
        """The lines that the file must have."""
        return [edit.text for edit in self.edits if edit.op is not Op.ADD]


@frozen
class AddFile:
    """Write a file with these lines, each ended by a newline; replaces an existing file."""

    path: str
    lines: tuple[str, ...]


@frozen
class DeleteFile:
    """Delete a file."""

    path: str


@frozen
class UpdateFile:
    """Change a file, and rename it if `move_to` is set."""

    path: str
    move_to: str | None
    chunks: tuple[Chunk, ...]


Hunk: TypeAlias = AddFile | DeleteFile | UpdateFile
