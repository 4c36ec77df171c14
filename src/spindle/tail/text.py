"""What was added to a thread, as text for people. Text of models, commands and servers cannot drive the terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from spindle.rpc.lenient import Json, mapping, objects, sequence, text
from spindle.rpc.protocol.values import one_line, readable
from spindle.tail.following import Added, ItemAdded, Rewritten, TurnBegun, TurnOver

_MESSAGE: Final = 64 * 1024
_LINE: Final = 200
_OUTPUT_LINES: Final = 8


def lines_of(added: Added) -> Iterator[str]:
    """The lines for one addition."""
    match added:
        case TurnBegun(turn):
            yield ""
            yield f"── turn {one_line(text(turn.get('id')), _LINE)}{_at(turn.get('startedAt'))}"
        case ItemAdded(item=item):
            yield from _item(item)
        case TurnOver(turn, usage):
            yield from _over(turn, usage)
        case Rewritten():
            yield "── turns were removed from the thread"


def _item(item: Json) -> Iterator[str]:
    kind = text(item.get("type"))
    form = _FORMS.get(kind)
    yield from form(item) if form is not None else [f"· {one_line(kind, _LINE)}"]


def _over(turn: Json, usage: Json | None) -> Iterator[str]:
    if error := mapping(turn.get("error")):
        yield from _said("error", text(error.get("message")))
    parts = [f"── {one_line(text(turn.get('status')), _LINE)}"]
    if isinstance(duration := turn.get("durationMs"), int):
        parts.append(f"{duration / 1000:.1f} s")
    total = mapping(mapping(usage).get("total_token_usage")).get("total_tokens")
    last = mapping(mapping(usage).get("last_token_usage")).get("total_tokens")
    window = mapping(usage).get("model_context_window")
    if isinstance(total, int):
        parts.append(f"{total} tokens")
    if isinstance(last, int) and isinstance(window, int) and window > 0:
        parts.append(f"context {100 * last // window} %")
    yield "  ".join(parts)


def _said(who: str, what: str) -> Iterator[str]:
    first, *rest = readable(what, _MESSAGE).splitlines() or [""]
    yield f"{who}: {first}"
    yield from (f"  {line}" for line in rest)


def _user(item: Json) -> Iterator[str]:
    parts: list[str] = []
    for content in objects(item.get("content")):
        kind = text(content.get("type"))
        named = text(content.get("path")) or text(content.get("name")) or text(content.get("url"))
        parts.append(text(content.get("text")) if kind == "text" else f"[{kind} {named[:_LINE]}]")
    return _said("user", "\n".join(parts))


def _command(item: Json) -> Iterator[str]:
    status, code = text(item.get("status")), item.get("exitCode")
    ended = f"exit {code}" if isinstance(code, int) else one_line(status, _LINE)
    yield f"$ {one_line(text(item.get('command')), 2 * _LINE)}  ({ended}{_took(item)})"
    output = readable(text(item.get("aggregatedOutput"))[-_MESSAGE:], _MESSAGE).splitlines()
    if len(output) > _OUTPUT_LINES:
        yield f"  … {len(output) - _OUTPUT_LINES} lines"
    yield from (f"  {line if len(line) <= _LINE else line[: _LINE - 1] + '…'}" for line in output[-_OUTPUT_LINES:])


def _patch(item: Json) -> Iterator[str]:
    yield f"patch: {one_line(text(item.get('status')), _LINE)}"
    for change in objects(item.get("changes")):
        kind = text(mapping(change.get("kind")).get("type"))
        yield f"  {one_line(kind, _LINE):6} {one_line(text(change.get('path')), _LINE)}{_counted(text(change.get('diff')))}"


def _counted(diff: str) -> str:
    lines = diff.splitlines()
    added, removed = (sum(line.startswith(mark) and not line.startswith(mark * 3) for line in lines) for mark in "+-")
    return f"  +{added} -{removed}" if added or removed else ""


def _reasoning(item: Json) -> Iterator[str]:
    summary = [part for part in sequence(item.get("summary")) if isinstance(part, str)]
    return _said("reasoning", "\n".join(summary)) if summary else iter(())


def _mcp(item: Json) -> Iterator[str]:
    yield f"{one_line(text(item.get('server')), _LINE)}/{_call(item)}"
    if error := mapping(item.get("error")):
        yield from _said("  error", text(error.get("message")))


def _tool(item: Json) -> Iterator[str]:
    namespace = text(item.get("namespace"))
    yield f"{one_line(namespace, _LINE)}{'/' if namespace else ''}{_call(item)}"


def _call(item: Json) -> str:
    return f"{one_line(text(item.get('tool')), _LINE)}  ({one_line(text(item.get('status')), _LINE)}{_took(item)})"


def _agents(item: Json) -> Iterator[str]:
    agents = ", ".join(one_line(id, _LINE) for id in sequence(item.get("receiverThreadIds")) if isinstance(id, str))
    yield f"agent: {_call(item)}{f'  {agents}' if agents else ''}"
    if prompt := text(item.get("prompt")):
        yield from _said("  prompt", prompt)


def _took(item: Json) -> str:
    duration = item.get("durationMs")
    return f", {duration / 1000:.1f} s" if isinstance(duration, int) else ""


def _at(seconds: object) -> str:
    if not isinstance(seconds, int):
        return ""
    try:
        return time.strftime("  %Y-%m-%d %H:%M:%S", time.localtime(seconds))
    except (ValueError, OverflowError, OSError):  # a file may say anything
        return ""


_FORMS: Final[Mapping[str, Callable[[Json], Iterator[str]]]] = {
    "userMessage": _user,
    "agentMessage": lambda item: _said("agent", text(item.get("text"))),
    "plan": lambda item: _said("plan", text(item.get("text"))),
    "reasoning": _reasoning,
    "commandExecution": _command,
    "fileChange": _patch,
    "mcpToolCall": _mcp,
    "dynamicToolCall": _tool,
    "collabAgentToolCall": _agents,
    "webSearch": lambda item: _said("web search", text(item.get("query"))),
    "imageView": lambda item: _said("image", text(item.get("path"))),
    "enteredReviewMode": lambda item: _said("review of", text(item.get("review"))),
    "exitedReviewMode": lambda item: _said("review", text(item.get("review"))),
    "contextCompaction": lambda item: iter(["the context was compacted"]),
}
