"""The hooks of one turn: select them for an event, build their input, and combine their verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, Final, Literal

from attrs import evolve, field

from spindle.actors.tools.hooks.program import Starter
from spindle.actors.tools.hooks.runs import HookHost, HookRun, run_hooks
from spindle.actors.tools.interface import Permission, Use
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.hooks import CONFIGURED_AS, HookEventName
from spindle.rpc.protocol.items import HookPromptFragment
from spindle.storage.config.hooks import HookHandler

Beginning = Literal["startup", "resume", "clear"]
"""How the thread was loaded."""

_OF_TOOLS: Final = frozenset(("preToolUse", "permissionRequest", "postToolUse"))


@frozen
class Prompted:
    """The result of SessionStart or UserPromptSubmit: whether the turn stops, and context for the model."""

    refused: bool
    contexts: Sequence[str]


@frozen
class After:
    """The result of PostToolUse: feedback that replaces the tool's answer, and context for the model."""

    feedback: str | None
    contexts: Sequence[str]


@frozen(kw_only=True)
class TurnHooks:
    """Runs the hooks. Cancelling a method kills its hooks, and completes their runs as failed."""

    handlers: Sequence[HookHandler]
    host: HookHost = field(repr=False)
    starter: Starter = field(repr=False)
    transcript: str | None
    model: str
    permission_mode: Literal["default", "bypassPermissions"]

    def any_for(self, event: HookEventName) -> bool:
        """Whether a hook handles this event."""
        return any(handler.event == event for handler in self.handlers)

    def for_tools(self) -> TurnHooks:
        """Copy with only the hooks for uses of tools."""
        return evolve(self, handlers=[handler for handler in self.handlers if handler.event in _OF_TOOLS])

    async def thread_begins(self, how: Beginning) -> Prompted:
        """SessionStart: the first turn after the thread was loaded."""
        return _prompted(await self._run("sessionStart", {"source": how}, (how,), in_turn=False))

    async def prompted(self, prompt: str) -> Prompted:
        """UserPromptSubmit: input from the user."""
        return _prompted(await self._run("userPromptSubmit", {"prompt": prompt}))

    async def before(self, use: Use) -> str | None:
        """PreToolUse; returns the reason if a hook blocks the use."""
        members = {"tool_name": use.tool, "tool_input": use.input, "tool_use_id": use.id}
        runs = await self._run("preToolUse", members, (use.tool, *use.aliases), use.id)
        return next((run.verdict.reason for run in runs if run.verdict.reason is not None), None)

    async def permission(self, use: Use) -> Permission | None:
        """PermissionRequest; None leaves it to the user. A denial overrides an approval."""
        members = {"tool_name": use.tool, "tool_input": use.input}
        runs = await self._run("permissionRequest", members, (use.tool, *use.aliases), use.id)
        for run in runs:
            if run.verdict.reason is not None:
                return Permission(False, run.verdict.reason)
        return Permission(True) if any(run.verdict.allowed for run in runs) else None

    async def after(self, use: Use, response: object) -> After:
        """PostToolUse: a use has ended with `response`."""
        members = {"tool_name": use.tool, "tool_input": use.input, "tool_response": response, "tool_use_id": use.id}
        runs = await self._run("postToolUse", members, (use.tool, *use.aliases), use.id)
        feedback = [run.verdict.feedback for run in runs if run.verdict.feedback is not None]
        return After("\n\n".join(feedback) if feedback else None, _contexts(runs))

    async def stopping(self, last_message: str | None, *, again: bool) -> Sequence[HookPromptFragment]:
        """Stop: the model has ended its answer; returns prompts to continue with.

        `again`: a hook has continued this turn before.
        """
        members = {"stop_hook_active": again, "last_assistant_message": last_message}
        runs = await self._run("stop", members)
        if any(run.verdict.stopped for run in runs):
            return ()
        return [HookPromptFragment(run.verdict.reason, run.id) for run in runs if run.verdict.reason is not None]

    async def _run(
        self,
        event: HookEventName,
        members: dict[str, Any],
        names: tuple[str, ...] = (),
        call_id: str | None = None,
        *,
        in_turn: bool = True,
    ) -> list[HookRun]:
        handlers = [handler for handler in self.handlers if handler.event == event and handler.matches(*names)]
        given = {
            "session_id": self.host.thread_id,
            **({"turn_id": self.host.turn_id} if in_turn else {}),
            "transcript_path": self.transcript,
            "cwd": self.host.cwd,
            "hook_event_name": CONFIGURED_AS[event],
            "model": self.model,
            "permission_mode": self.permission_mode,
            **members,
        }
        return await run_hooks(handlers, self.host, self.starter, given, call_id)


def prompt_text(fragment: HookPromptFragment) -> str:
    """A hook's prompt as the model gets it."""
    run = escape(fragment.hook_run_id)
    return f'<hook_prompt hook_run_id="{run}">{escape(fragment.text, quote=False)}</hook_prompt>'


def _prompted(runs: Sequence[HookRun]) -> Prompted:
    return Prompted(any(run.verdict.status in ("stopped", "blocked") for run in runs), _contexts(runs))


def _contexts(runs: Sequence[HookRun]) -> list[str]:
    return [run.verdict.context for run in runs if run.verdict.context is not None]
