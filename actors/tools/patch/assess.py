"""Whether a plan may be applied without asking, after an approval, or never: by the confinement of the turn's commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from spindle.actors.tools.sandbox.confinement import Confinement, within
from spindle.actors.tools.sandbox.protection import METADATA
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.settings import ReadOnlyPolicy, SandboxPolicy

if TYPE_CHECKING:
    from spindle.actors.tools.patch.plan import Plan

OUTSIDE = "writing outside of the project"
BLOCKED = "writing is blocked by read-only sandbox"


@frozen
class NeedsApproval:
    """It needs an approval. `path` is the first file that does, `reason` why, in the words for the model."""

    path: str
    reason: str

    def rejection(self) -> str:
        """The answer to the model if the policy forbids asking the user."""
        return f"patch rejected: {self.reason}; rejected by user approval settings"


@frozen
class Sealed:
    """It is refused even if the user would approve it. `path` is the first file that is never written."""

    path: str

    def rejection(self) -> str:
        """The answer to the model."""
        return f"patch rejected: {self.path} is never written, because the sandbox depends on it"


Obstacle: TypeAlias = NeedsApproval | Sealed


def assess(plan: Plan, confinement: Confinement | None, policy: SandboxPolicy) -> Obstacle | None:
    """None if `confinement` allows writing every file of the plan (None: no confinement), else the obstacle.

    `policy` decides the wording of the reason. Stricter than for commands: `.git`, `.codex` and `.agents` are protected at
    every depth below a writable folder.
    """
    if confinement is None:
        return None
    for path in plan.touched:
        if any(within(path, own) for own in confinement.sealed):
            return Sealed(path)
    for path in plan.touched:
        if not _writable(path, confinement):
            return NeedsApproval(path, BLOCKED if isinstance(policy, ReadOnlyPolicy) else OUTSIDE)
    return None


def _writable(path: str, confinement: Confinement) -> bool:
    rule = confinement.rule(path)
    below = path[len(rule.path) :].casefold().split("/")  # some file systems ignore case
    return rule.access == "write" and not set(METADATA).intersection(below)
