"""The configured hooks: `hooks.json` beside a layer's config.toml, and `[hooks]` in it (Codex 0.124).

Both have the same form: for each event a list of groups, each with a matcher and the commands that run when it matches.
A stronger layer does not replace the hooks of a weaker one: all count.

The hooks of plugins come last. A plugin's hook runs if the user has approved it with the plugin's whole content.

A project's hook runs if the user has approved it unchanged. As in Codex 0.171 its hash in `[hooks.state."<key>"]` of
the user's config.toml is the approval; a hook can also be disabled there.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import orjson
from attrs import evolve, field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.lenient import mapping
from spindle.rpc.protocol.converter import InvalidValue, structure
from spindle.rpc.protocol.hooks import CONFIGURED_AS, HookEventName, HookSource, HookTrustStatus
from spindle.rpc.protocol.shapes import USize
from spindle.rpc.protocol.values import loads
from spindle.storage.config.approvals import pinned
from spindle.storage.config.effective import Config
from spindle.storage.config.layers import OF_USER, Layer
from spindle.storage.config.notes import MOST, Note, Place
from spindle.storage.config.programs import Pinned, PinnedFolder, ProjectProgram, hash_of
from spindle.storage.config.project import BELOW, Project
from spindle.storage.config.tables import merge
from spindle.storage.outside import TEXT, read_file

if TYPE_CHECKING:
    from spindle.storage.plugins.active import ActivePlugin

DEFAULT_TIMEOUT: Final = 600
"""The default timeout of a hook, in seconds."""
FLAGS_FILE: Final = "/<session-flags>/config.toml"
"""Replaces the file name for hooks from a request or the command line."""

_MATCHED: Final = frozenset(("preToolUse", "permissionRequest", "postToolUse", "sessionStart"))
_WORDS: Final = re.compile(r"[A-Za-z0-9_|]+")
_STATE: Final = "state"
_SOURCES: Final[Mapping[str, HookSource]] = {
    "system": "system",
    "user": "user",
    "project": "project",
    "sessionFlags": "sessionFlags",
}


@frozen(kw_only=True)
class HookHandler:
    """A hook that can run. `timeout` is in seconds; `order` numbers all hooks of a configuration, from 0.

    `key` identifies it: its file, its event, and its position there; `hash` identifies its content for an approval.
    Only hooks that are `enabled` and trusted run. The files that a project's hook names must be as `pinned` when it
    runs.
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
    hash: str
    enabled: bool = True
    trust: HookTrustStatus = "trusted"
    pinned: Pinned | PinnedFolder | None = None
    plugin_id: str | None = None
    environment: Mapping[str, str] = {}
    """More variables for its program."""
    data: str | None = None
    """A folder that its plugin may write to; it is made before the hook runs."""
    place: Place | None = None
    """The place of a project's hook in its file, if it can be found."""

    @property
    def runs(self) -> bool:
        """Whether the hook may run."""
        return self.enabled and self.trust == "trusted"

    def matches(self, *names: str) -> bool:
        """Whether its matcher matches one of `names`."""
        if self.matcher is None or self.matcher in ("", "*"):
            return True
        if _WORDS.fullmatch(self.matcher):  # not an expression, but plain names
            return not set(self.matcher.split("|")).isdisjoint(names)
        return any(_pattern(self.matcher).search(name) for name in names)


@frozen
class HookConfig:
    """The hooks of a working directory, in the order of their notifications.

    `listed` are all, `handlers` those that may run; `warnings` are about invalid entries, `notes` about hooks that are
    not approved.
    """

    listed: Sequence[HookHandler] = ()
    warnings: Sequence[str] = ()
    notes: Sequence[Note] = ()

    @property
    def handlers(self) -> Sequence[HookHandler]:
        return [handler for handler in self.listed if handler.runs]


@frozen(kw_only=True)
class _Command:
    type: Literal["command", "prompt", "agent"]
    command: str = ""
    timeout: USize | None = None
    is_async: bool = field(default=False, metadata={"wire": "async"})
    status_message: str | None = None
    additional_context_limit: USize | None = None


@frozen(kw_only=True)
class _Group:
    matcher: str | None = None
    hooks: Sequence[_Command] = ()


@frozen
class _File:
    hooks: Mapping[str, object] = {}


@frozen(kw_only=True)
class _State:
    enabled: bool | None = None
    trusted_hash: str | None = field(default=None, metadata={"wire": "trusted_hash"})
    trusted_content_hash: str | None = field(default=None, metadata={"wire": "trusted_content_hash"})
    """The hash of a plugin's content, if it is not the second part of `trusted_hash`."""

    @property
    def approved(self) -> str | None:
        """The hash of a plugin's hook, with that of its plugin."""
        content = self.trusted_content_hash
        return self.trusted_hash if content is None else f"{self.trusted_hash}/{content}"


def hook_config(config: Config) -> HookConfig:
    """The hooks of `config`; none if its features disable them. Blocking; never raises."""
    if not (config.features("codex_hooks", True) and config.features("hooks", True)):
        return HookConfig()
    handlers: list[HookHandler] = []
    warnings: list[str] = []
    notes: list[Note] = []
    states = _states(config, warnings)
    for layer in reversed(config.layers):
        if layer.disabled_reason is None:
            for source in _sources(layer, warnings):
                own = _handlers(len(handlers), warnings, source, _SOURCES[layer.source["type"]])
                handlers.extend(_trusted(handler, states.get(handler.key), layer.project, source, notes) for handler in own)
    for plugin in config.plugins:
        handlers.extend(_of_plugin(plugin, len(handlers), warnings, states, notes))
    if len(notes) > MOST:
        notes[MOST:] = [Note(text="There are more hooks that do not run.", path=notes[MOST].path)]
    return HookConfig(tuple(handlers), tuple(warnings), tuple(notes))


@frozen
class _Source:
    """The events of one file; `data` is the file's text, if available, `key` begins the keys of its hooks."""

    path: str
    events: Mapping[str, object]
    data: bytes = b""
    key: str | None = None


def _sources(layer: Layer, warnings: list[str]) -> list[_Source]:
    """The hooks in a layer's `hooks.json` and in its config.toml."""
    toml = _toml_file(layer)
    found: list[_Source] = []
    if layer.source["type"] != "sessionFlags":
        source = _from_json(Path(toml).with_name("hooks.json"), warnings)
        if source.events:
            found.append(source)
    tables: object = layer.config.get("hooks")
    if isinstance(tables, dict):
        events = {name: groups for name, groups in cast("dict[str, object]", tables).items() if name != _STATE}
        if events:
            found.append(_Source(toml, events, b"" if layer.project is None else layer.project.data))
    elif tables is not None:
        warnings.append(f"failed to parse TOML hooks in {toml}: invalid type, expected a table")
    if len(found) == 2:
        first, second = (source.path for source in found)
        warnings.append(f"loading hooks from both {first} and {second}; prefer a single representation for this layer")
    return found


def _states(config: Config, warnings: list[str]) -> Mapping[str, _State]:
    """The user's `[hooks.state]`: settings of single hooks, by key. A project's own is ignored.

    A hook with an unreadable state does not run.
    """
    found: dict[str, object] = {}
    for layer in reversed(config.layers):
        hooks: object = layer.config.get("hooks") if layer.source["type"] in OF_USER else None
        states: object = mapping(hooks).get(_STATE)
        if isinstance(states, dict):
            found = merge(found, cast("dict[str, object]", states))
        elif states is not None:
            warnings.append(f"failed to parse hooks.{_STATE} in {_toml_file(layer)}: invalid type, expected a table")
    read: dict[str, _State] = {}
    for key, state in found.items():
        try:
            read[key] = structure(state, _State)
        except InvalidValue as error:
            warnings.append(f"failed to parse what hooks.{_STATE} says of {key}, which is not run: {error}")
            read[key] = _State(enabled=False)
    return read


def _trusted(
    handler: HookHandler, state: _State | None, project: Project | None, source: _Source, notes: list[Note]
) -> HookHandler:
    """The hook with the user's state; if a project's hook does not run, the reason is added to `notes`."""
    state = _State() if state is None else state
    handler = evolve(handler, enabled=state.enabled is not False)
    if project is None:
        return handler
    handler = evolve(handler, place=_place(source.data, handler.command))
    program = ProjectProgram([handler.command], project.root)
    if project.below:
        found: Pinned | str = BELOW
    elif state.trusted_hash is None:
        found = "is not approved"
    elif state.trusted_hash != handler.hash:
        found = "has changed since it was approved"
    else:
        found = _pinned(handler, program, project)
    if isinstance(found, Pinned):
        return evolve(handler, pinned=found)
    if handler.enabled:
        text = f"The hook `{CONFIGURED_AS[handler.event]}` of a project {found} and does not run: {project.advice}."
        notes.append(Note(text=text, path=Path(handler.path), place=handler.place))
    return evolve(handler, trust="untrusted" if project.below or state.trusted_hash is None else "modified")


def _pinned(handler: HookHandler, program: ProjectProgram, project: Project) -> Pinned | str:
    """A hook with an approved hash, and its files. If Codex approved it, they are the files as first found."""
    approval = project.approved.get(handler.key)
    if approval is None or approval.hash != handler.hash:
        try:
            approval = project.first_sight.of(handler.key, handler.hash, program)
        except OSError as error:
            return f"names a file that cannot be read ({error})"
    return pinned(program, handler.hash, approval)


def _place(data: bytes, command: str) -> Place | None:
    for written in (json.dumps(command, ensure_ascii=False), json.dumps(command), f"'{command}'"):
        if (at := data.find(written.encode("utf-8", "replace"))) >= 0:
            return data.count(b"\n", 0, at) + 1, at - data.rfind(b"\n", 0, at)
    return None


def _toml_file(layer: Layer) -> str:
    if (folder := layer.source.get("dotCodexFolder")) is not None:
        return str(Path(folder) / "config.toml")
    return str(layer.source.get("file", FLAGS_FILE))


def _from_json(file: Path, warnings: list[str]) -> _Source:
    try:
        data = read_file(file, TEXT)
        return _Source(str(file), structure(loads(data), _File).hooks, data)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        pass
    except OSError as error:
        warnings.append(f"failed to read hooks config {file}: {error.strerror or error}")
    except (orjson.JSONDecodeError, InvalidValue) as error:
        warnings.append(f"failed to parse hooks config {file}: {error}")
    return _Source(str(file), {})


def plugin_hooks(plugin: "ActivePlugin") -> Sequence[tuple[str, HookEventName]]:
    """The key and event of each hook of a plugin, whether it is in effect or not."""
    return [(handler.key, handler.event) for handler in _plugin_handlers(plugin, 0, [])]


def _plugin_handlers(plugin: "ActivePlugin", order: int, warnings: list[str]) -> list[HookHandler]:
    own: list[HookHandler] = []
    for one in plugin.hooks:
        source = _Source(str(one.path), one.events, key=f"{plugin.id}:{one.name}")
        own += _handlers(order + len(own), warnings, source, "plugin")
    return own


def _of_plugin(
    plugin: "ActivePlugin", order: int, warnings: list[str], states: Mapping[str, _State], notes: list[Note]
) -> list[HookHandler]:
    """The hooks of a plugin. One runs if the user has approved it with all that is in the plugin now."""
    warnings.extend(plugin.warnings)
    own = _plugin_handlers(plugin, order, warnings)
    if not own:
        return []
    try:
        folder = PinnedFolder.of(plugin.root)
    except OSError as error:
        warnings.append(f"the hooks of plugin `{plugin.id}` do not run: {error}")
        return []
    return [_approved(handler, plugin, folder, states.get(handler.key), notes) for handler in own]


def _approved(
    handler: HookHandler, plugin: "ActivePlugin", folder: PinnedFolder, state: _State | None, notes: list[Note]
) -> HookHandler:
    state = _State() if state is None else state
    found = f"{handler.hash}/{folder.digest}"
    trust: HookTrustStatus = "trusted"
    if state.approved != found:
        trust = "untrusted" if state.trusted_hash is None else "modified"
    enabled = state.enabled is not False
    if enabled and trust != "trusted":
        why = "is not approved" if trust == "untrusted" else "has changed since it was approved, or its plugin has"
        text = f"The hook `{CONFIGURED_AS[handler.event]}` of plugin `{plugin.id}` {why} and does not run."
        notes.append(Note(text=text, path=Path(handler.path)))
    variables = {"PLUGIN_ROOT": str(plugin.root), "PLUGIN_DATA": str(plugin.data)}
    variables |= {f"CLAUDE_{name}": value for name, value in variables.items()}
    command = handler.command
    for name, value in variables.items():
        command = command.replace(f"${{{name}}}", value)
    return evolve(
        handler,
        command=command,
        hash=found,
        enabled=enabled,
        trust=trust,
        pinned=folder,
        plugin_id=str(plugin.id),
        environment=variables,
        data=str(plugin.data),
    )


def _handlers(order: int, warnings: list[str], source: _Source, kind: HookSource) -> list[HookHandler]:
    """The hooks of one file, numbered from `order`. A file with a fault has no hooks."""
    path = source.path
    try:
        groups: dict[HookEventName, Sequence[_Group]] = {
            event: structure(source.events[name], Sequence[_Group])  # type: ignore[type-abstract]
            for event, name in CONFIGURED_AS.items()
            if name in source.events
        }
    except InvalidValue as error:
        form = "hooks config" if path.endswith(".json") else "TOML hooks in"
        warnings.append(f"failed to parse {form} {path}: {error}")
        return []
    handlers: list[HookHandler] = []
    for event, group, hook, key in _listed(groups):
        matcher = group.matcher if event in _MATCHED else None
        if (warning := _refusal(hook, matcher, path)) is not None:
            if warning not in warnings:
                warnings.append(warning)
            continue
        timeout = DEFAULT_TIMEOUT if hook.timeout is None else max(hook.timeout, 1)
        handlers.append(
            HookHandler(
                event=event,
                command=hook.command,
                timeout=timeout,
                matcher=matcher,
                status_message=hook.status_message,
                path=path,
                source=kind,
                order=order + len(handlers),
                key=f"{source.key or path}:{key}",
                hash=_hash(event, matcher, hook, timeout),
            )
        )
    return handlers


def _hash(event: HookEventName, matcher: str | None, hook: _Command, timeout: int) -> str:
    """The hash of a hook's content, as in Codex 0.171."""
    known = {
        "type": hook.type,
        "command": hook.command,
        "timeout": timeout,
        "async": hook.is_async,
        "statusMessage": hook.status_message,
        "additionalContextLimit": hook.additional_context_limit,
    }
    group = {"matcher": matcher, "hooks": [{name: value for name, value in known.items() if value is not None}]}
    return hash_of({"event_name": snake(event), **{name: value for name, value in group.items() if value is not None}})


def _listed(groups: Mapping[HookEventName, Sequence[_Group]]) -> Iterator[tuple[HookEventName, _Group, _Command, str]]:
    for event, listed in groups.items():
        for at, group in enumerate(listed):
            for place, hook in enumerate(group.hooks):
                yield event, group, hook, f"{snake(event)}:{at}:{place}"


def _refusal(hook: _Command, matcher: str | None, path: str) -> str | None:
    """The warning for a hook that cannot run."""
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
    """The event's name in snake case, as in keys."""
    return re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", event)


def notify_program(config: Config) -> Sequence[str]:
    """The program and arguments in the key `notify`, if set."""
    words: Any = config.raw.get("notify")
    if not isinstance(words, list):
        return ()
    return tuple(word for word in cast("list[object]", words) if isinstance(word, str))
