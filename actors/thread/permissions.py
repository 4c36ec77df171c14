"""Permission profiles: the protocol's finer spelling of what a sandbox policy says, there and back.

A profile lists what may be read and written, path by path. We enforce policies; of a profile is kept what a policy can
say, never more than it grants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from spindle.rpc.protocol.settings import (
    DangerFullAccessPolicy,
    ExternalSandboxPolicy,
    PermissionProfile,
    ReadOnlyPolicy,
    RestrictedReadAccess,
    SandboxPolicy,
    WorkspaceWritePolicy,
)


def profile_of(policy: SandboxPolicy) -> PermissionProfile | None:
    """The profile of a policy; None where another program's sandbox decides."""
    match policy:
        case ExternalSandboxPolicy():
            return None
        case DangerFullAccessPolicy():
            return _profile(True, [_special("root", "write")])
        case ReadOnlyPolicy(access=RestrictedReadAccess(readable_roots=roots), network_access=network):
            return _profile(network, [_path(root, "read") for root in roots])
        case ReadOnlyPolicy(network_access=network):
            return _profile(network, [_special("root", "read")])
        case WorkspaceWritePolicy():
            entries = [_special("root", "read"), _special("current_working_directory", "write")]
            if not policy.exclude_slash_tmp:
                entries.append(_special("slash_tmp", "write"))
            if not policy.exclude_tmpdir_env_var:
                entries.append(_special("tmpdir", "write"))
            entries += [_path(root, "write") for root in policy.writable_roots]
            return _profile(policy.network_access, entries)


def policy_of(profile: PermissionProfile) -> SandboxPolicy:
    """The policy that grants what the profile grants, or less where no policy is as fine."""
    network = bool(_members(profile.get("network")).get("enabled"))
    specials: dict[str, str] = {}
    paths: dict[str, str] = {}
    entries = _members(profile.get("fileSystem")).get("entries")
    for entry in cast("Sequence[object]", entries if isinstance(entries, list | tuple) else ()):
        place, access = _members(_members(entry).get("path")), str(_members(entry).get("access"))
        if place.get("type") == "special":
            specials[str(_members(place.get("value")).get("kind"))] = access
        elif place.get("type") == "path":
            paths[str(place.get("path"))] = access
    if specials.get("root") == "write" and network and "none" not in (*specials.values(), *paths.values()):
        return DangerFullAccessPolicy()
    roots = tuple(path for path, access in paths.items() if access == "write")
    if specials.get("current_working_directory") == "write" and specials.get("root") in ("read", "write"):
        return WorkspaceWritePolicy(
            writable_roots=roots,
            network_access=network,
            exclude_tmpdir_env_var=specials.get("tmpdir") != "write",
            exclude_slash_tmp=specials.get("slash_tmp") != "write",
        )
    if specials.get("root") in ("read", "write"):
        return ReadOnlyPolicy(network_access=network)
    readable = tuple(path for path, access in paths.items() if access in ("read", "write"))
    restricted = RestrictedReadAccess(specials.get("minimal") == "read", readable)
    return ReadOnlyPolicy(access=restricted, network_access=network)


def _members(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _profile(network: bool, entries: Sequence[object]) -> PermissionProfile:
    return {"network": {"enabled": network}, "fileSystem": {"entries": list(entries)}}


def _special(kind: str, access: str) -> dict[str, Any]:
    return {"path": {"type": "special", "value": {"kind": kind}}, "access": access}


def _path(path: str, access: str) -> dict[str, Any]:
    return {"path": {"type": "path", "path": path}, "access": access}
