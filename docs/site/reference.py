"""Hook of mkdocs: the parts of the reference that are generated from the code.

A comment in a page says what belongs in its place. The repository shows the page without it.

- `<!-- api: MODULE -->`: each public name of the module, from its docstring and signature;
- `<!-- entry: NAME -->`: one name;
- `<!-- table: MODULE -->`: the events or items of the module, with their members;
- `<!-- commands -->`: the options of the command line.

A built site that has not every public name fails the build.
"""

from __future__ import annotations

import argparse
import inspect
import logging
import re
import types
from collections.abc import Iterator, Sequence
from html import escape
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import attrs

from spindle.cli import parser

log = logging.getLogger("mkdocs.hooks.reference")
MARKER = re.compile(r"^<!-- (api|entry|table|commands)(?:: ([\w.]+))? -->$", re.MULTILINE)
PUBLIC = ("spindle", "spindle.events", "spindle.instruments", "spindle.items", "spindle.otel", "spindle.testing")
MADE_BY_USERS = re.compile(r"(Model|Provider|Instrument|Clock)$")
"""Classes that a program makes, so that their constructor is shown."""
UNIONS = (Union, types.UnionType)


def public(module: ModuleType) -> list[str]:
    """The public names of a module, without the modules that have a place of their own."""
    return sorted(name for name in module.__all__ if f"{module.__name__}.{name}" not in PUBLIC)


def _api(module: ModuleType) -> str:
    kinds: dict[str, list[str]] = {"Functions": [], "Classes": [], "Errors": [], "Types": []}
    for name in public(module):
        kinds[_kind(getattr(module, name))].append(f"{module.__name__}.{name}")
    return "\n\n".join(
        f"### {kind} of `{module.__name__}`\n\n" + "\n\n".join(map(_entry, names))
        for kind, names in kinds.items()
        if names
    )


def _kind(value: object) -> str:
    if isinstance(value, type):
        return "Errors" if issubclass(value, BaseException) else "Classes"
    return "Functions" if inspect.isroutine(value) else "Types"


def _entry(name: str, **options: object) -> str:
    options = {"heading_level": 4, "merge_init_into_class": bool(MADE_BY_USERS.search(name)), **options}
    return "\n".join(
        [f"::: {name}", "    options:", *(f"      {key}: {str(value).lower()}" for key, value in options.items())]
    )


def table(module: ModuleType) -> str:
    """The classes of a module of events or items: the name in the protocol, the class, its members, and what it says."""
    head = "| method or type | class | members | when, or what |\n| --- | --- | --- | --- |\n"
    rows = sorted(_rows(module), key=lambda row: (not row[0], row))
    others = [f"{module.__name__}.{name}" for name in public(module) if not isinstance(getattr(module, name), type)]
    entries = (_entry(name, heading_level=3) for name in others)
    return "\n\n".join([head + "\n".join(f"| {' | '.join(row)} |" for row in rows), *entries])


def _rows(module: ModuleType) -> Iterator[tuple[str, str, str, str]]:
    for name in public(module):
        cls = getattr(module, name)
        if isinstance(cls, type):
            anchor = f'<a id="{module.__name__}.{name}"></a>'
            yield f"{_wire_name(cls)}", f"{anchor}`{name}`", _members(cls), _cell(inspect.getdoc(cls) or "")


def _wire_name(cls: type) -> str:
    if method := getattr(cls, "METHOD", None):
        return f"`{method}`"
    defaults = {field.name: field.default for field in _fields(cls)}
    return f"`{defaults['type']}`" if isinstance(defaults.get("type"), str) else ""


def _members(cls: type) -> str:
    return ", ".join(
        f"<code>{_cell(escape(f'{field.name}: {_type(field.type)}'))}</code>"
        for field in _fields(cls)
        if field.name != "type" and not field.name.startswith("_")
    )


def _fields(cls: type) -> Sequence[attrs.Attribute[Any]]:
    return attrs.fields(cls) if attrs.has(cls) else ()


def _type(hint: Any) -> str:
    """A type as a reader writes it: the name of a union of the protocol in place of its members, and no bounds."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        name = getattr(hint.__metadata__[0], "name", "")
        return name if get_origin(args[0]) in UNIONS and name else _type(args[0])
    if origin in UNIONS or origin is Literal:
        return " | ".join(repr(one) if origin is Literal else _type(one) for one in args)
    if args:
        return f"{getattr(origin, '__name__', origin)}[{', '.join(map(_type, args))}]"
    return "None" if hint is type(None) else getattr(hint, "__name__", str(hint))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "&#124;")


def commands() -> str:
    """Each command with its usage and options."""
    top = parser()
    found = next(action for action in top._actions if isinstance(action, argparse._SubParsersAction))
    about = {action.dest: action.help or "" for action in found._choices_actions}
    parts = [_command("spindle", top, top.description or "")]
    parts += [_command(f"spindle {name}", command, about[name]) for name, command in found.choices.items()]
    return "\n\n".join(parts)


def _command(name: str, command: argparse.ArgumentParser, about: str) -> str:
    explained = command._get_formatter()._expand_help
    rows = [
        f"| {_spelled(action)} | {_cell(explained(action) if action.help else '')} |"
        for action in command._actions
        if action.help is not argparse.SUPPRESS and not isinstance(action, argparse._SubParsersAction)
    ]
    return "\n".join((f"## `{name}`", "", _sentence(about), "", "| option | meaning |", "| --- | --- |", *rows))


def _spelled(action: argparse.Action) -> str:
    value = "" if action.nargs == 0 else str(action.metavar or action.dest.upper())
    return ", ".join(f"`{f'{flag} {value}'.strip()}`" for flag in action.option_strings or [""])


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."


def filled(markdown: str) -> str:
    """A page with what is generated in it."""

    def part(match: re.Match[str]) -> str:
        if match[1] == "commands":
            return commands()
        if match[1] == "entry":
            return _entry(match[2], heading_level=3)
        return (_api if match[1] == "api" else table)(import_module(match[2]))

    return MARKER.sub(part, markdown)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill a page."""
    return filled(markdown)


def on_post_build(config: Any) -> None:
    """Check that each public name has its place, and that no private one has."""
    pages = "".join(path.read_text(encoding="utf-8") for path in Path(config.site_dir, "reference").glob("*.html"))
    shown = set(re.findall(r'id="(spindle\.[\w.]+)"', pages))
    modules = [import_module(name) for name in PUBLIC if find_spec(name)]
    for name in (f"{module.__name__}.{name}" for module in modules for name in public(module)):
        if name not in shown:
            log.warning("%s is public and is in no page of the reference", name)
    for name in sorted(name for name in shown if re.search(r"\._", name)):
        log.warning("%s is private and is shown", name)
