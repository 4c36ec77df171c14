"""The patches of one turn: plan, ask for approval, show, apply, and keep the turn's diff.

Most turns have none, so what plans and applies them is imported in the worker thread that does it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from spindle.actors.tools.approvals.remembered import Remembered
from spindle.actors.tools.approvals.requests import Declined, ask_patch, permitted
from spindle.actors.tools.interface import ToolHost, ToolRefused, TurnCancelled
from spindle.actors.tools.notifications import emit_completed, emit_started
from spindle.actors.tools.patch.answers import REJECTED, applied_event, declined_event, file_change, patch_use
from spindle.actors.tools.patch.assess import Obstacle, Sealed, assess
from spindle.actors.tools.patch.hunks import PatchError
from spindle.actors.tools.sandbox.confinement import Confinement
from spindle.actors.tools.sandbox.profile import ProfileError
from spindle.rpc.protocol.settings import AskForApproval, GranularApproval
from spindle.rpc.protocol.turns import (
    FileChangeOutputDeltaNotification,
    TurnDiffUpdatedNotification,
)

if TYPE_CHECKING:
    from spindle.actors.tools.patch.apply import PatchOutcome
    from spindle.actors.tools.patch.plan import Plan
    from spindle.actors.tools.patch.turn_diff import TurnDiff

RETRY = "command failed; retry without sandbox?"
"""The reason shown under the policy on-failure, in Codex's words."""


class TurnPatches:
    """Applies patches one at a time, under the confinement of the turn's commands.

    `confinement` blocks, returns None if the turn is not confined, and may raise ProfileError.
    """

    def __init__(self, remembered: Remembered, confinement: Callable[[ToolHost], Confinement | None]) -> None:
        self._remembered, self._confinement = remembered, confinement
        self._lock = trio.Lock()
        self._diff: TurnDiff | None = None

    async def carry_out(self, host: ToolHost, call_id: str, text: str, cwd: str) -> PatchOutcome:
        """Apply a patch whose relative paths start from `cwd`.

        Raises TurnCancelled, and ToolRefused with the answer to the model if the patch is not applied. If cancelled, the
        patch is applied whole or not at all, and its item is completed.
        """
        async with self._lock:
            try:
                # planning writes nothing, so a cancel does not wait for it
                planned, obstacle = await trio.to_thread.run_sync(
                    self._planned, text, cwd, host, abandon_on_cancel=True
                )
            except (PatchError, ProfileError) as error:
                raise ToolRefused(str(error)) from None
            asks, reason = _question(obstacle, host.approval)
            self._started(host, call_id, planned)
            try:
                if asks and not await permitted(host, patch_use(call_id, text)):
                    await self._ask(host, call_id, planned, reason)
                # once it runs, it is not cancelled
                outcome, diff = await trio.to_thread.run_sync(self._apply, host.cwd, planned)
            except Declined as error:
                self._declined(host, call_id, planned)
                raise ToolRefused(error.answer(REJECTED)) from None
            except (TurnCancelled, trio.Cancelled):
                self._declined(host, call_id, planned)
                raise
            self._completed(host, call_id, outcome)
            host.emit(TurnDiffUpdatedNotification(host.thread_id, host.turn_id, diff))
            return outcome

    async def _ask(self, host: ToolHost, call_id: str, planned: Plan, reason: str | None) -> None:
        """Returns when the patch may be applied. Raises Declined, TurnCancelled."""
        if self._remembered.allows_files(planned.touched):
            return
        if await ask_patch(host, call_id, reason=reason, changes=planned.changes) == "acceptForSession":
            self._remembered.allow_files(planned.touched)

    async def finish(self, host: ToolHost) -> None:
        """The turn ends: send its diff once more, if it changed anything."""
        if self._diff is not None:
            diff = await trio.to_thread.run_sync(self._diff.render)
            host.emit(TurnDiffUpdatedNotification(host.thread_id, host.turn_id, diff))

    def _planned(self, text: str, cwd: str, host: ToolHost) -> tuple[Plan, Obstacle | None]:
        """The plan, with its changes computed, and the obstacle."""
        from spindle.actors.tools.patch.plan import plan

        confinement = self._confinement(host)
        readable = None if confinement is None else confinement.readable
        planned = plan(text, cwd, readable, trio.from_thread.check_cancelled)
        obstacle = assess(planned, confinement, host.sandbox)
        _show(planned)
        return planned, obstacle

    def _apply(self, cwd: str, planned: Plan) -> tuple[PatchOutcome, str]:
        from spindle.actors.tools.patch.apply import apply
        from spindle.actors.tools.patch.turn_diff import TurnDiff

        outcome = apply(planned)
        _show(outcome.plan)  # a new plan, if a file has changed
        if self._diff is None:
            self._diff = TurnDiff(cwd)
        self._diff.record(outcome)
        return outcome, self._diff.render()

    def _started(self, host: ToolHost, call_id: str, planned: Plan) -> None:
        item = file_change(call_id, planned.changes, "inProgress")
        emit_started(host, item)

    def _completed(self, host: ToolHost, call_id: str, outcome: PatchOutcome) -> None:
        thread_id, turn_id = host.thread_id, host.turn_id
        host.record(applied_event(call_id, turn_id, outcome))
        host.emit(FileChangeOutputDeltaNotification(thread_id, turn_id, call_id, outcome.output))
        item = file_change(call_id, outcome.plan.changes, "completed" if outcome.success else "failed")
        emit_completed(host, item)

    def _declined(self, host: ToolHost, call_id: str, planned: Plan) -> None:
        host.record(declined_event(call_id, host.turn_id, planned.changes))
        item = file_change(call_id, planned.changes, "declined")
        emit_completed(host, item)


def _show(planned: Plan) -> None:
    """Compute the changes here, in the worker thread."""
    _ = planned.changes


def _question(obstacle: Obstacle | None, approval: AskForApproval) -> tuple[bool, str | None]:
    """(whether to ask the user, the reason shown). Raises ToolRefused if the patch may be neither applied nor asked about."""
    if isinstance(obstacle, Sealed):
        raise ToolRefused(obstacle.rejection())
    if approval == "untrusted":
        return True, None
    if obstacle is None:
        return False, None
    if approval == "never" or (isinstance(approval, GranularApproval) and not approval.granular.sandbox_approval):
        raise ToolRefused(obstacle.rejection())
    return True, RETRY if approval == "on-failure" else None
