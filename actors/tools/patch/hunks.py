"""What a patch says: hunks for files, and the chunks of lines in them."""

from __future__ import annotations

from enum import Enum
from typing import TypeAlias

from attrs import frozen


class PatchError(Exception):
    """A patch cannot be taken; the message is what the model is answered."""


class Op(Enum):
    """What a line of a chunk is."""

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
    """Lines to be found and changed together; `context` is a line that comes before them, `at_end` ties them to the end."""

    context: str | None
    edits: tuple[Edit, ...]
    at_end: bool = False

    @property
    def old(self) -> list[str]:
        """The lines as they have to be in the file."""
        return [edit.text for edit in self.edits if edit.op is not Op.ADD]


@frozen
class AddFile:
    """A file is to have this content, each line ended by a newline; whatever was there is replaced."""

    path: str
    lines: tuple[str, ...]


@frozen
class DeleteFile:
    """A file is to go."""

    path: str


@frozen
class UpdateFile:
    """A file is to change, and if `move_to` is set to have that path afterwards."""

    path: str
    move_to: str | None
    chunks: tuple[Chunk, ...]


Hunk: TypeAlias = AddFile | DeleteFile | UpdateFile
