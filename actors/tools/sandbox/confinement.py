"""What a command may read and write: a table of paths, computed from a policy before the command runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias

from attrs import Factory, field

from spindle.actors.tools.sandbox.protection import (
    HOME_OWN,
    METADATA,
    credentials_elsewhere,
    has_link,
    metadata_of,
    resolve,
    shown_of,
)
from spindle.rpc.lazy_class import frozen
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
"""What system programs need to start if only listed folders may be read."""


@frozen
class AccessRule:
    """`access` to `path` (real, absolute) and all below it, except below a deeper rule."""

    path: str
    access: Access


@frozen
class Confinement:
    """What a command or a patch may read and write.

    `rules` go from shallow to deep, one per path, the first for "/"; the deepest that contains a path decides. A read-only path
    below a writable one is protected: it can be neither created nor renamed away. `network` means IP sockets; socket files of
    local services are never reachable. `names`: no folder has hidden names.
    `sealed` are the real paths that are never written, not even with a grant of the user.
    """

    rules: tuple[AccessRule, ...]
    network: bool
    names: bool = field(
        default=Factory(lambda self: all(rule.access != "none" for rule in self.rules), takes_self=True),
        eq=False,
        kw_only=True,
    )
    sealed: tuple[str, ...] = field(default=(), eq=False, repr=False, kw_only=True)

    def rule(self, path: str) -> AccessRule:
        """The rule for a real, absolute path."""
        return max((r for r in self.rules if within(path, r.path)), key=lambda r: len(r.path))

    def access(self, path: str) -> Access:
        """The access to a real, absolute path."""
        return self.rule(path).access

    def readable(self, path: str) -> bool:
        """Whether the file with this real path may be read."""
        return self.access(path) != "none"

    @property
    def protected(self) -> tuple[str, ...]:
        """The read-only paths below a writable one."""
        return tuple(r.path for r in self.rules if r.access == "read" and self.around(r.path) == "write")

    @property
    def pinned(self) -> tuple[str, ...]:
        """The writable folders between a writable root and a deeper rule, without either.

        They must not be renamed: that would move the protected path away, and allow an unprotected copy in its place.
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
        """Whether something below a hidden folder is not hidden."""
        return any(r.access != "none" and r.path != path and within(r.path, path) for r in self.rules)

    def exceeds(self, other: Confinement) -> bool:
        """Whether this allows more than `other`."""
        paths = {rule.path for rule in (*self.rules, *other.rules)}
        more = any(ORDER[self.access(path)] > ORDER[other.access(path)] for path in paths)
        return more or (self.network and not other.network)

    def around(self, path: str) -> Access | None:
        """The access to the parent folder of `path`; None for the root."""
        return None if path == "/" else self.access(os.path.dirname(path))


def within(path: str, root: str) -> bool:
    """Whether `path` is `root` or below it; both absolute."""
    return path == root or root == "/" or path.startswith(root + "/")


@frozen
class Place:
    """The folders that a confinement depends on: the turn's `cwd`, the Codex home, TMPDIR if set. Absolute paths.

    `programs` are real paths that must be readable for our own programs on the PATH of commands.
    """

    cwd: str
    home: str
    tmpdir: str | None = None
    programs: Sequence[str] = ()

    @property
    def platform(self) -> tuple[str, ...]:
        """The paths that programs need to start."""
        return (*MINIMAL, *self.programs)


@frozen
class Grants:
    """Permissions: access by absolute path, and the network."""

    entries: Mapping[str, Access]
    network: bool


NOTHING: Final = Grants({}, network=False)


def of_policy(policy: SandboxPolicy, place: Place, granted: Grants = NOTHING) -> Confinement | None:
    """The confinement of `policy` at `place` with the `granted` permissions; None if the policy has no sandbox.

    Reads the file system (links, `.git` files): for worker threads.
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
    """The writable folders for temporary files."""
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
    """The confinement for `entries`, without write access to protected paths, and without the home's credentials.

    Missing paths are left out, except paths that must not be created. Paths through a link in a writable folder are left out.
    If a path occurs twice, none overrides write, and write overrides read. An entry may name metadata or a file of the home
    itself; then the entry decides (a file of the home becomes readable only).
    """
    named = [_Named(path, access, *resolve(path)) for path, access in entries]
    table = _merged(named)
    # a command could turn a link in a writable folder, and so redirect the next command's permissions
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
    rules = tuple(_needed(AccessRule(path, access) for path, access in ordered))
    return Confinement(rules, network, names=names, sealed=tuple(sealed))


def _own_code() -> Sequence[str]:
    """The code that starts and confines the next command: this package, the warden, and the interpreter of both."""
    own = os.path.dirname(os.path.realpath(__file__))
    warden = os.path.join(os.path.dirname(own), "commands", "warden.py")
    return (own, warden, sys.executable) if sys.executable else (own, warden)


@frozen
class _Named:
    """A path as it was named, its real path, and the folders of the links on the way."""

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
    """Make `path` read-only if it is writable; if it is missing, its topmost missing folder. Returns its real path."""
    real = top = os.path.realpath(path)
    while not os.path.lexists(top) and not os.path.lexists(os.path.dirname(top)):
        top = os.path.dirname(top)
    if _deepest(table, top) == "write":
        table[top] = "read"
    return real


def _hide(table: dict[str, Access], home: str) -> None:
    """Hide the home if it is readable, except what commands need."""
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
    """Make `root` itself read-only, but not its entries: a mount cannot protect a link in it from replacement."""
    table[root] = "read"
    for entry in os.scandir(root):
        if not entry.is_symlink() and entry.name.casefold() not in METADATA:
            table.setdefault(entry.path, "write")


def _needed(rules: Iterable[AccessRule]) -> Iterable[AccessRule]:
    """`rules`, shallow first, without those that repeat the rule above. Writable roots are kept."""
    kept: dict[str, Access] = {}
    for rule in rules:
        if rule.path == "/" or rule.access == "write" or rule.access != _deepest(kept, rule.path):
            kept[rule.path] = rule.access
            yield rule
