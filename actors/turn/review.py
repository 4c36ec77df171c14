"""A review: a reviewer, which does not see the thread's conversation, reads changes and reports problems in them.

The thread shows the reviewer's work as items. The report is an item and a message, and part of the history. The rollout's lines
are those of Codex 0.124 (`entered_review_mode`, `exited_review_mode`).
"""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Any

import trio
from attrs import evolve

from spindle.actors.tools.git import NotARepository, merge_base
from spindle.actors.turn.context import message
from spindle.actors.turn.host import TurnHost, TurnInput
from spindle.actors.turn.loop import run_turn
from spindle.actors.turn.reviewer import Reviewer
from spindle.actors.turn.sampling import TurnPlan
from spindle.rpc.model.interface import Model
from spindle.rpc.protocol.converter import unstructure
from spindle.rpc.protocol.errors import invalid_request
from spindle.rpc.protocol.items import AgentMessageItem, EnteredReviewModeItem, ExitedReviewModeItem
from spindle.rpc.protocol.reviews import (
    BaseBranchTarget,
    CommitTarget,
    CustomTarget,
    ReviewTarget,
    UncommittedChangesTarget,
)
from spindle.rpc.protocol.turns import ItemCompletedNotification, ItemStartedNotification
from spindle.rpc.protocol.user_input import TextInput
from spindle.storage.rollout import records
from spindle.storage.rollout.reviews import NO_REVIEW, review_output, review_text

TOOLS = frozenset({"exec_command", "write_stdin", "update_plan", "request_user_input", "view_image"})
"""The tools that a reviewer may use, if the thread has them."""

NOT_FINISHED = "The review did not come to its end. Start it again to get one."
_FINDINGS = "Report what you find, the most important first."
_DONE = "The user had a review made. This is all the reviewer reported; the user may want some of it taken care of."
_CUT_OFF = (
    "The user had a review made, and it was cut off. If the user asks for it, say that it has to be started again."
)


class ReviewFailed(Exception):
    """The changes to review cannot be found. The text is for the user."""


def checked(target: ReviewTarget) -> ReviewTarget:
    """The target with its texts stripped. Raises RpcError if one is empty."""
    match target:
        case UncommittedChangesTarget():
            return target
        case BaseBranchTarget(branch=branch):
            return evolve(target, branch=_filled(branch, "branch"))
        case CommitTarget(sha=sha, title=title):
            return evolve(target, sha=_filled(sha, "sha"), title=(title or "").strip() or None)
        case CustomTarget(instructions=instructions):
            return evolve(target, instructions=_filled(instructions, "instructions"))


def _filled(words: str, name: str) -> str:
    if not (words := words.strip()):
        raise invalid_request(f"{name} must not be empty")
    return words


def label(target: ReviewTarget) -> str:
    """A short text that says what is reviewed, for clients."""
    match target:
        case UncommittedChangesTarget():
            return "current changes"
        case BaseBranchTarget(branch=branch):
            return f"changes against '{branch}'"
        case CommitTarget(sha=sha, title=title):
            return f"commit {sha[:7]}: {title}" if title else f"commit {sha[:7]}"
        case CustomTarget(instructions=instructions):
            return instructions


async def prompt(target: ReviewTarget, cwd: str) -> str:
    """The reviewer's task. Raises ReviewFailed."""
    match target:
        case UncommittedChangesTarget():
            return f"Review what is not committed yet: staged, unstaged, and untracked files. {_FINDINGS}"
        case BaseBranchTarget(branch=branch):
            try:
                base = await merge_base(cwd, branch)
            except NotARepository as error:
                raise ReviewFailed(f"cannot review against '{branch}': {error}") from error
            if base is None:
                return (
                    f"Review what the current branch would bring into '{branch}'. Find the commit at which the two parted "
                    f"(`git merge-base`, with the branch's upstream if it has one) and compare with that. {_FINDINGS}"
                )
            return (
                f"Review what the current branch would bring into '{branch}'. They parted at {base}, so `git diff {base}` "
                f"shows the changes. {_FINDINGS}"
            )
        case CommitTarget(sha=sha, title=title):
            named = f' ("{title}")' if title else ""
            return f"Review what commit {sha}{named} changed. {_FINDINGS}"
        case CustomTarget(instructions=instructions):
            return instructions


async def review(host: TurnHost, plan: TurnPlan, model: Model, target: ReviewTarget) -> str:
    """Run the review and return its text. However it ends, its end is recorded and notified.

    Raises what `run_turn` raises, and ReviewFailed.
    """
    hint = label(target)
    host.record(records.entered_review_mode(unstructure(target), hint))
    _show(host, EnteredReviewModeItem(plan.turn_id, hint))
    output: dict[str, Any] | None = None
    try:
        words = await prompt(target, host.cwd)
        instructions = await trio.to_thread.run_sync(_instructions)
        answer = await run_turn(
            Reviewer(host, TurnInput([TextInput(words)], message("user", words))),
            evolve(
                plan,
                instructions=instructions,
                toolbox=plan.toolbox.only(TOOLS),
                session=str(uuid.uuid4()),
                subagent="review",
                compact_prompt=None,
                hooks=plan.hooks and plan.hooks.for_tools(),
            ),
            model,
        )
        output = review_output(answer) if answer else None
    finally:
        report = _report(host, plan, output)
    return report


def _instructions() -> str:
    return Path(__file__).with_name("review.md").read_text(encoding="utf-8")


def _report(host: TurnHost, plan: TurnPlan, output: dict[str, Any] | None) -> str:
    shown = NO_REVIEW if output is None else review_text(output)
    shown_text = NOT_FINISHED if output is None else shown
    notice = (
        f"<user_action>\n  <context>{_CUT_OFF if output is None else _DONE}</context>\n  <action>review</action>\n"
        f"  <results>\n  {'None.' if output is None else shown}\n  </results>\n</user_action>"
    )
    answer = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": shown_text}]}
    host.record(records.response_item(message("user", notice)), records.exited_review_mode(output))
    _show(host, ExitedReviewModeItem(plan.turn_id, shown))
    host.record(records.response_item(answer), records.agent_message(shown_text))
    _show(host, AgentMessageItem(id=str(uuid.uuid4()), text=shown_text))
    return shown_text


def _show(host: TurnHost, item: EnteredReviewModeItem | ExitedReviewModeItem | AgentMessageItem) -> None:
    now = time.time_ns() // 1_000_000
    host.emit(ItemStartedNotification(item, host.thread_id, host.turn_id, now))
    host.emit(ItemCompletedNotification(item, host.thread_id, host.turn_id, now))
