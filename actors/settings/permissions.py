"""Permission profiles, and their conversion to sandbox policies and back.

A profile lists path by path what may be read and written. If a policy says the same, only the policy is kept. Otherwise the
profile decides about files and network; clients are shown the nearest policy that does not grant more, and approvals go by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from spindle.rpc.protocol.settings import (
    DangerFullAccessPolicy,
    ExternalSandboxPolicy,
    FullReadAccess,
    PermissionProfile,
    ReadOnlyAccess,
    ReadOnlyPolicy,
    RestrictedReadAccess,
    SandboxPolicy,
    WorkspaceWritePolicy,
)


def profile_of(policy: SandboxPolicy) -> PermissionProfile | None:
    """The profile of a policy; None if another program's sandbox decides."""
    match policy:
        case ExternalSandboxPolicy():
            return None
        case DangerFullAccessPolicy():
            return _profile(True, [_special("root", "write")])
        case ReadOnlyPolicy(access=access, network_access=network):
            return _profile(network, _reads(access))
        case WorkspaceWritePolicy():
            entries = [*_reads(policy.read_only_access), _special("current_working_directory", "write")]
            if not policy.exclude_slash_tmp:
                entries.append(_special("slash_tmp", "write"))
            if not policy.exclude_tmpdir_env_var:
                entries.append(_special("tmpdir", "write"))
            entries += [_path(root, "write") for root in policy.writable_roots]
            return _profile(policy.network_access, entries)


def _reads(access: ReadOnlyAccess) -> list[dict[str, Any]]:
    if not isinstance(access, RestrictedReadAccess):
        return [_special("root", "read")]
    minimal = [_special("minimal", "read")] if access.include_platform_defaults else []
    return [*minimal, *(_path(root, "read") for root in access.readable_roots)]


def split(profile: PermissionProfile) -> tuple[SandboxPolicy, PermissionProfile | None]:
    """(the policy of a profile, the profile if it says more than the policy)"""
    policy = policy_of(profile)
    return policy, None if _plain(profile_of(policy)) == _plain(profile) else profile


def _plain(profile: PermissionProfile | None) -> object:
    """A form that is equal for equal profiles. It ignores the order of entries and the name of the working directory."""
    if profile is None:
        return None
    files = _members(profile.get("fileSystem"))
    entries: Sequence[Any] = files.get("entries") or ()
    network = bool(_members(profile.get("network")).get("enabled"))
    return network, sorted(
        repr((_place(_members(_members(e).get("path"))), _members(e).get("access"))) for e in entries
    )


def _place(path: Mapping[str, Any]) -> tuple[str, object]:
    if path.get("type") != "special":
        return str(path.get("type")), path.get("path") or path.get("pattern")
    value = _members(path.get("value"))
    kind, below = str(value.get("kind")), value.get("subpath")
    return "special", "current_working_directory" if (kind, below) == ("project_roots", None) else (kind, below)


ROLLOUT_KEYS: Final = ("permission_profile", "file_system_sandbox_policy")
"""The members of a `turn_context` that have a profile in them."""


def to_rollout(profile: PermissionProfile) -> dict[str, Any]:
    """A profile as the members of a `turn_context`, in the format of 0.124."""
    files = _members(profile.get("fileSystem"))
    kept: dict[str, Any] = {"entries": files.get("entries") or []}
    if files.get("globScanMaxDepth") is not None:
        kept["glob_scan_max_depth"] = files["globScanMaxDepth"]
    network = bool(_members(profile.get("network")).get("enabled"))
    shown, enforced = {"network": {"enabled": network}, "file_system": kept}, {"kind": "restricted", **kept}
    return dict(zip(ROLLOUT_KEYS, (shown, enforced), strict=True))


def from_rollout(context: Mapping[str, Any]) -> PermissionProfile | None:
    """The reverse of `to_rollout`; None if the context's `sandbox_policy` says everything."""
    files = _members(context.get("file_system_sandbox_policy"))
    if files.get("kind") != "restricted":
        return None
    network = _members(_members(context.get("permission_profile")).get("network")).get("enabled")
    system: dict[str, Any] = {"entries": files.get("entries") or []}
    if files.get("glob_scan_max_depth") is not None:
        system["globScanMaxDepth"] = files["glob_scan_max_depth"]
    return {"network": {"enabled": network is True}, "fileSystem": system}


def unreadable(profile: PermissionProfile | None) -> list[str]:
    """The paths and patterns that a profile hides, for the model."""
    if profile is None:
        return []
    entries: Sequence[Any] = _members(profile.get("fileSystem")).get("entries") or ()
    hidden = [_place(_members(e.get("path")))[1] for e in map(_members, entries) if e.get("access") == "none"]
    return [str(path) for path in hidden]


def policy_of(profile: PermissionProfile) -> SandboxPolicy:
    """The policy that grants what the profile grants, or less if no policy grants exactly that."""
    network = bool(_members(profile.get("network")).get("enabled"))
    specials: dict[str, str] = {}
    paths: dict[str, str] = {}
    accesses: set[str] = set()
    entries = _members(profile.get("fileSystem")).get("entries")
    for entry in cast("Sequence[object]", entries if isinstance(entries, list | tuple) else ()):
        place, access = _members(_members(entry).get("path")), str(_members(entry).get("access"))
        accesses.add(access)
        if place.get("type") == "special":
            kind, below = _place(place)[1], _members(place.get("value")).get("subpath")
            if below is None:
                specials[str(kind if isinstance(kind, str) else _members(place.get("value")).get("kind"))] = access
        elif place.get("type") == "path":
            paths[str(place.get("path"))] = access
    if specials.get("root") == "write" and network and accesses == {"write"}:
        return DangerFullAccessPolicy()
    # something is hidden, and no policy can say what: this form is Codex's
    reading = RestrictedReadAccess(False, ("/",)) if "none" in accesses else FullReadAccess()
    roots = tuple(path for path, access in paths.items() if access == "write")
    if specials.get("current_working_directory") == "write" and specials.get("root") in ("read", "write"):
        return WorkspaceWritePolicy(
            writable_roots=roots,
            read_only_access=reading,
            network_access=network,
            exclude_tmpdir_env_var=specials.get("tmpdir") != "write",
            exclude_slash_tmp=specials.get("slash_tmp") != "write",
        )
    if specials.get("root") in ("read", "write"):
        return ReadOnlyPolicy(access=reading, network_access=network)
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
