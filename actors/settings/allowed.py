"""Limits that an administrator sets (`requirements.toml`) on a thread's settings, wherever they come from.

When a thread is loaded, settings that are not allowed are replaced by allowed ones, with a warning, as in the reference. A
request between turns for settings that are not allowed is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from attrs import evolve

from spindle.actors.settings.policies import mode_name
from spindle.actors.settings.settings import Settings
from spindle.rpc.protocol.converter import structure, unstructure
from spindle.rpc.protocol.errors import invalid_request
from spindle.rpc.protocol.settings import AskForApproval, PermissionProfile, ReadOnlyPolicy
from spindle.storage.config.requirements import Requirements


def limited(settings: Settings, demanded: Requirements) -> tuple[Settings, Sequence[str]]:
    """(the settings, with what is not allowed replaced; a warning for each replacement)"""
    warnings: list[str] = []
    if demanded.approval_policies and (fault := _approval_fault(settings, demanded)) is not None:
        policy = demanded.approval_policies[0]
        settings = evolve(settings, approval_policy=structure(policy, AskForApproval))  # type: ignore[arg-type]
        warnings.append(_fallen("approval_policy", _word(policy), fault))
    if (fault := _sandbox_fault(settings, demanded)) is not None:
        settings = evolve(settings, sandbox=ReadOnlyPolicy(), profile=None)
        warnings.append(_fallen("sandbox_mode", "read-only", fault))
    if demanded.reviewers and (fault := _reviewer_fault(settings, demanded)) is not None:
        settings = evolve(settings, approvals_reviewer=demanded.reviewers[0])
        warnings.append(_fallen("approvals_reviewer", demanded.reviewers[0], fault))
    return settings, warnings


def check(settings: Settings, demanded: Requirements) -> None:
    """Raise RpcError for settings that are not allowed."""
    faults = _approval_fault, _sandbox_fault, _reviewer_fault
    fault = next((fault for find in faults if (fault := find(settings, demanded)) is not None), None)
    if fault is not None:
        raise invalid_request(f"invalid thread settings override: {fault}")


def required_mode(settings: Settings) -> str:
    """The strictest `sandbox_mode` that grants what the settings grant."""
    return mode_name(settings.sandbox) if settings.profile is None else _mode_of(settings.profile)


def allows_profile(profile: PermissionProfile, demanded: Requirements) -> bool:
    """Whether a thread may have the permission profile."""
    return demanded.sandbox_modes is None or _mode_of(profile) in demanded.sandbox_modes


def _mode_of(profile: PermissionProfile) -> str:
    written = [_path(entry) for entry in _entries(profile) if entry.get("access") == "write"]
    if any((path.get("type") == "path" and path.get("path") == "/") or _kind(path) == "root" for path in written):
        return "danger-full-access"
    return "workspace-write" if written else "read-only"


def _approval_fault(settings: Settings, demanded: Requirements) -> str | None:
    allowed, policy = demanded.approval_policies, unstructure(settings.approval_policy)
    if allowed is None or policy in allowed:
        return None
    return _fault("approval_policy", _word(policy), map(_word, allowed), demanded)


def _sandbox_fault(settings: Settings, demanded: Requirements) -> str | None:
    allowed = demanded.sandbox_modes
    if allowed is None or (mode := required_mode(settings)) in allowed:
        return None
    return _fault("sandbox_mode", mode, allowed, demanded)


def _reviewer_fault(settings: Settings, demanded: Requirements) -> str | None:
    """`auto_review` and its older name are the same."""
    allowed, reviewer = demanded.reviewers, settings.approvals_reviewer
    if allowed is None or (reviewer != "user" and any(one != "user" for one in allowed)) or reviewer in allowed:
        return None
    return _fault("approvals_reviewer", reviewer, allowed, demanded)


def _fault(key: str, value: str, allowed: Any, demanded: Requirements) -> str:
    listed = ", ".join(allowed)
    return f"invalid value for `{key}`: `{value}` is not in the allowed set [{listed}] (set by {demanded.source})"


def _fallen(key: str, value: str, fault: str) -> str:
    return (
        f"Configured value for `{key}` is disallowed by requirements; falling back to required value {value}. "
        f"Details: {fault}"
    )


def _word(policy: object) -> str:
    if isinstance(policy, str):
        return policy
    switches = cast("Mapping[str, Mapping[str, bool]]", policy)["granular"]
    return f"granular({', '.join(name for name, on in switches.items() if on)})"


def _entries(profile: PermissionProfile) -> Sequence[Mapping[str, Any]]:
    entries: Any = _members(profile.get("fileSystem")).get("entries") or ()
    return [_members(entry) for entry in entries]


def _path(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    return _members(entry.get("path"))


def _kind(path: Mapping[str, Any]) -> object:
    return _members(path.get("value")).get("kind") if path.get("type") == "special" else None


def _members(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
