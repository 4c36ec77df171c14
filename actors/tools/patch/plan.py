"""Plan a patch: verify every hunk against the files on disk, and change nothing.

A hunk sees the effects of the hunks before it, so a patch may add a file and then change it, or change one twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from spindle.actors.tools.patch.content import Content, UnreadableFile
from spindle.actors.tools.patch.effects import FileEffect, Image, read_image
from spindle.actors.tools.patch.hunks import AddFile, DeleteFile, Hunk, PatchError, UpdateFile
from spindle.actors.tools.patch.parse import parse
from spindle.actors.tools.patch.places import Stamp, absolute, entry, stamp
from spindle.actors.tools.patch.revise import revise

if TYPE_CHECKING:
    from spindle.rpc.protocol.items import FileUpdateChange
    from spindle.storage.outside import Readable


def unhurried() -> None:
    """A check that never interrupts."""


@frozen
class Plan:
    """A verified patch; `summary` is the answer to the model."""

    text: str
    cwd: str
    effects: tuple[FileEffect, ...]
    summary: str
    readable: Readable | None = field(default=None, eq=False, repr=False)
    check: Callable[[], None] = field(default=unhurried, eq=False, repr=False)

    @cached_property
    def changes(self) -> tuple[FileUpdateChange, ...]:
        """The changes for clients, sorted by path. Blocks when first used, as planning does."""
        from spindle.actors.tools.patch.file_changes import changes  # imported late: the program does not need it

        return changes(self.effects)

    @property
    def touched(self) -> tuple[str, ...]:
        """The real paths of all files that are written or removed, sorted: these need permission."""
        return tuple(sorted(effect.target for effect in self.effects))


def plan(text: str, cwd: str, readable: Readable | None = None, check: Callable[[], None] = unhurried) -> Plan:
    """Verify a patch whose relative paths start from `cwd` (absolute); reads only what is `readable`. Blocks.

    `check` is called regularly and cancels by raising. Raises PatchError; its message is the answer to the model.
    """
    try:
        hunks = parse(text)
        if hunks:
            return _planned(text, cwd, hunks, readable, check)
    except PatchError as error:
        raise PatchError(f"apply_patch verification failed: {error}") from None
    except UnicodeError:
        raise PatchError("apply_patch verification failed: invalid patch: it is not valid Unicode") from None
    except ValueError as error:  # a path with a zero byte
        raise PatchError(f"apply_patch verification failed: invalid patch: {error}") from None
    raise PatchError("patch rejected: empty patch")


def os_error(error: OSError) -> str:
    """An OSError in Codex's words."""
    return f"{os.strerror(error.errno or 0)} (os error {error.errno})"


@define
class _File:
    """A file while the patch is planned."""

    shown: str
    found: Stamp | None
    before: Image | None
    after: Image | None
    link: str | None = None
    added: bool = False
    origin: str | None = None


@define
class _World:
    """The files after the hunks so far, by real path."""

    readable: Readable | None = None
    files: dict[str, _File] = field(factory=dict[str, _File])

    def writes_to(self, shown: str) -> str:
        """The real path of the file that a write to this path changes; a link is followed unless an earlier hunk removed it."""
        here = entry(shown)
        return here if here in self.files else os.path.realpath(shown)

    def load(self, target: str, shown: str, *, opaque: bool = False) -> _File:
        """The file with this real path; read from disk the first time. Of a link, the content is what it points to.

        Raises Unreadable and OSError; with `opaque`, neither for a file that exists but is not text.
        """
        file = self.files.get(target)
        if file is None:
            found = stamp(target)
            before = read_image(target, found, self.readable, opaque=opaque)
            link = os.readlink(target) if found and found.is_link else None
            file = self.files[target] = _File(shown, found, before, before, link)
        return file

    def lookup(self, target: str, shown: str, doing: str) -> tuple[_File, Image, Content]:
        """The file, which must be a text. Raises PatchError; `doing` begins its message."""
        try:
            file = self.load(target, shown)
            if file.after is None:
                raise FileNotFoundError(2, os.strerror(2))
            if file.after.content is None:
                raise UnreadableFile("not a text file")
        except OSError as error:
            raise PatchError(f"{doing} {shown}: {os_error(error)}") from None
        except UnreadableFile as error:
            raise PatchError(f"{doing} {shown}: {error}") from None
        return file, file.after, file.after.content


def _planned(
    text: str, cwd: str, hunks: tuple[Hunk, ...], readable: Readable | None, check: Callable[[], None]
) -> Plan:
    text.encode()
    world = _World(readable)
    listed: list[tuple[str, str]] = []
    for hunk in hunks:
        check()
        match hunk:
            case AddFile():
                _add(world, hunk, cwd)
                listed.append(("A", hunk.path))
            case DeleteFile():
                _delete(world, hunk, cwd)
                listed.append(("D", hunk.path))
            case UpdateFile():
                _update(world, hunk, cwd, check)
                listed.append(("M", hunk.move_to or hunk.path))
    effects = tuple(
        FileEffect(target, file.shown, file.found, file.before, file.after, file.origin, file.link, file.added)
        for target, file in world.files.items()
    )
    listed.sort(key=lambda line: "AMD".index(line[0]))
    summary = "".join(["Success. Updated the following files:\n", *(f"{kind} {path}\n" for kind, path in listed)])
    return Plan(text, cwd, effects, summary, readable, check)


def _add(world: _World, hunk: AddFile, cwd: str) -> None:
    shown = absolute(hunk.path, cwd)
    file = world.load(world.writes_to(shown), shown, opaque=True)
    mode = file.after.mode if file.after else None
    file.after, file.added = Image(Content(tuple(f"{line}\n" for line in hunk.lines)), mode), True


def _delete(world: _World, hunk: DeleteFile, cwd: str) -> None:
    shown = absolute(hunk.path, cwd)
    file, _, _ = world.lookup(entry(shown), shown, "Failed to read")
    file.after = None


def _update(world: _World, hunk: UpdateFile, cwd: str, check: Callable[[], None]) -> None:
    shown = absolute(hunk.path, cwd)
    doing = "Failed to read file to update"
    target = world.writes_to(shown)
    source = entry(shown)
    goal = world.writes_to(absolute(hunk.move_to, cwd)) if hunk.move_to else target
    moves = goal != target
    file, image, content = world.lookup(source if moves else target, shown, doing)
    revised = Image(revise(content, hunk.chunks, shown, check), image.mode)
    if not moves:
        file.after, file.added = revised, False
        return
    moved = world.load(goal, absolute(hunk.move_to or "", cwd), opaque=True)
    moved.after, moved.added, moved.origin = revised, False, file.origin or source
    file.after, file.origin = None, None
