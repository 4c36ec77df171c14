"""Approvals that last: for the turn, or for the session, which is while the thread is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import define, field

from spindle.actors.tools.sandbox.confinement import NOTHING, ORDER, Access, Grants


@define
class Remembered:
    """The lasting approvals of one thread."""

    _commands: set[tuple[object, ...]] = field(factory=lambda: set[tuple[object, ...]]())
    _files: set[str] = field(factory=lambda: set[str]())
    _session: Grants = NOTHING
    _turn: Grants = NOTHING
    _turn_id: str = ""
    _strict: str = ""

    def allows_command(self, argv: Sequence[str], cwd: str, permissions: str) -> bool:
        """Whether exactly this command was accepted for the session."""
        return (tuple(argv), cwd, permissions) in self._commands

    def allow_command(self, argv: Sequence[str], cwd: str, permissions: str) -> None:
        """Accept this command for the session."""
        self._commands.add((tuple(argv), cwd, permissions))

    def allows_files(self, paths: Iterable[str]) -> bool:
        """Whether changes to all of these real paths were accepted."""
        return self._files.issuperset(paths)

    def allow_files(self, paths: Iterable[str]) -> None:
        """Accept changes to these real paths for the session."""
        self._files.update(paths)

    def strict(self, turn_id: str) -> bool:
        """Whether each command of the turn is reviewed before it runs, also in its sandbox."""
        return turn_id == self._strict

    def be_strict(self, turn_id: str) -> None:
        """Have each command of the turn reviewed from now on: the user has granted permissions so."""
        self._strict = turn_id

    def granted(self, turn_id: str) -> Grants:
        """The permissions of a turn beyond its sandbox policy."""
        return _both(self._session, self._turn) if turn_id == self._turn_id else self._session

    def grant(self, grants: Grants, turn_id: str, *, session: bool) -> None:
        """Add permissions for the turn, or for the session."""
        if session:
            self._session = _both(self._session, grants)
        else:
            self._turn = _both(self._turn, grants) if turn_id == self._turn_id else grants
            self._turn_id = turn_id


def _both(one: Grants, other: Grants) -> Grants:
    entries: dict[str, Access] = dict(one.entries)
    more: Mapping[str, Access] = other.entries
    for path, access in more.items():
        entries[path] = max(entries.get(path, access), access, key=ORDER.__getitem__)
    return Grants(entries, one.network or other.network)
