"""Runs the calls of one answer: concurrently where tools allow it. Their outputs are recorded in the order of the calls.

Every call gets exactly one output, because a model refuses a history in which one is missing. The output of a failed call says
why, and that of an interrupted one says so.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import orjson
import trio
from attrs import define, field

from spindle.actors.services.instruments import ToolInfo, ToolOutcome
from spindle.actors.tasks.faults import fault, message_of
from spindle.actors.tools.interface import Abortable, Call, Output, ToolFailed, ToolRefused, TurnCancelled
from spindle.actors.tools.truncation import fitted
from spindle.actors.turn.hooked import run_hooked
from spindle.actors.turn.host import TurnHost
from spindle.actors.turn.toolbox import Toolbox
from spindle.rpc.large import LARGE, apart
from spindle.rpc.weighing import weigh
from spindle.storage.rollout import records
from spindle.storage.rollout.journal import JournalError

if TYPE_CHECKING:
    from spindle.actors.tools.hooks.turn_hooks import TurnHooks

log = logging.getLogger("spindle")


@define(eq=False)
class _Running:
    item: dict[str, Any]
    call: Call
    output: Output | None = None
    error: Exception | None = None
    """What the tool has raised; the output is made of it."""
    failure: JournalError | None = None
    done: trio.Event = field(factory=trio.Event)
    after: list[_Running] = field(factory=lambda: list[_Running]())
    """The calls that must be done first."""


async def run_calls(
    items: Sequence[dict[str, Any]], toolbox: Toolbox, host: TurnHost, hooks: TurnHooks | None = None
) -> None:
    """Run the calls and record their outputs. `items` are response items as the model sent them; `hooks` may block some.

    Raises JournalError, and ToolFailed when all calls are recorded. When cancelled, it records calls that have no output yet
    as aborted.
    """
    began = time.monotonic()
    running = [_Running(item, call_of(item)) for item in items]
    host.work.answer([entry.call.id for entry in running])
    _put_in_order(running, toolbox)
    recorded = 0
    failure: JournalError | None = None
    try:
        async with trio.open_nursery() as nursery:
            for entry in running:
                nursery.start_soon(_run, entry, toolbox, host, hooks)
            for entry in running:
                await entry.done.wait()
                failure = entry.failure or await _record(entry, host)
                if failure is not None:  # raised in here it would come in a group
                    nursery.cancel_scope.cancel()
                    break
                recorded += 1
    finally:
        if failure is None:
            seconds = time.monotonic() - began
            for entry in running[recorded:]:
                if entry.output is None:
                    entry.output = _aborted(toolbox.find(entry.call), seconds)
                await _record(entry, host)
    if failure is not None:
        raise failure
    for entry in running:
        if isinstance(entry.error, ToolFailed):
            raise entry.error


def _aborted(tool: object, seconds: float) -> str:
    return tool.aborted(seconds) if isinstance(tool, Abortable) else f"aborted by user after {seconds:.1f}s"


def _put_in_order(running: Sequence[_Running], toolbox: Toolbox) -> None:
    alone: list[_Running] = []  # the last exclusive call, if there was one
    parallel: list[_Running] = []  # the calls after it
    for entry in running:
        if toolbox.exclusive(entry.call):
            entry.after = [*alone, *parallel]
            alone, parallel = [entry], []
        else:
            entry.after = alone
            parallel.append(entry)


async def _record(entry: _Running, host: TurnHost) -> JournalError | None:
    """Record the output of a call, or an error if it cannot be encoded. Returns what the journal failed with."""
    assert entry.output is not None
    try:
        try:
            await host.keep(records.response_item(output_item(entry.item, entry.output)))
        except JournalError:
            raise
        except Exception as error:
            log.exception("thread %s: an output of the tool %s cannot be recorded", host.thread_id, entry.call.name)
            refusal = f"internal error: the output cannot be recorded: {type(error).__name__}"
            host.record(records.response_item(output_item(entry.item, refusal)))
    except JournalError as error:
        return error
    return None


@trio.lowlevel.enable_ki_protection  # Ctrl-C goes to the program's main task: what is raised in here is the tool's own
async def _run(entry: _Running, toolbox: Toolbox, host: TurnHost, hooks: TurnHooks | None) -> None:
    for earlier in entry.after:
        await earlier.done.wait()
    if not host.instruments:
        await _carry_out(entry, toolbox, host, hooks)
    else:
        with host.instruments.tool(_info(entry, toolbox, host), _outcome(entry)):
            await _carry_out(entry, toolbox, host, hooks)
    entry.done.set()


async def _carry_out(entry: _Running, toolbox: Toolbox, host: TurnHost, hooks: TurnHooks | None) -> None:
    try:
        output = await _output(entry, toolbox, host, hooks)
        entry.output = await apart(weigh(output, LARGE), None, fitted, output, toolbox.limit)
    except BaseException as raised:  # a tool may raise anything; that ends only its call
        entry.error = error = fault(raised, f"the tool {entry.call.name}")
        if isinstance(error, JournalError):
            entry.failure = error
        elif isinstance(error, ToolRefused | ToolFailed):
            entry.output = fitted(str(error), toolbox.limit)
        elif isinstance(error, TurnCancelled):
            host.cancel()
            await trio.sleep_forever()
        else:
            log.error("thread %s: the tool %s failed", host.thread_id, entry.call.name, exc_info=error)
            entry.output = fitted(f"internal error: {message_of(error)}", toolbox.limit)


def _info(entry: _Running, toolbox: Toolbox, host: TurnHost) -> ToolInfo:
    call, tool = entry.call, toolbox.find(entry.call)
    return ToolInfo(
        thread_id=host.thread_id,
        turn_id=host.turn_id,
        call_id=call.id,
        name=call.name,
        namespace=call.namespace,
        kind=getattr(tool, "kind", "builtin"),
        custom=call.custom,
        arguments=call.payload,
        description=str((tool.offer if tool is not None else {}).get("description") or ""),
    )


def _outcome(entry: _Running) -> Callable[[], ToolOutcome]:
    began = time.monotonic()
    return lambda: ToolOutcome(
        output=entry.output,
        seconds=time.monotonic() - began,
        error=None if isinstance(entry.error, TurnCancelled) else entry.error,
        failed=bool(entry.call.failures) or entry.error is not None,
        cancelled=entry.output is None and entry.failure is None,
    )


async def _output(entry: _Running, toolbox: Toolbox, host: TurnHost, hooks: TurnHooks | None) -> Output:
    call = entry.call
    tool = toolbox.find(call)
    if tool is None:
        return unsupported(call)

    def keep(output: Output) -> None:
        entry.output = fitted(output, toolbox.limit)

    with host.work.calling(call):
        return await (tool.run(call, host) if hooks is None else run_hooked(tool, call, host, hooks, keep))


def call_of(item: dict[str, Any]) -> Call:
    """The call in a response item of a `…_call` type."""
    custom = item["type"] == "custom_tool_call"
    return Call(
        id=str(item.get("call_id") or item.get("id") or ""),
        name=str(item.get("name") or item["type"]),
        namespace=item.get("namespace"),
        payload=str(item.get("input" if custom else "arguments") or ""),
        custom=custom,
    )


def unanswered(history: Sequence[bytes], ids: Sequence[str]) -> list[dict[str, Any]]:
    """The calls of these ids, in the order of the history, that have no output in it."""
    wanted, answered, found = set(ids), set[str](), list[dict[str, Any]]()
    for encoded in reversed(history):
        if not wanted:
            break
        if b'"call_id"' not in encoded:
            continue
        item = orjson.loads(encoded)
        id = item.get("call_id")
        if item["type"].endswith("_output"):
            answered.add(id)
        elif id in wanted:
            wanted.remove(id)
            if id not in answered:
                found.append(item)
    return found[::-1]


def output_item(call: dict[str, Any], output: Output) -> dict[str, Any]:
    """The response item that answers a call."""
    kind = "custom_tool_call_output" if call["type"] == "custom_tool_call" else "function_call_output"
    return {"type": kind, "call_id": call.get("call_id", ""), "output": output}


def unsupported(call: Call) -> str:
    """The output for a call of an unknown tool."""
    return f"unsupported {'custom tool ' if call.custom else ''}call: {call.namespace or ''}{call.name}"
