"""Shapes as TypeScript."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final

from spindle.rpc.schema.shapes import Either, ListOf, MapOf, Member, Named, Plain, Record, Shape, Words

HEADER: Final = "// GENERATED CODE! DO NOT MODIFY BY HAND!\n\n"
_PLAIN: Final = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}
_IDENTIFIER: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
JSON: Final = "unknown"


def expression(shape: Shape) -> str:
    """The shape as a type expression."""
    match shape:
        case Plain(kind="any"):
            return JSON
        case Plain(kind=kind):
            return _PLAIN[kind]
        case Words(words=words):
            return " | ".join(json.dumps(word) for word in words)
        case Named(name=name):
            return name
        case ListOf(of=of):
            return f"Array<{expression(of)}>"
        case MapOf(of=of):
            return f"{{ [key in string]?: {expression(of)} }}"
        case Either(arms=arms):
            return " | ".join(expression(arm) for arm in arms) if arms else "never"
        case Record(members=members):
            return f"{{ {' '.join(map(_member, members))} }}" if members else "Record<string, never>"


def _member(member: Member) -> str:
    name = member.name if _IDENTIFIER.fullmatch(member.name) else json.dumps(member.name)
    return f"{name}{'' if member.sent else '?'}: {expression(member.shape)},"


def module(name: str, shape: Shape, imports: Iterable[tuple[str, str]]) -> str:
    """A file that exports the type `name`. `imports` are the names of other types, each with its path."""
    lines = [f'import type {{ {one} }} from "{path}";\n' for one, path in imports]
    doc = shape.doc if isinstance(shape, Record) else ""
    comment = f"/**\n * {' '.join(doc.split())}\n */\n" if doc else ""
    return f"{HEADER}{''.join(lines)}{chr(10) if lines else ''}{comment}export type {name} = {expression(shape)};\n"


def index(exported: Iterable[str], more: str = "") -> str:
    """The file `index.ts` of a folder."""
    return HEADER + "".join(f'export type {{ {name} }} from "./{name}";\n' for name in exported) + more
