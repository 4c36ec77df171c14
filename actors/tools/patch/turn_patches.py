"""The patches of one turn: planned, asked about where that is needed, shown, applied, and summed up in the turn's diff."""

from __future__ import annotations

import time
from collections.abc import Callable

import trio

from spindle.actors.tools.approvals.questions import Declined, ask_patch, permitted
from spindle.actors.tools.approvals.remembered import Remembered
from spindle.actors.tools.interface import ToolHost, ToolRefused, TurnCancelled
from spindle.actors.tools.patch.answers import REJECTED, applied_event, declined_event, file_change, patch_use
from spindle.actors.tools.patch.apply import Outcome, apply
from spindle.actors.tools.patch.assess import Obstacle, Sealed, assess
from spindle.actors.tools.patch.hunks import PatchError
from spindle.actors.tools.patch.plan import Plan, plan
from spindle.actors.tools.patch.turn_diff import TurnDiff
from spindle.actors.tools.sandbox.confinement import Confinement
from spindle.actors.tools.sandbox.profile import ProfileError
from spindle.rpc.protocol.settings import AskForApproval, GranularApproval
from spindle.rpc.protocol.turns import (
    FileChangeOutputDeltaNotification,
    ItemCompletedNotification,
    ItemStartedNotification,
    TurnDiffUpdatedNotification,
)

RETRY = "command failed; retry without sandbox?"
"""What the user is asked under the policy on-failure, in the reference's words."""


class TurnPatches:
    """Applies them one at a time. `confinement` tells what confines the turn's commands: it holds for patches as well.

    It blocks, is None where nothing is confined, and may raise ProfileError.
    """

    def __init__(self, remembered: Remembered, confinement: Callable[[ToolHost], Confinement | None]) -> None:
        self._remembered, self._confinement = remembered, confinement
        self._lock = trio.Lock()
        self._diff: TurnDiff | None = None

    async def carry_out(self, host: ToolHost, call_id: str, text: str, cwd: str) -> Outcome:
        """Apply a patch whose relative paths start at `cwd`.

        Raises ToolRefused with what the model is answered if it is not applied, and TurnCancelled. Cancelled, the patch is
        applied whole or not at all, and its item is completed.
        """
        async with self._lock:
            try:
                # it writes nothing: interrupted, it is left at once and stops soon
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
                # cancelled before it has begun, or not at all
                outcome, diff = await trio.to_thread.run_sync(self._apply, host.cwd, planned)
            except Declined as error:
                self._declined(host, call_id, planned)
                raise ToolRefused(str(error) or REJECTED) from None
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
        if await ask_patch(host, call_id, reason=reason) == "acceptForSession":
            self._remembered.allow_files(planned.touched)

    async def finish(self, host: ToolHost) -> None:
        """The turn ends: tell what it changed in all, if it changed anything."""
        if self._diff is not None:
            diff = await trio.to_thread.run_sync(self._diff.render)
            host.emit(TurnDiffUpdatedNotification(host.thread_id, host.turn_id, diff))

    def _planned(self, text: str, cwd: str, host: ToolHost) -> tuple[Plan, Obstacle | None]:
        """The plan, with what is shown of it worked out, and what is in its way."""
        confinement = self._confinement(host)
        readable = None if confinement is None else confinement.readable
        planned = plan(text, cwd, readable, trio.from_thread.check_cancelled)
        obstacle = assess(planned, confinement, host.sandbox)
        _show(planned)
        return planned, obstacle

    def _apply(self, cwd: str, planned: Plan) -> tuple[Outcome, str]:
        outcome = apply(planned)
        _show(outcome.plan)  # another one, if a file has changed meanwhile
        if self._diff is None:
            self._diff = TurnDiff(cwd)
        self._diff.record(outcome)
        return outcome, self._diff.render()

    def _started(self, host: ToolHost, call_id: str, planned: Plan) -> None:
        item = file_change(call_id, planned.changes, "inProgress")
        host.emit(ItemStartedNotification(item, host.thread_id, host.turn_id, _now_ms()))

    def _completed(self, host: ToolHost, call_id: str, outcome: Outcome) -> None:
        thread_id, turn_id = host.thread_id, host.turn_id
        host.record(("event_msg", applied_event(call_id, turn_id, outcome)))
        host.emit(FileChangeOutputDeltaNotification(thread_id, turn_id, call_id, outcome.output))
        item = file_change(call_id, outcome.plan.changes, "completed" if outcome.success else "failed")
        host.emit(ItemCompletedNotification(item, thread_id, turn_id, _now_ms()))

    def _declined(self, host: ToolHost, call_id: str, planned: Plan) -> None:
        host.record(("event_msg", declined_event(call_id, host.turn_id, planned.changes)))
        item = file_change(call_id, planned.changes, "declined")
        host.emit(ItemCompletedNotification(item, host.thread_id, host.turn_id, _now_ms()))


def _show(planned: Plan) -> None:
    """Work out the changes here, in a worker thread, and not where they are told."""
    _ = planned.changes


def _question(obstacle: Obstacle | None, approval: AskForApproval) -> tuple[bool, str | None]:
    """(whether the user is asked, with what reason). Raises ToolRefused if that is needed and not wanted, or does not help."""
    if isinstance(obstacle, Sealed):
        raise ToolRefused(obstacle.rejection())
    if approval == "untrusted":
        return True, None
    if obstacle is None:
        return False, None
    if approval == "never" or (isinstance(approval, GranularApproval) and not approval.granular.sandbox_approval):
        raise ToolRefused(obstacle.rejection())
    return True, RETRY if approval == "on-failure" else None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
