"""The hooks of one turn: which of them an event concerns, what they are given, and what all their answers come to."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, Final, Literal

from attrs import evolve, field, frozen

from spindle.actors.tools.hooks.program import Starter
from spindle.actors.tools.hooks.runs import HookHost, HookRun, run_hooks
from spindle.actors.tools.interface import Permission, Use
from spindle.rpc.protocol.hooks import CONFIGURED_AS, HookEventName
from spindle.rpc.protocol.items import HookPromptFragment
from spindle.storage.config.hooks import HookHandler

Beginning = Literal["startup", "resume", "clear"]
"""How a thread came to be loaded."""

_OF_TOOLS: Final = frozenset(("preToolUse", "permissionRequest", "postToolUse"))


@frozen
class Heard:
    """What hooks say to the beginning of a thread or to input: whether it goes no further, and what the model is told."""

    refused: bool
    contexts: Sequence[str]


@frozen
class After:
    """What hooks say to what a tool gave: what the model gets instead, if anything, and what it is told besides."""

    feedback: str | None
    contexts: Sequence[str]


@frozen(kw_only=True)
class TurnHooks:
    """Asks the hooks. Cancelling a question kills them; their runs are completed as failed."""

    handlers: Sequence[HookHandler]
    host: HookHost = field(repr=False)
    starter: Starter = field(repr=False)
    transcript: str | None
    model: str
    permission_mode: Literal["default", "bypassPermissions"]

    def any_for(self, event: HookEventName) -> bool:
        """Whether there are hooks for this event."""
        return any(handler.event == event for handler in self.handlers)

    def for_tools(self) -> TurnHooks:
        """The same with the hooks alone that are told of the use of tools."""
        return evolve(self, handlers=[handler for handler in self.handlers if handler.event in _OF_TOOLS])

    async def thread_begins(self, how: Beginning) -> Heard:
        """SessionStart: the first turn of a thread since it was loaded."""
        return _heard(await self._run("sessionStart", {"source": how}, (how,), in_turn=False))

    async def prompted(self, prompt: str) -> Heard:
        """UserPromptSubmit: something is said by the user."""
        return _heard(await self._run("userPromptSubmit", {"prompt": prompt}))

    async def before(self, use: Use) -> str | None:
        """PreToolUse; returns why the tool may not be used."""
        told = {"tool_name": use.tool, "tool_input": use.input, "tool_use_id": use.id}
        runs = await self._run("preToolUse", told, (use.tool, *use.aliases), use.id)
        return next((run.verdict.reason for run in runs if run.verdict.reason is not None), None)

    async def permission(self, use: Use) -> Permission | None:
        """PermissionRequest; None leaves it to the user. Who refuses counts more than who allows."""
        told = {"tool_name": use.tool, "tool_input": use.input}
        runs = await self._run("permissionRequest", told, (use.tool, *use.aliases), use.id)
        for run in runs:
            if run.verdict.reason is not None:
                return Permission(False, run.verdict.reason)
        return Permission(True) if any(run.verdict.allowed for run in runs) else None

    async def after(self, use: Use, response: object) -> After:
        """PostToolUse."""
        told = {"tool_name": use.tool, "tool_input": use.input, "tool_response": response, "tool_use_id": use.id}
        runs = await self._run("postToolUse", told, (use.tool, *use.aliases), use.id)
        feedback = [run.verdict.feedback for run in runs if run.verdict.feedback is not None]
        return After("\n\n".join(feedback) if feedback else None, _contexts(runs))

    async def stopping(self, last_message: str | None, *, again: bool) -> Sequence[HookPromptFragment]:
        """Stop: the agent has nothing more to do; returns what it is to go on with.

        `again`: it has gone on for a hook in this turn before.
        """
        told = {"stop_hook_active": again, "last_assistant_message": last_message}
        runs = await self._run("stop", told)
        if any(run.verdict.stopped for run in runs):
            return ()
        return [HookPromptFragment(run.verdict.reason, run.id) for run in runs if run.verdict.reason is not None]

    async def _run(
        self,
        event: HookEventName,
        told: dict[str, Any],
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
            **told,
        }
        return await run_hooks(handlers, self.host, self.starter, given, call_id)


def prompt_text(fragment: HookPromptFragment) -> str:
    """What the model is sent of a hook's prompt."""
    run = escape(fragment.hook_run_id)
    return f'<hook_prompt hook_run_id="{run}">{escape(fragment.text, quote=False)}</hook_prompt>'


def _heard(runs: Sequence[HookRun]) -> Heard:
    return Heard(any(run.verdict.status in ("stopped", "blocked") for run in runs), _contexts(runs))


def _contexts(runs: Sequence[HookRun]) -> list[str]:
    return [run.verdict.context for run in runs if run.verdict.context is not None]
