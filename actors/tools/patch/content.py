"""The text of a file as lines; writing them gives the same bytes."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import time
from collections.abc import Iterator

from attrs import frozen

MAX_BYTES = 32 * 2**20
"""The largest file that is patched; its lines are in memory."""
_BLOCK = 32 * 1024
_LINES = 256


class UnreadableFile(Exception):
    """The file is not text that can be patched. The message says why, in Codex's words where it has them."""


@frozen
class Content:
    """The lines of a text, each with its line end; only the last one may lack it."""

    lines: tuple[str, ...]

    def blocks(self) -> Iterator[bytes]:
        """The bytes of the file, some lines at a time."""
        for at in range(0, len(self.lines), _LINES):
            yield "".join(self.lines[at : at + _LINES]).encode()

    def text(self) -> str:
        """The whole text."""
        return "".join(self.lines)

    def blob(self) -> str:
        """Git's name for this content."""
        blocks = list(self.blocks())
        digest = hashlib.sha1(b"blob %d\0" % sum(map(len, blocks)), usedforsecurity=False)
        for block in blocks:
            digest.update(block)
            time.sleep(0)
        return digest.hexdigest()


def split_lines(text: str) -> list[str]:
    """The lines with their ends. Only a newline ends a line."""
    return io.StringIO(text, newline="\n").readlines()


def read_content(fd: int) -> Content:
    """Read an open file in blocks, so that other Python threads can run. Raises Unreadable and OSError."""
    found = os.fstat(fd)
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(21, os.strerror(21))
    if not stat.S_ISREG(found.st_mode):
        raise UnreadableFile("not a regular file")
    lines: list[str] = []
    rest, read = b"", 0
    while block := os.read(fd, _BLOCK):
        read += len(block)
        if read > MAX_BYTES:
            raise UnreadableFile(f"larger than {MAX_BYTES} bytes")
        cut = block.rfind(b"\n") + 1
        if cut:
            whole = rest + block[:cut]
            rest = block[cut:]
            lines.extend(split_lines(_decoded(whole, read - len(block) + cut - len(whole))))
        else:
            rest += block
    if rest:
        lines.append(_decoded(rest, read - len(rest)))
    return Content(tuple(lines))


def _decoded(data: bytes, offset: int) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        at = offset + error.start
        if error.reason == "unexpected end of data":
            raise UnreadableFile(f"incomplete utf-8 byte sequence from index {at}") from None
        raise UnreadableFile(f"invalid utf-8 sequence of {error.end - error.start} bytes from index {at}") from None
