"""What a command may touch: one table of paths, worked out from a policy before anything runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias

from attrs import Factory, field, frozen

from spindle.actors.tools.sandbox.protection import (
    HOME_OWN,
    METADATA,
    credentials_elsewhere,
    has_link,
    metadata_of,
    resolve,
    shown_of,
)
from spindle.rpc.protocol.settings import (
    DangerFullAccessPolicy,
    ExternalSandboxPolicy,
    ReadOnlyAccess,
    ReadOnlyPolicy,
    RestrictedReadAccess,
    SandboxPolicy,
    WorkspaceWritePolicy,
)

Access: TypeAlias = Literal["none", "read", "write"]
WRITE: Final[Access] = "write"
ORDER: Final[Mapping[Access, int]] = {"none": 0, "read": 1, "write": 2}
MINIMAL: Final = (
    ("/Library", "/System", "/bin", "/dev", "/opt/homebrew", "/private/etc", "/private/var/db", "/sbin", "/usr")
    if sys.platform == "darwin"
    else ("/bin", "/sbin", "/usr", "/etc", "/lib", "/lib64", "/nix/store", "/run/current-system/sw")
)
"""What programs of the system need to start, where only listed folders may be read."""


@frozen
class Rule:
    """`access` to everything below `path` (a real, absolute path) that no deeper rule speaks of."""

    path: str
    access: Access


@frozen
class Confinement:
    """What a command may touch, and a patch.

    `rules` go from shallow to deep, one per path, the first for "/"; the deepest that contains a path decides. A path that
    may only be read below one that may be written is protected: it cannot be made where it is missing, nor renamed away.
    `network` means IP sockets; sockets of services on this machine are out of reach either way. `names` says that no
    folder has names that are to be hidden. `sealed` are the real paths that are never written, whatever the user grants.
    """

    rules: tuple[Rule, ...]
    network: bool
    names: bool = field(
        default=Factory(lambda self: all(rule.access != "none" for rule in self.rules), takes_self=True),
        eq=False,
        kw_only=True,
    )
    sealed: tuple[str, ...] = field(default=(), eq=False, repr=False, kw_only=True)

    def rule(self, path: str) -> Rule:
        """The rule that decides about a real, absolute path."""
        return max((r for r in self.rules if within(path, r.path)), key=lambda r: len(r.path))

    def access(self, path: str) -> Access:
        """What a real, absolute path may be used for."""
        return self.rule(path).access

    def readable(self, path: str) -> bool:
        """Whether the file with this real path may be read."""
        return self.access(path) != "none"

    @property
    def protected(self) -> tuple[str, ...]:
        """The paths that may be read only, below one that may be written."""
        return tuple(r.path for r in self.rules if r.access == "read" and self.around(r.path) == "write")

    @property
    def pinned(self) -> tuple[str, ...]:
        """The writable folders between a writable root and a deeper rule, without either.

        Moving one aside would take what is protected along, and let a copy without protection be put in its place.
        """
        found: dict[str, None] = {}
        known = {r.path for r in self.rules}
        for rule in self.rules:
            for parent in map(str, Path(rule.path).parents):
                if parent in known or self.access(parent) != "write":
                    break
                found[parent] = None
        return tuple(sorted(found))

    def opens(self, path: str) -> bool:
        """Whether anything below a hidden folder is not hidden."""
        return any(r.access != "none" and r.path != path and within(r.path, path) for r in self.rules)

    def exceeds(self, other: Confinement) -> bool:
        """Whether anything may be touched that `other` keeps out of reach."""
        paths = {rule.path for rule in (*self.rules, *other.rules)}
        more = any(ORDER[self.access(path)] > ORDER[other.access(path)] for path in paths)
        return more or (self.network and not other.network)

    def around(self, path: str) -> Access | None:
        """What the folder that holds `path` may be used for; None above the root."""
        return None if path == "/" else self.access(os.path.dirname(path))


def within(path: str, root: str) -> bool:
    """Whether `path` is `root` or lies below it; both absolute."""
    return path == root or root == "/" or path.startswith(root + "/")


@frozen
class Place:
    """Where a command runs: the thread's `cwd`, the Codex home, and the environment's TMPDIR, if any. Absolute paths.

    `programs` must be readable for the programs of our own that commands find; they are real paths.
    """

    cwd: str
    home: str
    tmpdir: str | None = None
    programs: Sequence[str] = ()

    @property
    def platform(self) -> tuple[str, ...]:
        """What programs need to start."""
        return (*MINIMAL, *self.programs)


@frozen
class Grants:
    """What is allowed: access by absolute path, and whether the network is open."""

    entries: Mapping[str, Access]
    network: bool


NOTHING: Final = Grants({}, network=False)


def of_policy(policy: SandboxPolicy, place: Place, granted: Grants = NOTHING) -> Confinement | None:
    """What `policy` allows at `place`, and what was `granted` besides.

    None means that the policy wants no sandbox. Reads the file system (links, `.git` files), so not for the trio thread.
    """
    match policy:
        case DangerFullAccessPolicy() | ExternalSandboxPolicy():
            return None
        case ReadOnlyPolicy(access=access, network_access=online):
            roots: list[str] = []
        case WorkspaceWritePolicy(read_only_access=access, network_access=online):
            roots = [place.cwd, *policy.writable_roots, *temporary(place, policy)]
    entries = list(_readable(access, place))
    entries.extend(granted.entries.items())
    entries.extend((root, WRITE) for root in roots)
    return build(entries, place, network=online or granted.network)


def temporary(place: Place, policy: WorkspaceWritePolicy) -> list[str]:
    """The folders for temporary files that `policy` leaves writable."""
    slash = [] if policy.exclude_slash_tmp else ["/tmp"]
    variable = [] if policy.exclude_tmpdir_env_var or not place.tmpdir else [place.tmpdir]
    return [path for path in (*slash, *variable) if os.path.isabs(path)]


def _readable(access: ReadOnlyAccess, place: Place) -> list[tuple[str, Access]]:
    match access:
        case RestrictedReadAccess(include_platform_defaults=defaults, readable_roots=roots):
            return [(path, "read") for path in (*(place.platform if defaults else ()), *roots, place.cwd)]
        case _:
            return [("/", "read")]


def build(entries: Iterable[tuple[str, Access]], place: Place, *, network: bool) -> Confinement:
    """The table for `entries`, with what nobody may write taken out, and the home's files that hold credentials.

    Missing paths are left out, unless they must not be made, and so are those that lead through a link in a folder that may
    be written. Where one path is named twice, none beats write and write
    beats read. Metadata that an entry names itself is as the entry says; a file of the home can be read then.
    """
    named = [_Named(path, access, *resolve(path)) for path, access in entries]
    table = _merged(named)
    # A link that a command may replace would lead the next command's rights wherever it likes.
    while loose := [one for one in named if one.access != "none" and _may_turn(one, table)]:
        named = [one for one in named if one not in loose]
        table = _merged(named)
    explicit = {os.path.abspath(one.path) for one in named}
    for root in [path for path, access in table.items() if access == "write"]:
        for path in metadata_of(root):
            if path not in explicit:
                _lower(table, path)
        if has_link(root):
            _close(table, root)
    home = os.path.realpath(place.home)
    _lower(table, home)
    sealed: dict[str, None] = {}
    for own in (os.path.join(home, name) for name in HOME_OWN):
        sealed |= dict.fromkeys((own, _lower(table, own)))
    names = "none" not in table.values()
    _hide(table, home)
    if table["/"] != "write":
        _lower(table, sys.base_prefix)
        sealed |= dict.fromkeys(_lower(table, code) for code in _own_code())
    for path in [path for path, access in table.items() if access == "write"]:
        if any(within(path, own) for own in sealed):
            table[path] = "read"
    ordered = sorted(table.items(), key=lambda item: (item[0] != "/", item[0].count("/"), item[0]))
    rules = tuple(_needed(Rule(path, access) for path, access in ordered))
    return Confinement(rules, network, names=names, sealed=tuple(sealed))


def _own_code() -> Sequence[str]:
    """What starts and confines the next command: this package, the warden, and the interpreter that runs a part of both."""
    own = os.path.dirname(os.path.realpath(__file__))
    warden = os.path.join(os.path.dirname(own), "commands", "warden.py")
    return (own, warden, sys.executable) if sys.executable else (own, warden)


@frozen
class _Named:
    """A path as it was named, where it leads, and the folders of the links on the way."""

    path: str
    access: Access
    real: str
    links: Sequence[str]


def _merged(named: Iterable[_Named]) -> dict[str, Access]:
    table: dict[str, Access] = {}
    for one in named:
        old = table.get(one.real, one.access)
        if os.path.exists(one.real):
            table[one.real] = "none" if "none" in (old, one.access) else max(old, one.access, key=ORDER.__getitem__)
    table.setdefault("/", "none")
    return table


def _may_turn(one: _Named, table: Mapping[str, Access]) -> bool:
    return any(_deepest(table, folder) == "write" for folder in one.links)


def _lower(table: dict[str, Access], path: str) -> str:
    """Make `path` read-only if it could be written; if it is missing, the topmost folder that would have to be made.

    Returns its real path.
    """
    real = top = os.path.realpath(path)
    while not os.path.lexists(top) and not os.path.lexists(os.path.dirname(top)):
        top = os.path.dirname(top)
    if _deepest(table, top) == "write":
        table[top] = "read"
    return real


def _hide(table: dict[str, Access], home: str) -> None:
    """Hide what is in the home but for what commands need, if it could be read."""
    if _deepest(table, home) == "none" or not os.path.isdir(home):
        return
    table[home] = "none"
    for path in shown_of(home):
        table.setdefault(path, "read")
    for path in credentials_elsewhere(home):
        table.setdefault(path, "none")


def _deepest(table: Mapping[str, Access], path: str) -> Access:
    return next(table[place] for place in (path, *map(str, Path(path).parents)) if place in table)


def _close(table: dict[str, Access], root: str) -> None:
    """Let nothing be made directly in `root`: a link there could be replaced, and no mount can hold a link."""
    table[root] = "read"
    for entry in os.scandir(root):
        if not entry.is_symlink() and entry.name.casefold() not in METADATA:
            table.setdefault(entry.path, "write")


def _needed(rules: Iterable[Rule]) -> Iterable[Rule]:
    """`rules`, shallow first, without those that only repeat what holds above; a writable root below another stays one."""
    kept: dict[str, Access] = {}
    for rule in rules:
        if rule.path == "/" or rule.access == "write" or rule.access != _deepest(kept, rule.path):
            kept[rule.path] = rule.access
            yield rule
