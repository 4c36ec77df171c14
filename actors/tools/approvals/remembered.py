"""What the user has allowed for longer than once: for the turn or for the session, which is as long as the thread is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import define, field

from spindle.actors.tools.sandbox.confinement import NOTHING, ORDER, Access, Grants


@define
class Remembered:
    """The answers of one thread."""

    _commands: set[tuple[object, ...]] = field(factory=lambda: set[tuple[object, ...]]())
    _files: set[str] = field(factory=lambda: set[str]())
    _session: Grants = NOTHING
    _turn: Grants = NOTHING
    _turn_id: str = ""

    def allows_command(self, argv: Sequence[str], cwd: str, permissions: str) -> bool:
        """Whether exactly this has been accepted for the session."""
        return (tuple(argv), cwd, permissions) in self._commands

    def allow_command(self, argv: Sequence[str], cwd: str, permissions: str) -> None:
        """The command may run again."""
        self._commands.add((tuple(argv), cwd, permissions))

    def allows_files(self, paths: Iterable[str]) -> bool:
        """Whether all of these, real paths, may be changed."""
        return self._files.issuperset(paths)

    def allow_files(self, paths: Iterable[str]) -> None:
        """These may be changed again."""
        self._files.update(paths)

    def granted(self, turn_id: str) -> Grants:
        """The permissions that hold in a turn beyond its sandbox policy."""
        return _both(self._session, self._turn) if turn_id == self._turn_id else self._session

    def grant(self, grants: Grants, turn_id: str, *, session: bool) -> None:
        """Permit more from now on: in this turn, or as long as the thread is loaded."""
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
