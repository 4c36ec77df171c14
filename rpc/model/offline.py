"""A model without a network: it plays a script, and after its end repeats the user's input.

The file that `OfflineModel.from_file` reads is a JSON array with one entry per request. An entry is a string (the text
of the answer) or an object with any of

- `text`: the answer, streamed word by word, or `chunks`: the answer as it is to be streamed;
- `reasoning`: a summary of thoughts, streamed before the answer;
- `calls`: tool calls, each `{"name", "arguments" (a string or any JSON), "call_id"?}`;
- `items`: whole response items; `events`: events of the Responses API, passed on as they are, instead of all above;
- `delay`: seconds before the first event, `pace`: seconds before each piece of text;
- `error`: `{"message", "info"?, "retryable"?, "details"?}`, raised after what the entry streams.
"""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from functools import partial
from pathlib import Path
from typing import Any, cast

import orjson

from spindle.rpc.lazy_class import frozen
from spindle.rpc.model.decode import decode
from spindle.rpc.model.interface import ModelEvent, ModelRequest
from spindle.rpc.model.model_errors import ModelError
from spindle.rpc.model.playing import Pause, Piece, Raw, Say, Think, call_item, estimate, play, words
from spindle.rpc.protocol.values import loads

_ECHO_LIMIT = 400


@frozen
class ScriptedAnswer:
    """One answer; see the module. Times are in seconds.

    `chunks` are the pieces in which the text is streamed. `events` replaces everything else; without a `Completed` the
    stream ends as if the connection broke, unless `error` says how.
    """

    chunks: Sequence[str] = ()
    reasoning: str | None = None
    items: Sequence[Mapping[str, Any]] = ()
    events: Sequence[ModelEvent] | None = None
    delay: float = 0.0
    pace: float = 0.0
    error: ModelError | None = None

    @classmethod
    def of(cls, text: str) -> "ScriptedAnswer":
        """The answer `text`, streamed word by word."""
        return cls(chunks=words(text))

    @classmethod
    def from_json(cls, entry: object) -> "ScriptedAnswer":
        """Build the answer of a script's entry. Raises `ValueError` for an invalid entry."""
        if isinstance(entry, str):
            return cls.of(entry)
        if not isinstance(entry, dict):
            raise ValueError(f"an answer must be a string or an object, not {entry!r}")
        fields = cast(dict[str, Any], entry)
        unknown = fields.keys() - _KEYS
        if unknown:
            raise ValueError(f"unknown members of an answer: {', '.join(sorted(unknown))}")
        for name, (kind, kind_name) in _KEYS.items():
            if name in fields and (not isinstance(fields[name], kind) or isinstance(fields[name], bool)):
                raise ValueError(f"`{name}` of an answer is not {kind_name}")
        chunks: list[object] = fields.get("chunks", [])
        if not all(isinstance(chunk, str) for chunk in chunks):
            raise ValueError("`chunks` of an answer is not an array of strings")
        calls = [_call(call) for call in fields.get("calls", [])]
        events: list[ModelEvent] | None = None
        error = _error(fields["error"]) if "error" in fields else None
        if "events" in fields:
            events = []
            error = decode([orjson.dumps(event) for event in fields["events"]], events) or error
        return cls(
            chunks=cast(list[str], chunks) or words(fields.get("text", "")),
            reasoning=fields.get("reasoning"),
            items=[*fields.get("items", []), *calls],
            events=events,
            delay=fields.get("delay", 0.0),
            pace=fields.get("pace", 0.0),
            error=error,
        )


_KEYS: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "text": (str, "a string"),
    "chunks": (list, "an array"),
    "reasoning": (str, "a string"),
    "calls": (list, "an array"),
    "items": (list, "an array"),
    "events": (list, "an array"),
    "delay": ((int, float), "a number"),
    "pace": ((int, float), "a number"),
    "error": (dict, "an object"),
}


class OfflineModel:
    """A `Model` that needs no network. Requests get the answers of `script` in order; a text alone is one answer."""

    def __init__(self, script: Sequence[ScriptedAnswer | str] = (), *, stream_max_retries: int = 5) -> None:
        script = [script] if isinstance(script, str) else script
        self.stream_max_retries = stream_max_retries
        self.requests = 0
        self._script = deque(ScriptedAnswer.of(entry) if isinstance(entry, str) else entry for entry in script)

    @classmethod
    def from_file(cls, path: str | Path) -> "OfflineModel":
        """Read a script. Blocking. Raises `OSError`, and `ValueError` with the position of an error."""
        try:
            entries = loads(Path(path).read_bytes())
        except orjson.JSONDecodeError as error:
            raise ValueError(f"{path}: {error}") from error
        if not isinstance(entries, list):
            raise ValueError(f"{path}: must be an array of answers")
        script: list[ScriptedAnswer] = []
        for number, entry in enumerate(cast(list[object], entries), 1):
            try:
                script.append(ScriptedAnswer.from_json(entry))
            except ValueError as error:
                raise ValueError(f"{path}: answer {number}: {error}") from error
        return cls(script)

    def stream(self, request: ModelRequest) -> AbstractAsyncContextManager[AsyncIterator[Sequence[ModelEvent]]]:
        """As in `Model`."""
        return aclosing(play(_pieces(self.answer(request)), partial(estimate, request)))

    def answer(self, request: ModelRequest) -> ScriptedAnswer:
        """The next answer of the script, or the default answer."""
        self.requests += 1
        return self._script.popleft() if self._script else ScriptedAnswer.of(_echo(request))

    async def aclose(self) -> None:
        """As in `Model`; does nothing."""


async def _pieces(answer: ScriptedAnswer) -> AsyncGenerator[Piece, None]:
    yield Pause(answer.delay)
    if answer.events is not None:
        yield Raw(answer.events)
    else:
        if answer.reasoning is not None:
            yield Think(answer.reasoning)
        if answer.chunks:
            yield Say(answer.chunks, answer.pace)
        if not answer.chunks or answer.error is None:  # the error interrupts the message
            for item in answer.items:
                yield dict(item)
    if answer.error is not None:
        yield answer.error


def _call(call: object) -> dict[str, Any]:
    fields = cast(dict[str, Any], call) if isinstance(call, dict) else {}
    name = fields.get("name")
    if not isinstance(name, str):
        raise ValueError("a call has no `name`")
    arguments = fields.get("arguments", {})
    call_id = fields.get("call_id")
    return call_item(name, arguments, str(call_id) if call_id else None)


def _error(fields: dict[str, Any]) -> ModelError:
    message = fields.get("message")
    if not isinstance(message, str):
        raise ValueError("the error has no `message`")
    details = fields.get("details")
    return ModelError(
        message,
        fields.get("info", "other"),
        retryable=fields.get("retryable") is True,
        details=details if isinstance(details, str) else None,
    )


def _echo(request: ModelRequest) -> str:
    for encoded in reversed(request.input):
        item = orjson.loads(encoded)
        kind = item.get("type")
        if kind in ("function_call_output", "custom_tool_call_output"):
            return f"The tool answered: {_short(_text(item.get('output')))}"
        if kind == "message" and item.get("role") == "user":
            return f"You said: {_short(_text(item.get('content')))} I am the offline model and only repeat it."
    return "Nothing was asked. I am the offline model and only repeat what I am told."


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = cast(list[object], content) if isinstance(content, list) else []
    texts = [cast(dict[str, Any], part).get("text") for part in parts if isinstance(part, dict)]
    return " ".join(text for text in texts if isinstance(text, str))


def _short(text: str) -> str:
    quoted = " ".join(text.split())
    return f'"{quoted[:_ECHO_LIMIT]}…"' if len(quoted) > _ECHO_LIMIT else f'"{quoted}"'
