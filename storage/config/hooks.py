"""Hooks as they are configured: `hooks.json` beside a layer's config.toml, and the tables `[hooks]` in it (Codex 0.124).

Both have the same form: for each event a list of groups, each with a matcher and the commands that run when it matches.
What a weaker layer says is not replaced by a stronger one: all of it counts.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, cast

import orjson
from attrs import field, frozen

from spindle.rpc.protocol.converter import InvalidValue, structure
from spindle.rpc.protocol.hooks import CONFIGURED_AS, HookEventName, HookSource
from spindle.rpc.protocol.shapes import USize
from spindle.rpc.protocol.values import loads
from spindle.storage.config.effective import Config
from spindle.storage.config.layers import Layer
from spindle.storage.outside import TEXT, read_file

DEFAULT_TIMEOUT: Final = 600
"""Seconds that a hook may take, where it does not say."""
FLAGS_FILE: Final = "/<session-flags>/config.toml"
"""Stands for the file of hooks that a request or the command line brings."""

_MATCHED: Final = frozenset(("preToolUse", "permissionRequest", "postToolUse", "sessionStart"))
_WORDS: Final = re.compile(r"[A-Za-z0-9_|]+")
_SOURCES: Final[Mapping[str, HookSource]] = {
    "system": "system",
    "user": "user",
    "project": "project",
    "sessionFlags": "sessionFlags",
}


@frozen(kw_only=True)
class HookHandler:
    """A hook that can run. `timeout` is in seconds; `order` counts all hooks of a configuration, from 0.

    `key` tells it from all others: its file, its event, and its place among the event's.
    """

    event: HookEventName
    command: str
    timeout: int = DEFAULT_TIMEOUT
    matcher: str | None = None
    status_message: str | None = None
    path: str
    source: HookSource
    order: int
    key: str

    def matches(self, *names: str) -> bool:
        """Whether it is for something that goes by any of `names`."""
        if self.matcher is None or self.matcher in ("", "*"):
            return True
        if _WORDS.fullmatch(self.matcher):  # no expression, but the names themselves
            return not set(self.matcher.split("|")).isdisjoint(names)
        return any(_pattern(self.matcher).search(name) for name in names)


@frozen
class HookConfig:
    """All hooks of a working directory, in the order in which they are told of; `warnings` say what is not one of them."""

    handlers: Sequence[HookHandler] = ()
    warnings: Sequence[str] = ()


@frozen(kw_only=True)
class _Command:
    type: Literal["command", "prompt", "agent"]
    command: str = ""
    timeout: USize | None = None
    is_async: bool = field(default=False, metadata={"wire": "async"})
    status_message: str | None = None


@frozen(kw_only=True)
class _Group:
    matcher: str | None = None
    hooks: Sequence[_Command] = ()


@frozen
class _File:
    hooks: Mapping[str, object] = {}


def hook_config(config: Config) -> HookConfig:
    """The hooks of `config`; none where its features switch them off. Blocks on the disk, does not raise."""
    if not (config.features("codex_hooks", True) and config.features("hooks", True)):
        return HookConfig()
    handlers: list[HookHandler] = []
    warnings: list[str] = []
    for layer in reversed(config.layers):
        if layer.disabled_reason is None:
            for path, events in _sources(layer, warnings):
                _add(handlers, warnings, path, _SOURCES[layer.source["type"]], events)
    return HookConfig(tuple(handlers), tuple(warnings))


def _sources(layer: Layer, warnings: list[str]) -> list[tuple[str, Mapping[str, object]]]:
    """The events of a layer's `hooks.json`, and those of its config.toml, each with the file they are from."""
    toml = _toml_file(layer)
    found: list[tuple[str, Mapping[str, object]]] = []
    if layer.source["type"] != "sessionFlags":
        file = Path(toml).with_name("hooks.json")
        events = _from_json(file, warnings)
        if events:
            found.append((str(file), events))
    tables: object = layer.config.get("hooks")
    if isinstance(tables, dict) and tables:
        found.append((toml, cast("dict[str, object]", tables)))
    elif tables is not None and tables != {}:
        warnings.append(f"failed to parse TOML hooks in {toml}: invalid type, expected a table")
    if len(found) == 2:
        (first, _), (second, _) = found
        warnings.append(f"loading hooks from both {first} and {second}; prefer a single representation for this layer")
    return found


def _toml_file(layer: Layer) -> str:
    if (folder := layer.source.get("dotCodexFolder")) is not None:
        return str(Path(folder) / "config.toml")
    return str(layer.source.get("file", FLAGS_FILE))


def _from_json(file: Path, warnings: list[str]) -> Mapping[str, object]:
    try:
        data = read_file(file, TEXT)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return {}
    except OSError as error:
        warnings.append(f"failed to read hooks config {file}: {error.strerror or error}")
        return {}
    try:
        return structure(loads(data), _File).hooks
    except (orjson.JSONDecodeError, InvalidValue) as error:
        warnings.append(f"failed to parse hooks config {file}: {error}")
        return {}


def _add(
    handlers: list[HookHandler],
    warnings: list[str],
    path: str,
    source: HookSource,
    events: Mapping[str, object],
) -> None:
    """Append the hooks of one file. One that has a fault somewhere has no hooks at all."""
    try:
        groups: dict[HookEventName, Sequence[_Group]] = {
            event: structure(events[name], Sequence[_Group])  # type: ignore[type-abstract]
            for event, name in CONFIGURED_AS.items()
            if name in events
        }
    except InvalidValue as error:
        kind = "hooks config" if path.endswith(".json") else "TOML hooks in"
        warnings.append(f"failed to parse {kind} {path}: {error}")
        return
    for event, group, hook, key in _listed(groups):
        matcher = group.matcher if event in _MATCHED else None
        if (warning := _refusal(hook, matcher, path)) is not None:
            if warning not in warnings:
                warnings.append(warning)
            continue
        handlers.append(
            HookHandler(
                event=event,
                command=hook.command,
                timeout=DEFAULT_TIMEOUT if hook.timeout is None else max(hook.timeout, 1),
                matcher=matcher,
                status_message=hook.status_message,
                path=path,
                source=source,
                order=len(handlers),
                key=f"{path}:{key}",
            )
        )


def _listed(groups: Mapping[HookEventName, Sequence[_Group]]) -> Iterator[tuple[HookEventName, _Group, _Command, str]]:
    for event, listed in groups.items():
        for at, group in enumerate(listed):
            for place, hook in enumerate(group.hooks):
                yield event, group, hook, f"{snake(event)}:{at}:{place}"


def _refusal(hook: _Command, matcher: str | None, path: str) -> str | None:
    """What is told of a hook that cannot run."""
    if matcher and matcher != "*":
        try:
            _pattern(matcher)
        except re.error as error:
            return f"invalid matcher {json.dumps(matcher, ensure_ascii=False)} in {path}: {error}"
    if hook.type != "command":
        return f"skipping {hook.type} hook in {path}: {hook.type} hooks are not supported yet"
    if hook.is_async:
        return f"skipping async hook in {path}: async hooks are not supported yet"
    if not hook.command.strip():
        return f"skipping empty hook command in {path}"
    return None


@cache
def _pattern(matcher: str) -> re.Pattern[str]:
    return re.compile(matcher)


def snake(event: HookEventName) -> str:
    """The event's name with underscores, as keys have it."""
    return re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", event)


def notify_program(config: Config) -> Sequence[str]:
    """The program of the key `notify` and its arguments, if there is one."""
    words: Any = config.raw.get("notify")
    if not isinstance(words, list):
        return ()
    return tuple(word for word in cast("list[object]", words) if isinstance(word, str))
