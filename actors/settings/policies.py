"""Sandbox and approval policies as rollouts spell them: in kebab and snake case, where the protocol uses camel case.

The names of 0.124's `turn_context` line; and the permission profile of 0.169's `thread_settings_applied` line, which lists
what may be written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from spindle.rpc.protocol.converter import InvalidValue, structure
from spindle.rpc.protocol.settings import (
    AskForApproval,
    DangerFullAccessPolicy,
    ExternalSandboxPolicy,
    FullReadAccess,
    ReadOnlyAccess,
    ReadOnlyPolicy,
    RestrictedReadAccess,
    SandboxPolicy,
    WorkspaceWritePolicy,
)

_MODES = {
    DangerFullAccessPolicy: "danger-full-access",
    ReadOnlyPolicy: "read-only",
    ExternalSandboxPolicy: "external-sandbox",
    WorkspaceWritePolicy: "workspace-write",
}


def mode_name(policy: SandboxPolicy) -> str:
    """The policy's `sandbox_mode`."""
    return _MODES[type(policy)]


def approval_name(policy: AskForApproval) -> str:
    """The policy's name; "granular" for one that is a set of switches."""
    return policy if isinstance(policy, str) else "granular"


def approval_from_rollout(stored: Any) -> AskForApproval | None:
    """The approval policy of a `turn_context` line; None if there is none, or an unknown one."""
    try:
        return None if stored is None else structure(stored, AskForApproval)  # type: ignore[arg-type]
    except InvalidValue:
        return None


# -- sandbox policies


def sandbox_to_rollout(policy: SandboxPolicy) -> dict[str, Any]:
    """The policy as `turn_context.sandbox_policy` has it."""
    out: dict[str, Any] = {"type": mode_name(policy)}
    if isinstance(policy, WorkspaceWritePolicy):
        out |= {
            "writable_roots": list(policy.writable_roots),
            "network_access": policy.network_access,
            "exclude_tmpdir_env_var": policy.exclude_tmpdir_env_var,
            "exclude_slash_tmp": policy.exclude_slash_tmp,
        }
        out |= _access_to_rollout("read_only_access", policy.read_only_access)
    elif isinstance(policy, ReadOnlyPolicy):
        out |= {"network_access": True} if policy.network_access else {}
        out |= _access_to_rollout("access", policy.access)
    elif isinstance(policy, ExternalSandboxPolicy):
        out["network_access"] = policy.network_access
    return out


def sandbox_from_rollout(stored: object) -> SandboxPolicy | None:
    """The reverse of `sandbox_to_rollout`; None for a policy with anything in it that this version does not know."""
    if not isinstance(stored, Mapping):
        return None
    stored = cast("Mapping[str, Any]", stored)
    members = {name: value for name, value in stored.items() if name != "type" and value is not None}
    match stored.get("type"):
        case "danger-full-access":
            return DangerFullAccessPolicy()
        case "read-only" if _fit(members, _READ_ONLY):
            access = _access_from_rollout(members.get("access"))
            return ReadOnlyPolicy(access=access, network_access=members.get("network_access", False))
        case "external-sandbox" if members.get("network_access", "restricted") in ("restricted", "enabled"):
            return ExternalSandboxPolicy(network_access=members.get("network_access", "restricted"))
        case "workspace-write" if _fit(members, _WORKSPACE):
            return WorkspaceWritePolicy(
                writable_roots=tuple(members.get("writable_roots", ())),
                read_only_access=_access_from_rollout(members.get("read_only_access")),
                network_access=members.get("network_access", False),
                exclude_tmpdir_env_var=members.get("exclude_tmpdir_env_var", False),
                exclude_slash_tmp=members.get("exclude_slash_tmp", False),
            )
        case _:
            return None


def _fit(members: Mapping[str, Any], known: Mapping[str, Callable[[object], bool]]) -> bool:
    return all(fits(members[name]) for name, fits in known.items() if name in members)


def _flag(value: object) -> bool:
    return isinstance(value, bool)


def _roots(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(root, str) and os.path.isabs(root) and "\0" not in root for root in cast("list[object]", value)
    )


def _known_access(access: object) -> bool:
    """Whether `_access_from_rollout` can read it."""
    if not isinstance(access, Mapping):
        return False
    members = cast("Mapping[str, Any]", access)
    defaults, roots = members.get("include_platform_defaults", True), members.get("readable_roots", [])
    return members.get("type") == "full-access" or (
        members.get("type") == "restricted" and _flag(defaults) and _roots(roots)
    )


def _access_to_rollout(name: str, access: ReadOnlyAccess) -> dict[str, Any]:
    """The member that restricts reading; none where everything may be read."""
    if not isinstance(access, RestrictedReadAccess):
        return {}
    defaults, roots = access.include_platform_defaults, list(access.readable_roots)
    return {name: {"type": "restricted", "include_platform_defaults": defaults, "readable_roots": roots}}


def _access_from_rollout(stored: Mapping[str, Any] | None) -> ReadOnlyAccess:
    if stored is None or stored.get("type") == "full-access":
        return FullReadAccess()
    return RestrictedReadAccess(stored.get("include_platform_defaults", True), tuple(stored.get("readable_roots", ())))


_READ_ONLY: Mapping[str, Callable[[object], bool]] = {"network_access": _flag, "access": _known_access}
_WORKSPACE: Mapping[str, Callable[[object], bool]] = {
    "writable_roots": _roots,
    "network_access": _flag,
    "exclude_tmpdir_env_var": _flag,
    "exclude_slash_tmp": _flag,
    "read_only_access": _known_access,
}
"""The members of a policy, and whether a value of each is known."""


# -- the permission profile of `thread_settings_applied`


def managed_profile(policy: SandboxPolicy, cwd: str) -> dict[str, Any]:
    """The policy as 0.169 lists it; `cwd` is the directory that a workspace may write to."""
    match policy:
        case DangerFullAccessPolicy():
            return {"type": "disabled"}
        case ExternalSandboxPolicy():
            return {"type": "external", "network": policy.network_access}
        case ReadOnlyPolicy():
            entries = [_special("root", "read")]
        case WorkspaceWritePolicy():
            entries = [_special("root", "read"), *(_path(root) for root in (cwd, *policy.writable_roots))]
            entries += [] if policy.exclude_slash_tmp else [_special("slash_tmp", "write")]
            entries += [] if policy.exclude_tmpdir_env_var else [_special("tmpdir", "write")]
    return {
        "type": "managed",
        "file_system": {"type": "restricted", "entries": entries},
        "network": "enabled" if policy.network_access else "restricted",
    }


def _special(kind: str, access: str) -> dict[str, Any]:
    return {"path": {"type": "special", "value": {"kind": kind}}, "access": access}


def _path(path: str) -> dict[str, Any]:
    return {"path": {"type": "path", "path": path}, "access": "write"}


def sandbox_of_managed(profile: Any, cwd: str) -> dict[str, Any] | None:
    """The policy behind such a profile, as `turn_context` has it; None if no policy says the same."""
    match profile:
        case {"type": "disabled"}:
            return sandbox_to_rollout(DangerFullAccessPolicy())
        case {"type": "external"}:
            return {"type": "external-sandbox", "network_access": profile.get("network", "restricted")}
        case {"type": "managed", "file_system": {"type": "restricted", "entries": [*entries]}}:
            return _of_entries(entries, profile.get("network") == "enabled", cwd)
        case _:
            return None


def _of_entries(entries: Sequence[Any], network: bool, cwd: str) -> dict[str, Any] | None:
    roots: list[str] = []
    kinds: set[str] = set()
    for entry in entries:
        match entry:
            case {"access": "write", "path": {"type": "path", "path": str(path)}}:
                roots.append(path)
            case {"access": "write", "path": {"value": {"kind": str(kind)}}}:
                kinds.add(kind)
            case {"access": "read" | "write"}:
                pass
            case _:  # it takes something away
                return None
    if not roots and not kinds:
        return sandbox_to_rollout(ReadOnlyPolicy(network_access=network))
    return {
        "type": "workspace-write",
        "writable_roots": [root for root in roots if root != cwd],
        "network_access": network,
        "exclude_tmpdir_env_var": "tmpdir" not in kinds,
        "exclude_slash_tmp": "slash_tmp" not in kinds,
    }
