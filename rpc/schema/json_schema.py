"""Shapes as JSON Schema (draft 7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from spindle.rpc.schema.shapes import NULL, Either, ListOf, MapOf, Named, Plain, Record, Shape, Words

DRAFT: Final = "http://json-schema.org/draft-07/schema#"
_UNSIGNED: Final = "u"


def schema(shape: Shape, where: str = "#/definitions/", title: str | None = None) -> Any:
    """The schema of a shape. `where` precedes the names of types; `title` names a union, for the titles of its arms."""
    match shape:
        case Plain(kind="any"):
            return True
        case Plain(kind=kind, format=str() as form):
            low = {"minimum": 0} if form.startswith(_UNSIGNED) else {}
            return {"type": kind, "format": form, **low}
        case Plain(kind=kind):
            return {"type": kind}
        case Words(words=words):
            return {"type": "string", "enum": list(words)}
        case Named(name=name):
            return {"$ref": f"{where}{name}"}
        case ListOf(of=of):
            return {"type": "array", "items": schema(of, where)}
        case MapOf(of=of):
            return {"type": "object", "additionalProperties": schema(of, where)}
        case Either():
            return _either(shape, where)
        case Record():
            return _record(shape, where)


def _either(shape: Either, where: str) -> Any:
    if shape.title is not None:
        tagged = [arm for arm in shape.arms if isinstance(arm, Record)]
        return {"oneOf": [{**_record(arm, where), "title": _title(arm, shape.title)} for arm in tagged]}
    arms = [arm for arm in shape.arms if arm != NULL]
    written: list[Any] = [schema(arm, where) for arm in arms]
    if len(arms) == len(shape.arms):
        return {"anyOf": written}
    match arms, written:
        case [Plain() | ListOf() | MapOf()], [{"type": kind}]:
            return {**written[0], "type": [kind, "null"]}
        case _:
            return {"anyOf": [*written, {"type": "null"}]}


def _title(arm: Record, union: str) -> str:
    tags = [
        member.shape.words[0] for member in arm.members if member.name == "type" and isinstance(member.shape, Words)
    ]
    tag = tags[0] if tags else ""
    return f"{tag[:1].upper()}{tag[1:]}{union}"


def _record(shape: Record, where: str) -> dict[str, Any]:
    out: dict[str, Any] = {"type": "object"}
    if shape.doc:
        out["description"] = shape.doc
    if shape.members:
        out["properties"] = {member.name: schema(member.shape, where) for member in shape.members}
    if required := sorted(member.name for member in shape.members if member.required):
        out["required"] = required
    return out


def document(
    shape: Shape, title: str, definitions: Mapping[str, Shape], where: str = "#/definitions/"
) -> dict[str, Any]:
    """A whole file: the shape, with the types that it refers to."""
    own = schema(shape, where)
    out: dict[str, Any] = {"$schema": DRAFT, "title": title, **(own if isinstance(own, dict) else {})}
    if definitions:
        out["definitions"] = {name: schema(of, where) for name, of in definitions.items()}
    return out
