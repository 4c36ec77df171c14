"""The user's approvals of projects' settings: a file in the home, written only by `spindle trust`.

Hooks are approved as in Codex 0.171, by the hash of each in `[hooks.state]` of config.toml, so that an approval holds
for both programs. This file has the rest: other settings, and the files that commands name.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import orjson

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.converter import InvalidValue, structure, unstructure
from spindle.rpc.protocol.values import loads
from spindle.storage.config.programs import Pinned, ProjectProgram
from spindle.storage.durable import private_folder, replace
from spindle.storage.home import Home
from spindle.storage.locks import locked
from spindle.storage.outside import CATALOG, read_file

log = logging.getLogger("spindle")


@frozen
class Approval:
    """The hash of a setting, and the hashes of the project's files that it names, by path."""

    hash: str
    files: Mapping[str, str] = {}


@frozen
class _File:
    approved: Mapping[str, Approval] = {}
    """A setting's file, a colon, and its dotted name; or a hook's key -> its approval."""


NOTHING: Final[Mapping[str, Approval]] = {}


class Approvals:
    """The approvals of one home. Blocking."""

    def __init__(self, home: Home) -> None:
        self.path: Path = home.spindle / "approved.json"

    def read(self) -> Mapping[str, Approval]:
        """All approvals; none without a file. A file that cannot be read is logged and ignored."""
        try:
            return self._read()
        except OSError as error:
            log.warning("approvals of projects are ignored: %s", error)
            return NOTHING

    def _read(self) -> Mapping[str, Approval]:
        try:
            data = read_file(self.path, CATALOG)
        except FileNotFoundError:
            return NOTHING
        try:
            return structure(loads(data), _File).approved
        except (orjson.JSONDecodeError, InvalidValue) as error:
            log.warning("the approvals in %s are ignored: %s", self.path, error)
            return NOTHING

    def record(self, folders: Sequence[Path], approved: Mapping[str, Approval]) -> None:
        """Replace the approvals of settings in `folders` by `approved`, and fsync them. Raises OSError."""
        private_folder(self.path.parent)
        with locked(self.path.with_name(f"{self.path.name}.lock")):
            starts = tuple(f"{folder}/" for folder in folders)
            others = {key: one for key, one in self._read().items() if not key.startswith(starts)}
            replace(self.path, orjson.dumps(unstructure(_File({**others, **approved})), option=orjson.OPT_INDENT_2))


class FirstSight:
    """The files of hooks that Codex approved, as this process first found them. Blocking; may be shared by worker threads.

    Codex does not compare files. This keeps a file that the model changed from running in the next thread or agent.
    """

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Approval] = {}
        self._lock = threading.Lock()

    def of(self, key: str, hash: str, program: ProjectProgram) -> Approval:
        """The approval of a hook, by its key and hash, with the files of `program`. Raises OSError."""
        with self._lock:
            known = self._found.get((key, hash))
        if known is None:
            known = Approval(hash, program.files())
            with self._lock:
                known = self._found.setdefault((key, hash), known)
        return known


def pinned(program: ProjectProgram, hash: str, approval: Approval | None) -> Pinned | str:
    """The approved program of a setting, or the reason why it is not approved. Blocking."""
    if approval is None:
        return "is not approved"
    if approval.hash != hash:
        return "has changed since it was approved"
    found = Pinned(program, approval.files)
    reason = found.changed()
    return found if reason is None else f"names a file that is not as approved ({reason})"
