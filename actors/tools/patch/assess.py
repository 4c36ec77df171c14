"""Whether a plan may be carried out unasked, once the user agrees, or never: by what confines the turn's commands."""

from __future__ import annotations

from typing import TypeAlias

from attrs import frozen

from spindle.actors.tools.patch.plan import Plan
from spindle.actors.tools.sandbox.confinement import Confinement, within
from spindle.actors.tools.sandbox.protection import METADATA
from spindle.rpc.protocol.settings import ReadOnlyPolicy, SandboxPolicy

OUTSIDE = "writing outside of the project"
BLOCKED = "writing is blocked by read-only sandbox"


@frozen
class NeedsApproval:
    """The user has to allow it: `path` is the first file in question, `reason` why, as models are told."""

    path: str
    reason: str

    def rejection(self) -> str:
        """The answer to the model where the user is not to be asked."""
        return f"patch rejected: {self.reason}; rejected by user approval settings"


@frozen
class Sealed:
    """Nobody may allow it: `path` is the first file that is never written."""

    path: str

    def rejection(self) -> str:
        """The answer to the model."""
        return f"patch rejected: {self.path} is never written, because the sandbox rests on it"


Obstacle: TypeAlias = NeedsApproval | Sealed


def assess(plan: Plan, confinement: Confinement | None, policy: SandboxPolicy) -> Obstacle | None:
    """None if every file of the plan may be written under `confinement` (None: without one), else what is in the way.

    `policy` gives the reason its words. Beyond what commands are kept from, `.git`, `.codex` and `.agents` are guarded at
    every depth below what may be written.
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
    below = path[len(rule.path) :].casefold().split("/")  # file systems may not tell cases apart
    return rule.access == "write" and not set(METADATA).intersection(below)
