"""Settings changed between turns: what a request makes of them, how clients see them, how the rollout keeps them.

The rollout's line is an `event_msg` of type `thread_settings_applied`, as Codex 0.169 writes and restores it. It tells of
the sandbox as a permission profile, which lists paths; ours has the policy itself in it too, so that it comes back whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from attrs import evolve

from spindle.actors.settings.modes import filled
from spindle.actors.settings.permissions import ROLLOUT_KEYS, to_rollout
from spindle.actors.settings.restrictions import REVIEWER, asked_sandbox, environment
from spindle.actors.settings.settings import ThreadSettings, absolute, mode_of, sandbox_to_rollout
from spindle.rpc.protocol.converter import unstructure
from spindle.rpc.protocol.settings import (
    CollaborationMode,
    DangerFullAccessPolicy,
    ExternalSandboxPolicy,
    ReadOnlyPolicy,
    SandboxPolicy,
    WorkspaceWritePolicy,
)
from spindle.rpc.protocol.shapes import Absent
from spindle.rpc.protocol.thread_settings import ThreadSettings as ShownSettings
from spindle.rpc.protocol.thread_settings import ThreadSettingsUpdateParams
from spindle.storage.config import Config
from spindle.storage.rollout import records
from spindle.storage.rollout.records import Entry

_SAME: Final = (
    "model",
    "approval_policy",
    "approvals_reviewer",
    "cwd",
    "environments",
    "service_tier",
    "personality",
    "collaboration_mode",
)
"""Members that the line and `turn_context` call alike."""

_RENAMED: Final = {"reasoning_effort": "effort", "reasoning_summary": "summary"}


def changed(
    settings: ThreadSettings, params: ThreadSettingsUpdateParams, config: Config, server_cwd: str
) -> ThreadSettings:
    """The settings after `thread/settings/update`. Raises RpcError for what cannot be."""
    mode = params.collaboration_mode
    values: dict[str, Any] = {
        "model": params.model,
        "approval_policy": params.approval_policy,
        "approvals_reviewer": params.approvals_reviewer,
        "effort": params.effort,
        "summary": params.summary,
        "personality": params.personality,
        "collaboration_mode": mode,
    }
    changes = {name: value for name, value in values.items() if value is not None}
    sandbox = asked_sandbox(config, sandbox_policy=params.sandbox_policy, permissions=params.permissions)
    if sandbox is not None:
        changes["sandbox"], changes["profile"] = sandbox
    if params.cwd is not None:
        changes["cwd"] = absolute(server_cwd, params.cwd)
    changes |= environment(params.environments)
    if not isinstance(params.service_tier, Absent):
        changes["service_tier"] = params.service_tier
    if mode is not None:  # it carries a model and an effort of its own
        changes |= {"model": mode.settings.model, "effort": mode.settings.reasoning_effort}
        changes["collaboration_mode"] = filled(mode)
    elif isinstance(settings.collaboration_mode, CollaborationMode):
        changes["collaboration_mode"] = mode_of(evolve(settings, **changes))
    return evolve(settings, **changes)


def shown(settings: ThreadSettings) -> ShownSettings:
    """The settings as clients see them."""
    return ShownSettings(
        cwd=settings.cwd,
        environments=None if settings.has_environment else (),
        approval_policy=settings.approval_policy,
        approvals_reviewer=REVIEWER,
        sandbox_policy=settings.sandbox,
        model=settings.model,
        model_provider=settings.model_provider,
        service_tier=settings.service_tier,
        effort=settings.effort,
        summary=settings.summary,  # type: ignore[arg-type]
        collaboration_mode=mode_of(settings),
        personality=settings.personality,  # type: ignore[arg-type]
    )


def applied(settings: ThreadSettings, thread_id: str) -> Entry:
    """The record of the settings."""
    kept: dict[str, Any] = {
        "model": settings.model,
        "model_provider_id": settings.model_provider,
        "service_tier": settings.service_tier,
        "approval_policy": unstructure(settings.approval_policy),
        "approvals_reviewer": settings.approvals_reviewer,
        "permission_profile": _profile(settings.sandbox, settings.cwd),
        "sandbox_policy": sandbox_to_rollout(settings.sandbox),
        **({"profile": to_rollout(settings.profile)} if settings.profile is not None else {}),
        "cwd": settings.cwd,
        "environments": None if settings.has_environment else [],
        "reasoning_effort": settings.effort,
        "reasoning_summary": settings.summary,
        "personality": settings.personality,
        "collaboration_mode": unstructure(mode_of(settings)),
    }
    told = {name: value for name, value in kept.items() if value is not None}
    return records.thread_settings_applied(thread_id, told)


def as_context(kept: object) -> dict[str, Any]:
    """The `thread_settings` of such a line in the words of a `turn_context`; for lines of Codex too.

    What says in a way we do not know what commands may do comes as a `sandbox_policy` that is none.
    """
    if not isinstance(kept, Mapping):
        return {}
    kept = cast("Mapping[str, Any]", kept)
    context = {name: kept[name] for name in _SAME if kept.get(name) is not None}
    context |= {name: kept[old] for old, name in _RENAMED.items() if kept.get(old) is not None}
    profile: object = kept.get("profile") or {}
    context |= cast("Mapping[str, Any]", profile) if isinstance(profile, Mapping) else {ROLLOUT_KEYS[1]: profile}
    told: object = kept.get("permission_profile")
    policy = kept.get("sandbox_policy") or _policy(told, str(kept.get("cwd"))) or told
    return context if policy is None else context | {"sandbox_policy": policy}


def follow_on(older: Mapping[str, Any], newer: Mapping[str, Any]) -> dict[str, Any]:
    """What two contexts say together; what only some contexts have ends with the next one that has a policy."""
    if "sandbox_policy" in newer:
        older = {key: value for key, value in older.items() if key not in (*ROLLOUT_KEYS, "environments")}
    return {**older, **newer}


def _profile(policy: SandboxPolicy, cwd: str) -> dict[str, Any]:
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


def _policy(profile: Any, cwd: str) -> dict[str, Any] | None:
    """The policy behind a profile, as `turn_context` spells it; None for one that no policy comes near to."""
    match profile:
        case {"type": "disabled"}:
            return sandbox_to_rollout(DangerFullAccessPolicy())
        case {"type": "external"}:
            return {"type": "external-sandbox", "network_access": profile.get("network", "restricted")}
        case {"type": "managed", "file_system": {"type": "restricted", "entries": [*entries]}}:
            return _managed(entries, profile.get("network") == "enabled", cwd)
        case _:
            return None


def _managed(entries: Sequence[Any], network: bool, cwd: str) -> dict[str, Any] | None:
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
