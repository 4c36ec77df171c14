"""Permission profiles and granted permissions: file system entries as clients send them.

Format: `PermissionProfile` and `GrantedPermissionProfile` of the app-server protocol (v2).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, cast

from spindle.actors.tools.sandbox.confinement import (
    NOTHING,
    ORDER,
    Access,
    Confinement,
    Grants,
    Place,
    build,
    of_policy,
)
from spindle.rpc.protocol.settings import SandboxPolicy
from spindle.rpc.protocol.shapes import JsonObject

SCAN_DEPTH: Final = 16
"""The default depth of the search for a pattern."""
SCAN_LIMIT: Final = 200_000
"""The most folder entries that are searched for one pattern; a pattern that needs more is refused."""


PATTERNS_TAKE: Final = "a file system pattern must have the access none"


class ProfileError(Exception):
    """The profile cannot be enforced. The message names the member."""


def of_profile(profile: JsonObject, place: Place, granted: Grants = NOTHING) -> Confinement | None:
    """The confinement of `profile` at `place` with the `granted` permissions; None if the profile allows everything.

    Patterns match the files that exist now, not later ones. Blocks. Raises ProfileError.
    """
    own = read(profile, place)
    if own.network and own.entries.get("/") == "write" and not takes_away(profile):
        return None
    return build([*own.entries.items(), *granted.entries.items()], place, network=own.network or granted.network)


def of_settings(
    policy: SandboxPolicy, profile: JsonObject | None, place: Place, granted: Grants = NOTHING
) -> Confinement | None:
    """The confinement of the profile, or of the policy without one. Blocks. Raises ProfileError."""
    return of_policy(policy, place, granted) if profile is None else of_profile(profile, place, granted)


def takes_away(profile: JsonObject) -> bool:
    """Whether an entry allows less than writing, even if no such file exists."""
    files = _table(profile.get("fileSystem"), "fileSystem")
    entries = [_table(entry, "fileSystem.entries") for entry in _list(files.get("entries"), "fileSystem.entries")]
    return bool(files.get("read")) or any(entry.get("access") != "write" for entry in entries)


def check(profile: JsonObject) -> None:
    """Raises ProfileError for an invalid profile. Reads no file, so it finds no pattern with too many entries."""
    network, files = _table(profile.get("network"), "network"), _table(profile.get("fileSystem"), "fileSystem")
    if network.get("enabled") not in (None, True, False):
        raise ProfileError("network.enabled is not a boolean")
    for entry in _list(files.get("entries"), "fileSystem.entries"):
        entry = _table(entry, "fileSystem.entries")
        access, path = _access(entry.get("access")), _table(entry.get("path"), "path")
        match path.get("type"):
            case "path":
                _absolute(path.get("path"))
            case "special":
                _table(path.get("value"), "special path")
            case "glob_pattern" if access == "none":
                pass
            case "glob_pattern":
                raise ProfileError(PATTERNS_TAKE)
            case other:
                raise ProfileError(f"unknown kind of file system path {other!r}")


def read(profile: JsonObject, place: Place) -> Grants:
    """The entries of a profile or a grant, with special paths and patterns resolved. Blocks. Raises ProfileError."""
    network = _table(profile.get("network"), "network").get("enabled") is True
    files = _table(profile.get("fileSystem"), "fileSystem")
    depth = files.get("globScanMaxDepth")
    entries: dict[str, Access] = {}
    for kind in ("read", "write"):
        for path in _list(files.get(kind), f"fileSystem.{kind}"):
            _add(entries, _absolute(path), kind)
    for entry in _list(files.get("entries"), "fileSystem.entries"):
        entry = _table(entry, "fileSystem.entries")
        access = _access(entry.get("access"))
        for path in _paths(
            _table(entry.get("path"), "path"), access, place, depth if isinstance(depth, int) else SCAN_DEPTH
        ):
            _add(entries, path, access)
    return Grants(entries, network)


def _add(entries: dict[str, Access], path: str, access: Access) -> None:
    """Add an entry. If the path occurs twice, none overrides write, and write overrides read."""
    old = entries.get(path)
    if old is None or access == "none" or (old != "none" and ORDER[access] > ORDER[old]):
        entries[path] = access


def _paths(path: Mapping[str, Any], access: Access, place: Place, depth: int) -> Iterator[str]:
    match path.get("type"):
        case "path":
            yield _absolute(path.get("path"))
        case "special":
            yield from _special(_table(path.get("value"), "special path"), place)
        case "glob_pattern":
            if access != "none":
                raise ProfileError(PATTERNS_TAKE)
            yield from _matches(os.path.join(place.cwd, str(path.get("pattern"))), depth)
        case other:
            raise ProfileError(f"unknown kind of file system path {other!r}")


def _special(value: Mapping[str, Any], place: Place) -> Iterator[str]:
    match value.get("kind"):
        case "root":
            yield "/"
        case "minimal":
            yield from place.platform
        case "current_working_directory":
            yield place.cwd
        case "project_roots":
            yield os.path.join(place.cwd, value.get("subpath") or "")
        case "tmpdir":
            if place.tmpdir and os.path.isabs(place.tmpdir):
                yield place.tmpdir
        case "slash_tmp":
            yield "/tmp"
        case _:
            return  # an unknown, newer kind grants nothing


def _matches(pattern: str, depth: int) -> Iterator[str]:
    """The existing paths that match: `*` and `?` within a name, `**` across folders, `[…]` as in shells."""
    wanted = re.compile(_regular(pattern), re.DOTALL)
    fixed = pattern[: re.search(r"[*?\[]|$", pattern).start()]  # type: ignore[union-attr]  # matches at the end
    start = os.path.dirname(fixed) or "/"
    seen = 0
    waiting = [(start, 0)]
    while waiting:
        folder, level = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                found = list(islice(entries, SCAN_LIMIT - seen + 1))
        except OSError:
            continue
        seen += len(found)
        if seen > SCAN_LIMIT:
            raise ProfileError(f"the pattern {pattern} covers more than {SCAN_LIMIT} files; name a narrower one")
        for entry in found:
            if wanted.fullmatch(entry.path):
                yield entry.path
            elif level + 1 < depth and entry.is_dir(follow_symlinks=False):
                waiting.append((entry.path, level + 1))


def _regular(pattern: str) -> str:
    parts: list[str] = []
    for token in re.findall(r"\*\*/|\*\*|\*|\?|\[!?[^\]/]+\]|.", pattern, re.DOTALL):
        match token:
            case "**/":
                parts.append("(?:[^/]+/)*")
            case "**":
                parts.append(".*")
            case "*":
                parts.append("[^/]*")
            case "?":
                parts.append("[^/]")
            case _ if len(token) > 1:
                negated, inside = token[1] == "!", token[1:-1].lstrip("!")
                parts.append(f"[{'^' if negated else ''}{re.sub(r'[^-A-Za-z0-9]', lambda m: chr(92) + m[0], inside)}]")
            case _:
                parts.append(re.escape(token))
    return "".join(parts)


def _access(word: object) -> Access:
    for access in ORDER:
        if access == word:
            return access
    raise ProfileError(f"unknown file system access {word!r}")


def _absolute(path: object) -> str:
    if not isinstance(path, str) or not os.path.isabs(path):
        raise ProfileError(f"file system path is not absolute: {path!r}")
    return path


def _table(value: object, name: str) -> Mapping[str, Any]:
    if value is not None and not isinstance(value, Mapping):
        raise ProfileError(f"{name} is not an object")
    return cast("Mapping[str, Any]", value or {})


def _list(value: object, name: str) -> list[Any]:
    if value is not None and not isinstance(value, list):
        raise ProfileError(f"{name} is not a list")
    return list(cast("Sequence[Any]", value or ()))
