"""What a thread runs with, where each value comes from, and how it is written into the rollout.

Precedence: the request's own field, its `config` overrides, the last turn recorded in the rollout (on resume), then
config.toml. The rollout's `turn_context` line spells policies in kebab and snake case where the protocol uses camel case.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from attrs import evolve, frozen

from spindle.actors.settings.catalogue import model_info
from spindle.actors.settings.modes import filled
from spindle.actors.settings.permissions import from_rollout, split, to_rollout
from spindle.actors.settings.restrictions import asked_sandbox, check_roots, environment, sandbox_from_mode
from spindle.rpc.protocol.converter import InvalidValue, structure, unstructure
from spindle.rpc.protocol.errors import invalid_request
from spindle.rpc.protocol.settings import (
    AskForApproval,
    CollaborationMode,
    CollaborationSettings,
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
from spindle.rpc.protocol.shapes import ABSENT
from spindle.rpc.protocol.turns import TurnStartParams
from spindle.rpc.protocol.values import clean, is_clean
from spindle.storage.config import Config


@frozen(kw_only=True)
class ThreadSettings:
    """The settings in force. `base_instructions` is None for our own; everything but it may change between turns.
    `approvals_reviewer` is the one asked for, which the rollout keeps; it is the user who decides.

    `profile`, where there is one, decides what commands may do, and `sandbox` is the policy nearest to it. Without an
    environment there are no commands: the model gets no tools that act on the machine.
    """

    model: str
    model_provider: str
    cwd: str
    approval_policy: AskForApproval
    approvals_reviewer: str
    sandbox: SandboxPolicy
    profile: PermissionProfile | None = None
    has_environment: bool = True
    service_tier: str | None = None
    effort: str | None = None
    summary: str | None = None
    personality: str | None = None
    collaboration_mode: Any | None = None
    base_instructions: str | None = None
    developer_instructions: str | None = None

    def for_turn(self, params: TurnStartParams, config: Config, server_cwd: str) -> ThreadSettings:
        """The settings after a turn's overrides; a relative cwd is taken from `server_cwd`, and need not exist.

        Raises RpcError for what cannot be.
        """
        changes: dict[str, Any] = {
            name: value
            for name, value in (
                ("model", params.model),
                ("approval_policy", params.approval_policy),
                ("approvals_reviewer", params.approvals_reviewer),
                ("effort", params.effort),
                ("summary", params.summary),
                ("personality", params.personality),
                ("collaboration_mode", params.collaboration_mode),
            )
            if value is not None
        }
        sandbox = asked_sandbox(
            config,
            sandbox_policy=params.sandbox_policy,
            profile=params.permission_profile,
            permissions=params.permissions,
        )
        if sandbox is not None:
            changes["sandbox"], changes["profile"] = sandbox
        if params.service_tier is not ABSENT:
            changes["service_tier"] = params.service_tier
        if params.cwd is not None:
            changes["cwd"] = absolute(server_cwd, params.cwd)
        changes |= environment(params.environments)
        if (mode := params.collaboration_mode) is not None:  # it carries a model and an effort of its own
            changes |= {"model": mode.settings.model, "effort": mode.settings.reasoning_effort}
            changes["collaboration_mode"] = filled(mode)
        elif changes and isinstance(self.collaboration_mode, CollaborationMode):
            changes["collaboration_mode"] = mode_of(evolve(self, **changes))
        after = evolve(self, **changes) if changes else self
        return after.within(params.runtime_workspace_roots)

    def within(self, roots: Sequence[str] | None) -> ThreadSettings:
        """The same settings, if they keep to the workspace roots that a request names. Raises RpcError if they do not.

        Where commands have no workspace to write to, the roots ask for nothing.
        """
        if self.has_environment and (isinstance(self.sandbox, WorkspaceWritePolicy) or self.profile is not None):
            check_roots(roots, self.cwd)
        return self


def absolute(server_cwd: str, cwd: str) -> str:
    """The working directory that `cwd` names, which need not exist; relative ones are taken from the server's own.

    Raises RpcError for a path that no directory can have, or that no client can be told.
    """
    path = os.path.normpath(os.path.join(server_cwd, cwd)) if cwd else server_cwd
    if "\0" in path:
        raise invalid_request("invalid cwd: a path holds no NUL")
    if not is_clean(path):
        raise invalid_request(f"invalid cwd: the server's own directory, {clean(server_cwd)}, is not valid UTF-8")
    return path


def mode_of(settings: ThreadSettings) -> CollaborationMode:
    """The collaboration mode in force, with the model and the effort in force."""
    mode = settings.collaboration_mode
    if not isinstance(mode, CollaborationMode):
        return CollaborationMode("default", CollaborationSettings(settings.model, settings.effort))
    return evolve(mode, settings=evolve(mode.settings, model=settings.model, reasoning_effort=settings.effort))


def settings_for(
    config: Config,
    params: Any,
    *,
    server_cwd: str,
    recorded: Mapping[str, Any] | None = None,
    base_instructions: str | None = None,
) -> ThreadSettings:
    """Settings of a thread that is started, or resumed with the `recorded` last turn_context.

    `params` are ThreadStartParams, ThreadResumeParams or ThreadForkParams. `config` has the params' own overrides in it, and
    `recorded` only what is `readable`.
    """
    recorded = recorded or {}
    cwd = params.cwd or recorded.get("cwd")
    sandbox, profile = _sandbox(config, params, recorded)
    asked = environment(getattr(params, "environments", None))
    cwd = asked.get("cwd", cwd)
    collaboration: Any = recorded.get("collaboration_mode") or {}
    collaborating: Any = collaboration.get("settings") or {}
    effort = None if params.model else recorded.get("effort") or collaborating.get("reasoning_effort")
    model = params.model or recorded.get("model") or config.model or DEFAULT_MODEL
    settings = ThreadSettings(
        model=model,
        model_provider=params.model_provider or config.model_provider or "openai",
        cwd=absolute(server_cwd, cwd or ""),
        approval_policy=params.approval_policy
        or approval_from_rollout(recorded.get("approval_policy"))
        or approval_from_rollout(config.approval_policy)
        or "on-request",
        approvals_reviewer=params.approvals_reviewer or recorded.get("approvals_reviewer") or config.approvals_reviewer,
        sandbox=sandbox,
        profile=profile,
        has_environment=asked.get("has_environment", recorded.get("environments") != []),
        service_tier=(recorded.get("service_tier") or config.service_tier)
        if params.service_tier is ABSENT
        else params.service_tier,
        effort=config.model_reasoning_effort or effort,  # one model's need not be another's
        summary=config.model_reasoning_summary,
        personality=getattr(params, "personality", None) or recorded.get("personality") or config.personality,
        base_instructions=params.base_instructions
        or base_instructions
        or config.instructions
        or model_info(model, config).base_instructions,
        developer_instructions=params.developer_instructions or config.developer_instructions,
    )
    return settings.within(params.runtime_workspace_roots)


def _sandbox(
    config: Config, params: Any, recorded: Mapping[str, Any]
) -> tuple[SandboxPolicy, PermissionProfile | None]:
    """What the request says, else the profile of the last turn, else that of config.toml, else the policy of the last turn.

    A profile of config.toml is not undone by the policy of a turn from before it, which knew nothing of it.
    """
    asked = asked_sandbox(
        config, sandbox=params.sandbox, profile=params.permission_profile, permissions=params.permissions
    )
    if asked is not None:
        return asked
    profile = from_rollout(recorded) or config.permission_profile
    if profile is not None:
        return split(profile)
    kept: Any = recorded.get("sandbox_policy")
    sandbox = None if kept is None else sandbox_from_rollout(kept)
    return sandbox or sandbox_from_mode(config.sandbox_mode or "read-only", config), None


DEFAULT_MODEL = "gpt-5.4"
"""The model where neither request nor config names one."""


_ROLLOUT_SANDBOX = {
    DangerFullAccessPolicy: "danger-full-access",
    ReadOnlyPolicy: "read-only",
    ExternalSandboxPolicy: "external-sandbox",
    WorkspaceWritePolicy: "workspace-write",
}


def sandbox_to_rollout(policy: SandboxPolicy) -> dict[str, Any]:
    """A policy as `turn_context.sandbox_policy` spells it."""
    out: dict[str, Any] = {"type": _ROLLOUT_SANDBOX[type(policy)]}
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
    """The reverse; None for a policy that this version does not know in all it says."""
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
    """Whether it is one that `_access_from_rollout` can read."""
    if not isinstance(access, Mapping):
        return False
    members = cast("Mapping[str, Any]", access)
    defaults, roots = members.get("include_platform_defaults", True), members.get("readable_roots", [])
    return members.get("type") == "full-access" or (
        members.get("type") == "restricted" and _flag(defaults) and _roots(roots)
    )


def _access_to_rollout(name: str, access: ReadOnlyAccess) -> dict[str, Any]:
    """What may be read, where that is not everything."""
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
"""Whether what a policy says of itself is known."""


def approval_from_rollout(stored: Any) -> AskForApproval | None:
    """The approval policy of a `turn_context` line; None where it is absent or unknown."""
    try:
        return None if stored is None else structure(stored, AskForApproval)  # type: ignore[arg-type]
    except InvalidValue:
        return None


def mode_name(policy: SandboxPolicy) -> str:
    """The `sandbox_mode` name of a policy, as the model is told."""
    return _ROLLOUT_SANDBOX[type(policy)]


def approval_name(policy: AskForApproval) -> str:
    """The policy's name, as the model is told."""
    return policy if isinstance(policy, str) else "granular"


def turn_context(settings: ThreadSettings, turn_id: str, date: str, timezone: str) -> dict[str, Any]:
    """The payload of the `turn_context` line that opens a turn (format of Codex 0.124)."""
    out: dict[str, Any] = {
        "turn_id": turn_id,
        "cwd": settings.cwd,
        "current_date": date,
        "timezone": timezone,
        "approval_policy": unstructure(settings.approval_policy),
        "sandbox_policy": sandbox_to_rollout(settings.sandbox),
        **(to_rollout(settings.profile) if settings.profile is not None else {}),
        "model": settings.model,
        "personality": settings.personality,
        "collaboration_mode": unstructure(mode_of(settings)),
        "realtime_active": False,
        "effort": settings.effort,
        "summary": settings.summary or "auto",
        "environments": None if settings.has_environment else [],
        "developer_instructions": settings.developer_instructions,
    }
    return {key: value for key, value in out.items() if value is not None}
