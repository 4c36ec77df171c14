"""Apply a plan: all of it, or nothing.

New contents are first written next to their files. When all of them exist, files are replaced and removed by renames; if a
rename fails, the earlier ones are undone. So a half-written file is never visible, even if the process is killed. Folders are
opened one by one from the root without following links, and a file that is not the planned one is not touched: what was
approved is what is written.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

from attrs import define, field, frozen

from spindle.actors.tools.patch.effects import FileEffect, Image
from spindle.actors.tools.patch.hunks import PatchError
from spindle.actors.tools.patch.places import Folder, Stamp, open_folder, stamp
from spindle.actors.tools.patch.plan import Plan, plan

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@frozen
class PatchOutcome:
    """The result. `plan` is what was applied; `stdout` and `stderr` are for the model and the rollout."""

    plan: Plan
    success: bool
    stdout: str
    stderr: str
    seconds: float

    @property
    def exit_code(self) -> int:
        """0 for success, else 1, as of a command."""
        return 0 if self.success else 1

    @property
    def output(self) -> str:
        """Both outputs, as a terminal shows them."""
        return self.stdout + self.stderr


class _Failed(Exception):
    """A step failed. The message is for the model."""


def apply(planned: Plan) -> PatchOutcome:
    """Apply a plan; a failure is in the outcome. Blocks: run it in a worker thread that is not abandoned on cancel."""
    begun = time.monotonic()
    carried, stderr = planned, ""
    try:
        carried = _current(planned)
        _carry_out(carried)
    except _Failed as failure:
        stderr = f"{failure}\n"
    except PatchError as error:
        stderr = f"{str(error).removeprefix('apply_patch verification failed: ')}\n"
    return PatchOutcome(carried, not stderr, "" if stderr else carried.summary, stderr, time.monotonic() - begun)


def _current(planned: Plan) -> Plan:
    """The plan, or a fresh one if a file has changed. Raises _Failed if that touches other files than were approved."""
    try:
        if all(stamp(effect.target) == effect.found for effect in planned.effects):
            return planned
    except OSError:
        pass  # it has changed
    fresh = plan(planned.text, planned.cwd, planned.readable, planned.check)
    if fresh.touched != planned.touched:
        new = sorted(set(fresh.touched) ^ set(planned.touched))
        raise _Failed(f"Paths changed since the patch was checked: {', '.join(new)}")
    return fresh


@define
class _Work:
    """One effect in progress: its open folder, and the names of the temporary files beside it."""

    effect: FileEffect
    folder: Folder
    name: str
    fresh: str | None = None
    kept: str | None = None
    undo: Callable[[], None] | None = None
    done: bool = False


@define
class _Transaction:
    works: list[_Work] = field(factory=list[_Work])
    finished: bool = False


def _carry_out(carried: Plan) -> None:
    """Stage all, then commit all. Raises _Failed; nothing is changed then unless the message says so."""
    writes = [effect for effect in carried.effects if effect.after is not None and _differs(effect)]
    removals = [effect for effect in carried.effects if effect.after is None and effect.before is not None]
    transaction = _Transaction()
    try:
        for effect in (*writes, *removals):
            with _naming(effect):
                _stage(transaction, effect)
        for work in transaction.works:
            with _naming(work.effect):
                _commit(work)
        transaction.finished = True
    except _Failed as failure:
        left = _roll_back(transaction)
        if left:
            done = "".join(f"\n{path}" for path in left)
            raise _Failed(f"{failure}\nThese files were changed and could not be restored:{done}") from None
        raise
    except BaseException:
        _roll_back(transaction)
        raise
    finally:
        _clear(transaction)


def _differs(effect: FileEffect) -> bool:
    before, after = effect.before, effect.after
    if before is None or after is None or effect.link is not None:
        return True
    return before.content is None or before.content != after.content


@contextmanager
def _naming(effect: FileEffect) -> Generator[None, None, None]:
    """Turn an OSError into a failure that names the file."""
    try:
        yield
    except OSError:
        doing = "write" if effect.after is not None else "delete"
        raise _Failed(f"Failed to {doing} file {effect.shown}") from None


def _stage(transaction: _Transaction, effect: FileEffect) -> None:
    """Open the folder, and write the new content beside the file."""
    parent, name = os.path.split(effect.target)
    folder = open_folder(parent, make=effect.after is not None)
    work = _Work(effect, folder, name)
    transaction.works.append(work)
    if effect.after is None:
        return
    there = stamp(name, folder.fd)
    if there is not None and stat.S_ISDIR(there.mode):
        raise IsADirectoryError(21, os.strerror(21))
    work.fresh = _beside("new")
    _write(work, effect.after, there)


def _beside(what: str) -> str:
    return f".apply_patch-{os.urandom(8).hex()}.{what}"


def _write(work: _Work, image: Image, there: Stamp | None) -> None:
    assert work.fresh is not None
    mode = 0o666 if image.mode is None else 0o600  # readable to others only when it is complete
    fd = os.open(work.fresh, _CREATE, mode, dir_fd=work.folder.fd)
    try:
        for block in image.content.blocks() if image.content else ():
            while block:
                block = block[os.write(fd, block) :]
        if there is not None:
            _take_owner(fd, work)
        if image.mode is not None:
            os.fchmod(fd, image.mode)
    finally:
        os.close(fd)


def _take_owner(fd: int, work: _Work) -> None:
    """Give the new file the owner of the old one, if permitted."""
    old, new = os.stat(work.name, dir_fd=work.folder.fd, follow_symlinks=False), os.fstat(fd)
    if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        with suppress(PermissionError):
            os.fchown(fd, old.st_uid, old.st_gid)


def _unchanged(effect: FileEffect, there: Stamp | None) -> None:
    if there != effect.found:
        raise _Failed(f"{effect.shown} changed while the patch was applied")


def _commit(work: _Work) -> None:
    """Rename the new file into place, or the old one away; keep the old one under a temporary name for an undo."""
    effect, folder, name = work.effect, work.folder.fd, work.name
    _unchanged(effect, stamp(name, folder))
    if work.fresh is None:
        kept = _beside("old")
        os.rename(name, kept, src_dir_fd=folder, dst_dir_fd=folder)
        work.kept = kept
        work.undo = lambda: _restore(work)
    else:
        if effect.found is not None:
            work.kept = _keep(work)
        os.replace(work.fresh, name, src_dir_fd=folder, dst_dir_fd=folder)
        work.fresh = None
        if work.kept is not None:
            work.undo = lambda: _restore(work)
        elif effect.found is None:
            work.undo = lambda: os.unlink(name, dir_fd=folder)
    work.done = True


def _keep(work: _Work) -> str | None:
    """Hard-link the old file to a temporary name; None if the file system cannot."""
    kept, folder = _beside("old"), work.folder.fd
    try:
        os.link(work.name, kept, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except OSError:
        return None
    return kept


def _restore(work: _Work) -> None:
    assert work.kept is not None
    os.replace(work.kept, work.name, src_dir_fd=work.folder.fd, dst_dir_fd=work.folder.fd)
    work.kept = None


def _roll_back(transaction: _Transaction) -> list[str]:
    """Undo the commits, last first; returns the paths for which that failed.

    An old file that cannot be renamed back keeps its temporary name, which is returned with its path.
    """
    left: list[str] = []
    for work in reversed(transaction.works):
        if work.done:
            try:
                if work.undo is None:
                    raise OSError
                work.undo()
            except OSError:
                where = os.path.join(os.path.dirname(work.effect.target), work.kept) if work.kept else None
                left.append(f"{work.effect.shown} (as it was: {where})" if where else work.effect.shown)
                work.kept = None
    return left[::-1]


def _clear(transaction: _Transaction) -> None:
    """Remove temporary files, close folders, and remove folders that were made for a patch that failed."""
    for work in transaction.works:
        for name in (work.fresh, work.kept):
            if name is not None:
                with suppress(OSError):
                    os.unlink(name, dir_fd=work.folder.fd)
    for work in reversed(transaction.works):
        if not transaction.finished:
            work.folder.unmake()
        work.folder.close()
