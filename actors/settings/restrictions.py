"""What a request says about what tools may do: its sandbox, environments and workspace roots.

A request names a sandbox in one of four ways. A request for something that is not supported is refused.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final

from spindle.actors.settings.permissions import split
from spindle.rpc.protocol.errors import invalid_request
from spindle.rpc.protocol.settings import (
    LOCAL_ENVIRONMENT,
    DangerFullAccessPolicy,
    PermissionProfile,
    ReadOnlyPolicy,
    SandboxPolicy,
    TurnEnvironmentParams,
    WorkspaceWritePolicy,
)
from spindle.storage.config import Config, ConfigError

MOST_ROOTS: Final = 100
"""Workspace roots of a thread."""
_PERMISSIONS: Final = {
    ":read-only": "read-only",
    ":workspace": "workspace-write",
    ":danger-full-access": "danger-full-access",
}
"""The built-in permission profiles, as sandbox modes."""


def asked_sandbox(
    config: Config,
    *,
    sandbox: str | None = None,
    sandbox_policy: SandboxPolicy | None = None,
    profile: PermissionProfile | None = None,
    permissions: str | None = None,
) -> tuple[SandboxPolicy, PermissionProfile | None] | None:
    """(the policy that a request names, the profile if it says more than the policy); None if it names none.

    `sandbox` is a mode of config.toml, `permissions` the name of a profile. Raises RpcError for more than one of the four, and
    for an unknown profile.
    """
    ways = {"sandbox": sandbox, "sandboxPolicy": sandbox_policy, "permissionProfile": profile, "permissions": permissions}
    given = [name for name, value in ways.items() if value is not None]
    if len(given) > 1:
        raise invalid_request(f"`{given[1]}` cannot be combined with `{given[0]}`")
    if sandbox is not None:
        return sandbox_from_mode(sandbox, config), None
    if sandbox_policy is not None:
        return sandbox_policy, None
    if profile is not None:
        return split(profile)
    return None if permissions is None else _named(permissions, config)


def _named(name: str, config: Config) -> tuple[SandboxPolicy, PermissionProfile | None]:
    if name in _PERMISSIONS:
        return sandbox_from_mode(_PERMISSIONS[name], config), None
    try:
        return split(dict(config.profile(name)))
    except ConfigError:
        raise invalid_request(f"unknown permission profile `{name}`") from None


def sandbox_from_mode(mode: str, config: Config) -> SandboxPolicy:
    """The policy that a `sandbox_mode` of config.toml stands for."""
    if mode == "danger-full-access":
        return DangerFullAccessPolicy()
    if mode == "workspace-write":
        table = config.sandbox_workspace_write
        return WorkspaceWritePolicy(
            writable_roots=tuple(table.writable_roots),
            network_access=table.network_access,
            exclude_tmpdir_env_var=table.exclude_tmpdir_env_var,
            exclude_slash_tmp=table.exclude_slash_tmp,
        )
    return ReadOnlyPolicy()


def environment(environments: Sequence[TurnEnvironmentParams] | None) -> dict[str, Any]:
    """The settings that a request's `environments` change. Raises RpcError for an unknown environment."""
    if environments is None:
        return {}
    if not environments:
        return {"has_environment": False}
    for asked in environments:
        if asked.environment_id != LOCAL_ENVIRONMENT:
            raise invalid_request(f"unknown turn environment id `{asked.environment_id}`")
    if len(environments) > 1:
        raise invalid_request("more than one environment in `environments` is not supported")
    (local,) = environments
    cwd = os.path.normpath(local.cwd)
    check_roots(local.runtime_workspace_roots, cwd)
    return {"has_environment": True, "cwd": cwd}


def check_roots(roots: Sequence[str] | None, cwd: str) -> None:
    """Raise RpcError for workspace roots other than the working directory, where these are not supported."""
    if roots is not None and {os.path.normpath(root) for root in roots} != {cwd}:
        raise invalid_request("`runtimeWorkspaceRoots` other than the working directory are not supported")


def more_roots(roots: Sequence[str], cwd: str) -> tuple[str, ...]:
    """The workspace roots besides the working directory. Raises RpcError if that is not one, or if they are too many."""
    found = dict.fromkeys(map(os.path.normpath, roots))
    if cwd not in found:
        raise invalid_request("`runtimeWorkspaceRoots` without the working directory are not supported")
    if len(found) > MOST_ROOTS:
        raise invalid_request(f"`runtimeWorkspaceRoots` must name at most {MOST_ROOTS} folders")
    return tuple(root for root in found if root != cwd)
