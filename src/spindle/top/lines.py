"""An overview as lines of text, each with the style that a terminal shows it in."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Final, Literal, TypeAlias

from spindle.rpc.inspection import InspectedThread, Wait
from spindle.top.overview import Overview, Process

Style: TypeAlias = Literal["head", "process", "active", "user", "problem", "plain"]
Line: TypeAlias = tuple[Style, str]

_QUESTIONS: Final[Mapping[str, str]] = {
    "item/commandExecution/requestApproval": "approval of a command",
    "item/fileChange/requestApproval": "approval of a patch",
    "item/permissions/requestApproval": "approval of permissions",
    "item/tool/requestUserInput": "a question",
    "item/tool/call": "a call of the client's own tool",
    "mcpServer/elicitation/request": "a question of an MCP server",
}
_SHORTEST: Final = 8
_NAME: Final = 32
_KINDS: Final[Mapping[str, str]] = {"websocket": "WebSocket", "unix": "Unix socket"}


def lines(overview: Overview) -> Iterator[Line]:
    """The lines, the longest of which may be wider than a terminal."""
    ours = [process for process in overview.processes if process.runtime is not None or process.problem is not None]
    others = len(overview.processes) - len(ours)
    threads = [thread for process in ours for thread in process.threads]
    running = sum(thread.turn is not None for thread in threads)
    clock = time.strftime("%H:%M:%S", time.localtime(overview.time))
    counted = [_count(len(ours), "runtime"), *([_count(others, "other process", "es")] if others else [])]
    counted += [f"{_count(len(threads), 'thread')} ({running} running)"]
    yield "head", f"{clock}  {overview.home}  {', '.join(counted)}"
    short = _shortened([thread.id for thread in threads] + [id for process in overview.processes for id in process.locks])
    for process in overview.processes:
        yield "plain", ""
        yield from _process(process, overview.time, short)


def _process(process: Process, now: float, short: Mapping[str, str]) -> Iterator[Line]:
    runtime, usage = process.runtime, process.usage
    started = runtime.started_at if runtime is not None else None if usage is None else usage.started_at
    parts = [f"pid {process.pid or (0 if runtime is None else runtime.pid)}"]
    if runtime is not None:
        parts.append(_KINDS.get(runtime.kind, runtime.kind))
    elif usage is not None:
        parts.append(usage.program)
    parts += [] if started is None else [f"up {_duration(now - started)}"]
    if usage is not None:
        parts += [] if usage.rss is None else [f"rss {_megabytes(usage.rss)}"]
        parts += [] if usage.pss is None else [f"pss {_megabytes(usage.pss)}"]
        parts += [] if usage.cpu_seconds is None else [f"cpu {_duration(usage.cpu_seconds)}"]
    if runtime is not None:
        parts.append(_count(runtime.clients, "client"))
    yield "process", "  ".join(parts)
    if process.problem is not None:
        yield "problem", f"  {process.problem}"
    for child in runtime.children if runtime is not None else ():
        yield "plain", f"  child {child.pid}  {_duration(child.seconds)}  {child.command}"
    for thread in process.threads:
        yield from _thread(thread, short)
    if runtime is None and process.locks:
        yield "plain", f"  writes to {', '.join(short[id] for id in process.locks)}"


def _thread(thread: InspectedThread, short: Mapping[str, str]) -> Iterator[Line]:
    name = thread.name or thread.agent_nickname or thread.preview
    name = name if len(name) <= _NAME else name[: _NAME - 1] + "…"
    turn, tokens = thread.turn, thread.tokens
    status = f"{thread.status} {_duration(turn.seconds)}" if turn is not None else thread.status
    parts = [short[thread.id], f"{name:{_NAME}}", f"{status:12}"]
    if tokens is not None:
        share = f", context {100 * tokens.context // tokens.context_window} %" if tokens.context_window else ""
        last = f"{turn.tokens} of " if turn is not None and turn.tokens else ""
        parts.append(f"{last}{tokens.total} tokens{share}")
    if thread.subscribers:
        parts.append(_count(thread.subscribers, "subscriber"))
    if thread.parent_thread_id is not None:
        parts.append(f"agent of {short.get(thread.parent_thread_id, thread.parent_thread_id)}")
    if thread.unread:
        parts.append(f"{thread.unread} unread")
    yield "active" if turn is not None else "plain", "  " + "  ".join(parts).rstrip()
    for wait in turn.waits_for if turn is not None else ():
        yield "user" if wait.kind == "user" else "plain", f"    waits for {_wait(wait, short)}"
    for server in thread.servers:
        process = "" if server.pid is None else f"  pid {server.pid}"
        yield "plain", f"    MCP server {server.name}  {server.state}{process}"
    for child in thread.children:
        yield "plain", f"    child {child.pid}  {_duration(child.seconds)}  {child.command}"


def _wait(wait: Wait, short: Mapping[str, str]) -> str:
    match wait.kind:
        case "user":
            what = f"the user: {_QUESTIONS.get(wait.what, wait.what)}"
        case "model":
            again = f", attempt {wait.attempt}" if wait.attempt is not None and wait.attempt > 1 else ""
            what = f"the model {wait.what}{again}"
        case "agent":
            what = "agent " + ", ".join(short.get(id, id) for id in wait.thread_ids)
        case "servers":
            what = f"the MCP server {wait.what} to start"
        case "tool":
            what = f"the tool {wait.what}"
        case "starting":
            what = wait.what
    return f"{what}  {_duration(wait.seconds)}"


def _shortened(ids: list[str]) -> dict[str, str]:
    """The shortest beginnings, of one length, that tell the ids apart."""
    different = set(ids)
    length = _SHORTEST
    while len({id[:length] for id in different}) < len(different):
        length += 1
    return {id: id[:length].rstrip("-") for id in different}


def _count(number: int, what: str, plural: str = "s") -> str:
    return f"{number} {what}{'' if number == 1 else plural}"


def _megabytes(size: int) -> str:
    return f"{size / 1_000_000:.0f} MB"


def _duration(seconds: float) -> str:
    seconds = max(0.0, seconds)
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
