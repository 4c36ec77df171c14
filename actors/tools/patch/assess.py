"""Whether a sandbox policy lets a plan be carried out without asking."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from attrs import frozen

from spindle.actors.tools.patch.plan import Plan
from spindle.actors.tools.sandbox.confinement import Confinement
from spindle.rpc.protocol.settings import (
    DangerFullAccessPolicy,
    ExternalSandboxPolicy,
    ReadOnlyPolicy,
    SandboxPolicy,
    WorkspaceWritePolicy,
)

OUTSIDE = "writing outside of the project"
BLOCKED = "writing is blocked by read-only sandbox"
_GUARDED = frozenset({".git", ".codex", ".agents"})


@frozen
class NeedsApproval:
    """The user has to allow it: `path` is the first file in question, `reason` why, as models are told."""

    path: str
    reason: str

    def rejection(self) -> str:
        """The answer to the model where the user is not to be asked."""
        return f"patch rejected: {self.reason}; rejected by user approval settings"


def assess(plan: Plan, policy: SandboxPolicy, cwd: str, home: str, env: Mapping[str, str]) -> NeedsApproval | None:
    """None if every file of the plan may be written under the policy, else what is in the way.

    `cwd` is the thread's working directory, `home` the Codex home (never writable), `env` is looked at for TMPDIR.
    Never writable either is what lies in a folder `.git`, `.codex` or `.agents` below a writable root. The roots are
    resolved as the paths of the plan are; nothing else is read from disk.
    """
    match policy:
        case DangerFullAccessPolicy() | ExternalSandboxPolicy():
            return None
        case ReadOnlyPolicy():
            return NeedsApproval(plan.touched[0], BLOCKED) if plan.touched else None
        case WorkspaceWritePolicy():
            roots = writable_roots(policy, cwd, env)
            kept = os.path.realpath(home)
            for path in plan.touched:
                if _within(path, kept) or not any(_open_to(path, root) for root in roots):
                    return NeedsApproval(path, OUTSIDE)
            return None


def assess_confined(plan: Plan, confinement: Confinement) -> NeedsApproval | None:
    """The same for what a permission profile allows."""
    for path in plan.touched:
        guarded = _GUARDED.intersection(path.casefold().split("/"))
        if confinement.access(path) != "write" or guarded:
            return NeedsApproval(path, OUTSIDE)
    return None


def writable_roots(policy: WorkspaceWritePolicy, cwd: str, env: Mapping[str, str]) -> Sequence[str]:
    """The real paths of the folders that the policy opens."""
    roots = [cwd, *policy.writable_roots]
    if not policy.exclude_slash_tmp:
        roots.append("/tmp")
    if not policy.exclude_tmpdir_env_var and os.path.isabs(env.get("TMPDIR", "")):
        roots.append(env["TMPDIR"])
    return [os.path.realpath(root) for root in roots]


def _within(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def _open_to(path: str, root: str) -> bool:
    if not _within(path, root):
        return False
    below = os.path.relpath(path, root).casefold().split("/")  # file systems may not tell cases apart
    return not _GUARDED.intersection(below)
