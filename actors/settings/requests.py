"""What a request makes of the settings: when it loads a thread, and between turns.

A thread that is loaded takes each setting from the first that has it: the request's own member; the last turn in the rollout,
on resume; config.toml, with the request's `config` over it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve

from spindle.actors.settings.catalogue import model_info
from spindle.actors.settings.modes import filled
from spindle.actors.settings.permissions import from_rollout, split
from spindle.actors.settings.policies import approval_from_rollout, sandbox_from_rollout
from spindle.actors.settings.restrictions import asked_sandbox, check_roots, environment, more_roots, sandbox_from_mode
from spindle.actors.settings.settings import FIELDS, Settings, mode_of
from spindle.rpc.protocol.errors import invalid_request
from spindle.rpc.protocol.settings import CollaborationMode, PermissionProfile, SandboxPolicy, WorkspaceWritePolicy
from spindle.rpc.protocol.shapes import Absent
from spindle.rpc.protocol.thread_settings import ThreadSettingsUpdateParams
from spindle.rpc.protocol.turns import TurnStartParams
from spindle.rpc.protocol.values import clean, is_clean
from spindle.storage.config import Config


def settings_for(
    config: Config,
    params: Any,
    *,
    server_cwd: str,
    recorded: Mapping[str, Any] | None = None,
    base_instructions: str | None = None,
) -> Settings:
    """Settings of a thread that is started, or resumed with the `recorded` last turn_context.

    `params` are ThreadStartParams, ThreadResumeParams or ThreadForkParams. `config` has the params' own overrides in it, and
    `recorded` has only what is `readable`. Raises RpcError for what cannot be.
    """
    recorded = recorded or {}
    values = {name: _first(name, params, recorded, config) for name in FIELDS}
    values["roots"] = tuple(values["roots"])
    values["sandbox"], values["profile"] = _sandbox(config, params, recorded)
    place = environment(getattr(params, "environments", None))
    values["cwd"] = absolute(server_cwd, place.get("cwd", params.cwd or recorded.get("cwd")) or "")
    values["has_environment"] = place.get("has_environment", recorded.get("environments") != [])
    values["approval_policy"] = (
        params.approval_policy
        or approval_from_rollout(recorded.get("approval_policy"))
        or approval_from_rollout(config.approval_policy)
        or config.default_approval_policy
    )
    if not isinstance(params.service_tier, Absent):  # null clears it
        values["service_tier"] = params.service_tier
    # one model's effort may be unknown to another
    values["effort"] = config.model_reasoning_effort or (None if params.model else _effort(recorded))
    values["base_instructions"] = (
        params.base_instructions
        or base_instructions
        or config.instructions
        or model_info(values["model"], config).base_instructions
    )
    asked = any(getattr(params, name) is not None for name in ("sandbox", "permission_profile", "permissions"))
    return _within(Settings(**values), params.runtime_workspace_roots, fresh=asked)


def _first(name: str, params: Any, recorded: Mapping[str, Any], config: Config) -> Any:
    one = FIELDS[name]
    kept = recorded.get(one.context) if one.resumed and one.context is not None else None
    configured = None if one.config is None else getattr(config, one.config)
    asked = getattr(params, name, None)
    return (None if isinstance(asked, Absent) else asked) or kept or configured or one.default


def _effort(recorded: Mapping[str, Any]) -> str | None:
    collaboration: Any = recorded.get("collaboration_mode") or {}
    collaborating: Any = collaboration.get("settings") or {}
    effort: str | None = recorded.get("effort") or collaborating.get("reasoning_effort")
    return effort


def _sandbox(
    config: Config, params: Any, recorded: Mapping[str, Any]
) -> tuple[SandboxPolicy, PermissionProfile | None]:
    """The first of: what the request says, the last turn's profile, config.toml's profile, the last turn's policy.

    A turn from before config.toml had a profile knew nothing of it, so its policy does not replace the profile.
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
    return sandbox or sandbox_from_mode(config.sandbox_mode or config.default_sandbox_mode, config), None


def changed(
    settings: Settings, params: TurnStartParams | ThreadSettingsUpdateParams, config: Config, server_cwd: str
) -> Settings:
    """The settings after a turn's overrides, or after `thread/settings/update`.

    A relative cwd is taken from `server_cwd`, and need not exist. Raises RpcError for what cannot be.
    """
    changes = {name: value for name, one in FIELDS.items() if one.turn and (value := getattr(params, name)) is not None}
    sandbox = asked_sandbox(
        config,
        sandbox_policy=params.sandbox_policy,
        profile=getattr(params, "permission_profile", None),
        permissions=params.permissions,
    )
    if sandbox is not None:
        changes["sandbox"], changes["profile"] = sandbox
    if not isinstance(params.service_tier, Absent):
        changes["service_tier"] = params.service_tier
    if params.cwd is not None:
        changes["cwd"] = absolute(server_cwd, params.cwd)
    changes |= environment(params.environments)
    if (mode := params.collaboration_mode) is not None:  # it carries a model and an effort of its own
        changes |= {"model": mode.settings.model, "effort": mode.settings.reasoning_effort}
        changes["collaboration_mode"] = filled(mode)
    elif changes and isinstance(settings.collaboration_mode, CollaborationMode):
        changes["collaboration_mode"] = mode_of(evolve(settings, **changes))
    after = evolve(settings, **changes) if changes else settings
    return _within(after, getattr(params, "runtime_workspace_roots", None), fresh=sandbox is not None)


def _within(settings: Settings, roots: Sequence[str] | None, *, fresh: bool) -> Settings:
    """The settings with the workspace roots that a request names, or with those that they have. `fresh`: the request has set
    the policy, so that it does not have the roots yet.

    Roots have no effect if commands have no workspace to write to. Raises RpcError for roots without the working directory, and
    for other roots under a permission profile.
    """
    if not settings.has_environment:
        return settings
    if settings.profile is not None:
        check_roots(roots, settings.cwd)
        return evolve(settings, roots=()) if settings.roots else settings
    policy = settings.sandbox
    if not isinstance(policy, WorkspaceWritePolicy):
        return settings
    more = settings.roots if roots is None else more_roots(roots, settings.cwd)
    own = tuple(root for root in policy.writable_roots if fresh or root not in settings.roots)
    writable = (*own, *(root for root in more if root not in own))
    if writable == tuple(policy.writable_roots) and more == settings.roots:
        return settings
    return evolve(settings, roots=more, sandbox=evolve(policy, writable_roots=writable))


def absolute(server_cwd: str, cwd: str) -> str:
    """The working directory that `cwd` names. It need not exist; a relative one is taken from the server's own.

    Raises RpcError for a path that no directory can have, or that cannot be sent to a client.
    """
    path = os.path.normpath(os.path.join(server_cwd, cwd)) if cwd else server_cwd
    if "\0" in path:
        raise invalid_request("invalid cwd: a path cannot contain NUL")
    if not is_clean(path):
        raise invalid_request(f"invalid cwd: the server's own directory, {clean(server_cwd)}, is not valid UTF-8")
    return path
