"""The result of a patch as the model, the clients and the rollout get it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson

from spindle.actors.tools.interface import Use
from spindle.rpc.protocol.items import FileChangeItem, FileUpdateChange, PatchApplyStatus, UpdateChange
from spindle.storage.rollout import records
from spindle.storage.rollout.records import Entry

if TYPE_CHECKING:
    from spindle.actors.tools.patch.apply import PatchOutcome

NAME = "apply_patch"
REJECTED = "patch rejected by user"
"""The answer to the model when the user declines."""


def patch_use(call_id: str, text: str) -> Use:
    """The patch as hooks receive it."""
    return Use(id=call_id, tool=NAME, input={"command": text}, aliases=("Write", "Edit"))


def plain_output(outcome: PatchOutcome) -> str:
    """The answer to a call of the tool, and to a patch in `shell` where the tool is offered with its grammar."""
    return f"Exit code: {outcome.exit_code}\nWall time: {_seconds(outcome)} seconds\nOutput:\n{outcome.output}"


def json_output(outcome: PatchOutcome) -> str:
    """The answer to a patch in `shell_command`, and in `shell` where the tool is not offered with its grammar."""
    metadata = {"exit_code": outcome.exit_code, "duration_seconds": round(outcome.seconds, 1)}
    return orjson.dumps({"output": outcome.output, "metadata": metadata}).decode()


def terminal_output(outcome: PatchOutcome) -> str:
    """The answer to a patch in `exec_command`; a failure has the form of `shell_command`."""
    if not outcome.success:
        return json_output(outcome)
    return f"Wall time: {outcome.seconds:.4f} seconds\nOutput:\n{json_output(outcome)}"


def _seconds(outcome: PatchOutcome) -> str:
    """Rounded to tenths, whole numbers without a fraction."""
    return f"{round(outcome.seconds, 1):g}"


def file_change(call_id: str, changes: Sequence[FileUpdateChange], status: PatchApplyStatus) -> FileChangeItem:
    """The item of a patch: `inProgress` when it starts, then its final status."""
    return FileChangeItem(id=call_id, changes=changes, status=status)


def applied_event(call_id: str, turn_id: str, outcome: PatchOutcome) -> Entry:
    """The `patch_apply_end` record of a patch that was carried out or failed."""
    status = "completed" if outcome.success else "failed"
    return _event(call_id, turn_id, outcome.plan.changes, status, outcome.stdout, outcome.stderr)


def declined_event(call_id: str, turn_id: str, changes: Sequence[FileUpdateChange], why: str = REJECTED) -> Entry:
    """The `patch_apply_end` record of a patch that was not allowed."""
    return _event(call_id, turn_id, changes, "declined", "", why)


def _event(
    call_id: str, turn_id: str, changes: Sequence[FileUpdateChange], status: str, stdout: str, stderr: str
) -> Entry:
    stored = {change.path: _stored(change) for change in changes}
    return records.patch_apply_end(
        call_id=call_id, turn_id=turn_id, stdout=stdout, stderr=stderr, changes=stored, status=status
    )


def _stored(change: FileUpdateChange) -> dict[str, Any]:
    """A change as rollouts spell it."""
    kind = change.kind
    if isinstance(kind, UpdateChange):
        diff = change.diff.removesuffix(f"\n\nMoved to: {kind.move_path}") if kind.move_path else change.diff
        return {"type": "update", "unified_diff": diff, "move_path": kind.move_path}
    return {"type": kind.type, "content": change.diff}
