"""A call of the model to a tool of a server: the item, the approval, the request and the result."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

import orjson
import trio

from spindle.actors.tools.interface import Call, Output, Refusal, Subject
from spindle.actors.tools.mcp.approval import REJECTED, asks, call_review, question, verdict
from spindle.actors.tools.mcp.host import CallHost
from spindle.actors.tools.mcp.offers import ServerTool
from spindle.actors.tools.mcp.results import CallOutcome, aborted, completed, end_event, error_content, model_output
from spindle.actors.tools.mcp.servers import McpServers
from spindle.actors.tools.notifications import emit_completed, emit_started
from spindle.actors.tools.progress import REPORT_CHARACTERS, Progress
from spindle.rpc.large import LARGE, apart
from spindle.rpc.mcp.mcp_errors import McpError
from spindle.rpc.mcp.payload import Json, as_text
from spindle.rpc.protocol.items import McpToolCallItem
from spindle.rpc.protocol.settings import DangerFullAccessPolicy, ExternalSandboxPolicy, SandboxPolicy
from spindle.rpc.protocol.values import loads
from spindle.rpc.weighing import weigh


async def call_tool(servers: McpServers, tool: ServerTool, call: Call, host: CallHost) -> Output:
    """Make the call; returns the answer to the model, also for a failure.

    If cancelled, the item is completed as aborted; the answer to the model is then `results.aborted_output`.
    """
    try:
        arguments: Any = loads(call.payload) if call.payload.strip() else None
    except orjson.JSONDecodeError as error:
        return f"Wall time: 0.0000 seconds\nOutput:\n{error_content(f'err: {error}')}"
    reporter = ItemReporter(
        host, McpToolCallItem(call.id, tool.server.config.name, tool.name, "inProgress", arguments)
    )
    async with reporter:
        refusal = await _refusal(servers, tool, arguments, host)
        if refusal is not None:
            reporter.outcome = CallOutcome(error=refusal, seconds=reporter.seconds)
        else:
            reporter.restart()
            reporter.outcome = await _outcome(servers, tool, arguments, host, reporter)
    if not reporter.outcome.failed and reporter.outcome.result is not None:
        host.report(reporter.outcome.result)
    outcome = reporter.outcome
    if outcome.failed:
        call.failures.append("tool_error")
    return await apart(weigh(outcome.result, LARGE), None, model_output, outcome)


class ItemReporter:
    """A call as an item: started on entry, completed on exit, with `outcome` or as aborted."""

    def __init__(self, host: CallHost, item: McpToolCallItem) -> None:
        self.item = item
        self.outcome = CallOutcome(error="no result")
        self._host = host
        self._since = trio.current_time()
        self._progress = Progress(host, item.id)

    @property
    def seconds(self) -> float:
        """Seconds since the start or `restart`."""
        return trio.current_time() - self._since

    def restart(self) -> None:
        """Restart the time, which does not include the wait for an approval."""
        self._since = trio.current_time()

    async def __aenter__(self) -> None:
        emit_started(self._host, self.item)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.outcome = CallOutcome(error=aborted(self.seconds), seconds=self.seconds)
        self._progress.finish()
        ended = completed(self.item, self.outcome)
        await self._host.keep(end_event(ended, self.outcome))
        emit_completed(self._host, ended)

    def progress(self, params: Json) -> None:
        """Forward a progress notification: its message, or else its count."""
        self._progress.report(_progress(params))


async def _refusal(servers: McpServers, tool: ServerTool, arguments: object, host: CallHost) -> str | None:
    """Why the call is refused, after asking if needed; None if it may run."""
    name, mode = tool.server.config.name, tool.server.config.approval_mode(tool.name)
    if not asks(tool.listed.get("annotations"), mode, host.approval_policy, host.sandbox_policy):
        return None
    if (decision := await host.permission()) is not None:
        return None if decision.allowed else decision.reason
    if mode == "auto" and (name, tool.name) in servers.allowed:
        return None
    if (decision := await host.review(partial(call_review, name, tool.listed, arguments))) is not None:
        return None if decision.allowed else decision.reason
    asked = question(host.thread_id, host.turn_id, name, tool.listed, arguments, mode)
    try:
        decided = verdict(await host.ask(asked, Subject(tool=tool.name, arguments=arguments)), mode)
    except Refusal as refusal:
        return refusal.add_to(REJECTED)
    if decided.persist is not None:
        servers.allowed.add((name, tool.name))
    if decided.persist == "always":
        await host.allow_always(tool.server.config, tool.name)
    return decided.refusal


async def _outcome(
    servers: McpServers, tool: ServerTool, arguments: object, host: CallHost, reporter: ItemReporter
) -> CallOutcome:
    try:
        result = await tool.server.call_tool(tool.name, arguments, _meta(host), servers.ask, reporter.progress)
    except McpError as error:
        refusal = (
            f"tool call error: tool call failed for `{tool.server.config.name}/{tool.name}`\n\nCaused by:\n    {error}"
        )
        return CallOutcome(error=refusal, seconds=reporter.seconds)
    return CallOutcome(result=result, seconds=reporter.seconds)


def _meta(host: CallHost) -> dict[str, Any]:
    """The `_meta` of a call: its thread and turn, under the names of Codex, and the trace under those of SEP-414."""
    return {
        **host.carrier(),
        "x-codex-turn-metadata": {
            "session_id": host.thread_id,
            "thread_source": "user",
            "turn_id": host.turn_id,
            "sandbox": _sandbox(host.sandbox_policy),
        },
        "threadId": host.thread_id,
    }


def _sandbox(policy: SandboxPolicy) -> str:
    if isinstance(policy, DangerFullAccessPolicy | ExternalSandboxPolicy):
        return "none"
    return "seatbelt" if sys.platform == "darwin" else "seccomp"


def _progress(params: Mapping[str, Any]) -> str:
    message = params.get("message")
    if isinstance(message, str) and message:
        return message
    done, total = (as_text(params.get(key), REPORT_CHARACTERS) for key in ("progress", "total"))
    return f"{done}/{total}" if params.get("total") is not None else done
