"""A call with its hooks: PreToolUse may block it, PostToolUse sees its result."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import evolve

from spindle.actors.tools.interface import Call, Hooked, Output, Tool, Use
from spindle.actors.turn.context import message
from spindle.actors.turn.host import TurnHost
from spindle.storage.rollout import records

if TYPE_CHECKING:
    from spindle.actors.tools.hooks.turn_hooks import TurnHooks


async def run_hooked(
    tool: Tool, call: Call, host: TurnHost, hooks: TurnHooks, keep: Callable[[Output], None]
) -> Output:
    """Run a call unless a hook blocks it. Returns the output for the model: the tool's, or what hooks put in its place.

    `keep` gets the tool's own output before hooks see it: if they are cancelled, it is the call's output. Raises what the tool
    raises.
    """
    use = tool.use(call) if isinstance(tool, Hooked) else None
    if use is not None and (reason := await hooks.before(use)) is not None:
        return _prevented(use, reason)
    reports: list[tuple[Use, object]] = []

    def report(use: Use, response: object) -> None:
        reports.append((use, response))

    output = await tool.run(evolve(call, report=report), host)
    keep(output)
    for reported, response in reports:
        after = await hooks.after(reported, response)
        if after.contexts:
            host.record(*(records.response_item(message("developer", context)) for context in after.contexts))
        if after.feedback is not None:
            output = after.feedback
            keep(output)
    return output


def _prevented(use: Use, reason: str) -> str:
    match use.input:
        case {"command": str(command)}:
            return f"Command blocked by PreToolUse hook: {reason}. Command: {command}"
        case _:
            return f"Tool call blocked by PreToolUse hook: {reason}. Tool: {use.tool}"
