"""Approval requests for commands and patches, and the decisions in their answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from spindle.actors.tools.interface import Refusal, Reviewed, Subject, ToolHost, TurnCancelled, Use
from spindle.actors.tools.notifications import now_ms
from spindle.rpc.protocol.approvals import (
    AcceptWithExecpolicyAmendment,
    ApplyNetworkPolicyAmendment,
    CommandExecutionApprovalDecision,
    CommandExecutionRequestApprovalParams,
    CommandExecutionRequestApprovalResponse,
    ExecpolicyAmendment,
    FileChangeApprovalDecision,
    FileChangeRequestApprovalParams,
    FileChangeRequestApprovalResponse,
)
from spindle.rpc.protocol.converter import InvalidValue, structure
from spindle.rpc.protocol.errors import RpcError
from spindle.rpc.protocol.items import CommandExecutionItem, FileUpdateChange


class Declined(Exception):
    """The user declined, or a hook did; then the text is its reason. A program may have given a `refusal`.

    A reviewer's reason is only `for_model`: clients have it already.
    """

    def __init__(self, reason: str = "", refusal: Refusal | None = None, *, for_model: str = "") -> None:
        super().__init__(reason)
        self.refusal = refusal
        self.for_model = for_model

    def answer(self, rejected: str) -> str:
        """The answer to the model; `rejected` is what it says of a user who has declined."""
        return self.for_model or str(self) or (rejected if self.refusal is None else self.refusal.add_to(rejected))


async def permitted(host: ToolHost, use: Use | None) -> bool:
    """Whether hooks allow it, so the user is not asked. Raises Declined if they deny it."""
    decision = None if use is None else await host.permission(use)
    if decision is not None and not decision.allowed:
        raise Declined(decision.reason)
    return decision is not None


async def reviewed(host: ToolHost, action: Callable[[], Reviewed], *, strict: bool = False) -> bool:
    """Whether the reviewing model allows it, so the user is not asked. Raises Declined with its reason if it does not."""
    decision = await host.review(action, strict=strict)
    if decision is not None and not decision.allowed:
        raise Declined(for_model=decision.reason)
    return decision is not None


def command_review(item: CommandExecutionItem, reason: str | None) -> Reviewed:
    """A command for the reviewer; `reason` is why it is asked about."""
    from spindle.rpc.protocol.guardian import CommandGuardianApprovalReviewAction, GuardianCommandSource

    source: GuardianCommandSource = "unifiedExec" if item.source.startswith("unifiedExec") else "shell"
    return Reviewed(
        action=CommandGuardianApprovalReviewAction(source, item.command, item.cwd),
        item_id=item.id,
        planned={"type": "command", "command": item.command, "cwd": item.cwd, "asked_because": reason},
    )


def _patch_review(cwd: str, item_id: str, changes: Sequence[FileUpdateChange]) -> Reviewed:
    from spindle.rpc.protocol.guardian import ApplyPatchGuardianApprovalReviewAction

    return Reviewed(
        action=ApplyPatchGuardianApprovalReviewAction(cwd, [change.path for change in changes]),
        item_id=item_id,
        planned={"type": "patch", "cwd": cwd, "changes": changes},
    )


async def ask_command(
    host: ToolHost,
    item: CommandExecutionItem,
    *,
    reason: str | None,
    amendment: Sequence[str] | None,
    repeats: str | None = None,
) -> CommandExecutionApprovalDecision:
    """Ask whether the command may run. `amendment` are the words of a rule that the user may add; `repeats` see `ToolHost.ask`.

    Raises TurnCancelled, and Declined, also for an invalid answer.
    """
    if await reviewed(host, partial(command_review, item, reason)):
        return "accept"
    proposed = [AcceptWithExecpolicyAmendment(ExecpolicyAmendment(list(amendment)))] if amendment else []
    params = CommandExecutionRequestApprovalParams(
        thread_id=host.thread_id,
        turn_id=host.turn_id,
        item_id=item.id,
        started_at_ms=now_ms(),
        reason=reason,
        command=item.command,
        cwd=item.cwd,
        command_actions=item.command_actions,
        proposed_execpolicy_amendment=list(amendment) if amendment else None,
        available_decisions=["accept", *proposed, "cancel"],
    )
    decision = cast(
        "CommandExecutionApprovalDecision",
        await _decision(host, params, CommandExecutionRequestApprovalResponse, repeats),
    )
    if isinstance(decision, ApplyNetworkPolicyAmendment):  # the request was not about a host
        raise Declined
    return decision


async def ask_patch(
    host: ToolHost, item_id: str, *, reason: str | None, changes: Sequence[FileUpdateChange]
) -> FileChangeApprovalDecision:
    """Ask whether the patch may be applied. Raises as `ask_command`."""
    if await reviewed(host, partial(_patch_review, host.cwd, item_id, changes)):
        return "accept"
    params = FileChangeRequestApprovalParams(
        thread_id=host.thread_id,
        turn_id=host.turn_id,
        item_id=item_id,
        started_at_ms=now_ms(),
        reason=reason,
    )
    return cast(
        "FileChangeApprovalDecision",
        await _decision(host, params, FileChangeRequestApprovalResponse, item_id, Subject(changes=changes)),
    )


async def _decision(
    host: ToolHost, params: Any, answer: type[Any], repeats: str | None, about: Subject | None = None
) -> object:
    try:
        decision = structure(await host.ask(params, "waitingOnApproval", about, repeats=repeats), answer).decision
    except Refusal as refusal:
        raise Declined(refusal=refusal) from refusal
    except (RpcError, InvalidValue) as error:
        raise Declined from error
    if decision == "decline":
        raise Declined
    if decision == "cancel":
        raise TurnCancelled
    return decision
