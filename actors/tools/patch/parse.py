"""Parse the text of a patch, as leniently as Codex 0.124 and with its error messages.

Accepted are: white space around the patch and around markers, CRLF line ends, a here-document around the patch (`<<'EOF'`
... `EOF`), a first chunk without `@@`, blank lines between chunks, and empty lines as empty context.
"""

from __future__ import annotations

from collections.abc import Sequence

from spindle.actors.tools.patch.hunks import AddFile, Chunk, DeleteFile, Edit, Hunk, Op, PatchError, UpdateFile

BEGIN = "*** Begin Patch"
END = "*** End Patch"
ADD = "*** Add File: "
DELETE = "*** Delete File: "
UPDATE = "*** Update File: "
MOVE = "*** Move to: "
END_OF_FILE = "*** End of File"

_HEREDOC = ("<<EOF", "<<'EOF'", '<<"EOF"')
_SIGNS = {op.value: op for op in Op}
_HEADERS = "'*** Add File: {path}', '*** Delete File: {path}', '*** Update File: {path}'"


def parse(text: str) -> tuple[Hunk, ...]:
    """The hunks of a patch, in order; none if the patch is empty. Raises PatchError."""
    lines = _unwrapped([line.removesuffix("\r") for line in text.strip().split("\n")])
    hunks: list[Hunk] = []
    at, end = 1, len(lines) - 1
    while at < end:
        hunk, at = _hunk(lines, at, end)
        hunks.append(hunk)
    return tuple(hunks)


def is_patch(text: str) -> bool:
    """Whether the text is a complete patch that parses."""
    try:
        parse(text)
    except PatchError:
        return False
    return True


def _unwrapped(lines: list[str]) -> list[str]:
    """The lines from the first marker to the last, without a here-document around them."""
    wrong = _boundaries(lines)
    if wrong is None:
        return lines
    if len(lines) >= 4 and lines[0] in _HEREDOC and lines[-1].endswith("EOF"):
        inner = lines[1:-1]
        wrong = _boundaries(inner)
        if wrong is None:
            return inner
    raise PatchError(f"invalid patch: {wrong}")


def _boundaries(lines: Sequence[str]) -> str | None:
    """What is wrong with the first or the last line, if anything."""
    first, last = lines[0].strip(), lines[-1].strip()
    if first == BEGIN and last == END:
        return None
    if first != BEGIN and first:
        return f"The first line of the patch must be '{BEGIN}'"
    return f"The last line of the patch must be '{END}'"


def _bad(at: int, why: str) -> PatchError:
    """An error in the line with index `at`; messages count from 1."""
    return PatchError(f"invalid hunk at line {at + 1}, {why}")


def _hunk(lines: Sequence[str], at: int, end: int) -> tuple[Hunk, int]:
    """The hunk that starts at `at`, and the start of the next."""
    head = lines[at].strip()
    if head.startswith(ADD):
        start = at = at + 1
        while at < end and lines[at].startswith("+"):
            at += 1
        return AddFile(head.removeprefix(ADD), tuple(line[1:] for line in lines[start:at])), at
    if head.startswith(DELETE):
        return DeleteFile(head.removeprefix(DELETE)), at + 1
    if head.startswith(UPDATE):
        return _update(lines, at, end, head.removeprefix(UPDATE))
    raise _bad(at, f"'{head}' is not a valid hunk header. Valid hunk headers: {_HEADERS}")


def _update(lines: Sequence[str], head: int, end: int, path: str) -> tuple[UpdateFile, int]:
    at, move_to = head + 1, None
    if at < end and lines[at].strip().startswith(MOVE):
        move_to = lines[at].strip().removeprefix(MOVE)
        at += 1
    chunks: list[Chunk] = []
    while at < end:
        if not lines[at].strip():
            at += 1
            continue
        if lines[at].startswith("***"):
            break
        chunk, at = _chunk(lines, at, end, first=not chunks)
        chunks.append(chunk)
    if not chunks:
        raise _bad(head, f"Update file hunk for path '{path}' is empty")
    return UpdateFile(path, move_to, tuple(chunks)), at


def _chunk(lines: Sequence[str], at: int, end: int, *, first: bool) -> tuple[Chunk, int]:
    start, head, context = at, lines[at], None
    if head.rstrip() == "@@":
        at += 1
    elif head.startswith("@@ "):
        context = head.removeprefix("@@ ")
        at += 1
    elif not first:
        raise _bad(at, f"Expected update hunk to start with a @@ context marker, got: '{head}'")
    edits: list[Edit] = []
    while at < end:
        line = lines[at]
        if line.rstrip() == END_OF_FILE and edits:
            return Chunk(context, tuple(edits), at_end=True), at + 1
        sign = line[:1] or " "
        if sign not in _SIGNS:
            if not edits and line.rstrip() != END_OF_FILE:
                raise _bad(
                    start + 1,
                    f"Unexpected line found in update hunk: '{line}'. Every line should start with ' ' (context line), "
                    "'+' (added line), or '-' (removed line)",
                )
            break
        edits.append(Edit(_SIGNS[sign], line[1:]))
        at += 1
    if not edits:
        raise _bad(start + 1, "Update hunk does not contain any lines")
    return Chunk(context, tuple(edits)), at
