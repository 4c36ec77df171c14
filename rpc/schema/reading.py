"""The shapes of the protocol's classes, read from the classes and from the source of `rpc/protocol/`.

The classes say which members there are and how they are called on the wire. The source says by which name an annotation
calls a type: at run time an alias such as `SortDirection` is only the `Literal` behind it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import attrs

from spindle.rpc import protocol
from spindle.rpc.protocol.catalog import EXPERIMENTAL_NOTIFICATIONS
from spindle.rpc.protocol.shapes import wire_name
from spindle.rpc.protocol.vocabulary import HARMLESS
from spindle.rpc.protocol.wire import Notification
from spindle.rpc.schema.shapes import (
    ANY,
    NULL,
    Either,
    ListOf,
    MapOf,
    Member,
    Named,
    Plain,
    Record,
    Shape,
    Words,
    nullable,
)

RENAMED: Final = {
    "AbsolutePath": "AbsolutePathBuf",
    "CollaborationSettings": "Settings",
    "CwdFilter": "ThreadListCwdFilter",
    "InitialTurnsPageParams": "ThreadResumeInitialTurnsPageParams",
}
"""Names of our own, and what the reference calls the types."""

INLINE: Final = frozenset(
    (
        "U16",
        "U32",
        "USize",
        "I32",
        "PathName",
        "JsonObject",
        "ServiceTier",
        "DynamicTools",
        "ApprovalWord",
        "DecisionWord",
    )
)
"""Aliases that have no name in the reference."""

_PLAIN: Final[Mapping[str, Shape]] = {
    "str": Plain("string"),
    "int": Plain("integer", "int64"),
    "float": Plain("number"),
    "bool": Plain("boolean"),
    "object": ANY,
    "Any": ANY,
}
_INTEGERS: Final = {"u16": "uint16", "u32": "uint32", "usize": "uint", "i32": "int32"}


class Protocol:
    """The types of the protocol. `experimental`: with those that need the experimentalApi capability."""

    def __init__(self, experimental: bool) -> None:
        self.experimental = experimental
        self._aliases: dict[str, ast.expr] = {}
        self._annotations: dict[str, dict[str, ast.expr]] = {}
        self._classes: dict[str, Any] = {}
        for path in sorted(Path(next(iter(protocol.__path__))).glob("*.py")):
            self._read(path)

    def _read(self, path: Path) -> None:
        module = import_module(f"{protocol.__name__}.{path.stem}")
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            match node:
                case ast.ClassDef(name=name):
                    cls = getattr(module, name)
                    fields = {
                        each.target.id: each.annotation
                        for each in node.body
                        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
                    }
                    self._annotations[name] = fields
                    if attrs.has(cls):
                        self._classes[name] = cls
                case ast.AnnAssign(
                    target=ast.Name(id=name), annotation=ast.Name(id="TypeAlias"), value=ast.expr() as value
                ):
                    self._aliases[name] = value
                case _:
                    pass

    @cached_property
    def notifications(self) -> Mapping[str, str]:
        """The classes of notifications, by method."""
        return {
            cls.METHOD: name
            for name, cls in self._classes.items()
            if issubclass(cls, Notification) and (self.experimental or cls.METHOD not in EXPERIMENTAL_NOTIFICATIONS)
        }

    @cached_property
    def server_requests(self) -> Mapping[str, Sequence[str]]:
        """The classes of the parameters of server requests, by method; several are told apart by a member `mode`."""
        found: dict[str, list[str]] = {}
        for name, cls in self._classes.items():
            if hasattr(cls, "METHOD") and not issubclass(cls, Notification):
                found.setdefault(cls.METHOD, []).append(name)
        return found

    def shape(self, name: str) -> Shape:
        """The shape of a named type. Raises KeyError."""
        ours = next((our for our, theirs in RENAMED.items() if theirs == name), name)
        if ours in self._classes:
            return self._record(self._classes[ours])
        return self._of(self._aliases[ours], name)

    # -- records

    def _record(self, cls: Any) -> Record:
        members = [self._member(cls, attribute) for attribute in attrs.fields(cls) if self._shown(attribute)]
        known = {wire_name(attribute) for attribute in attrs.fields(cls)}
        harmless = HARMLESS.get(cls.__name__, frozenset())
        members += [Member(name, ANY, required=False, sent=False) for name in sorted(harmless) if name not in known]
        return Record(members, (cls.__doc__ or "").partition("\n\n")[0])

    def _shown(self, attribute: Any) -> bool:
        return self.experimental or "experimental" not in attribute.metadata

    def _member(self, cls: Any, attribute: Any) -> Member:
        annotation = next(
            found[attribute.name]
            for base in cls.__mro__
            if attribute.name in (found := self._annotations.get(base.__name__, {}))
        )
        shape = self._of(annotation)
        bare = attribute.default is attrs.NOTHING
        params = cls.__name__.endswith("Params")
        required = not attribute.init or (bare and (params or shape == ANY or not nullable(shape)))
        sent = required or not (params or attribute.metadata.get("omit_none"))
        return Member(wire_name(attribute), shape, required, sent)

    # -- annotations

    def _of(self, node: ast.expr, alias: str | None = None) -> Shape:
        match node:
            case ast.Constant(value=None):
                return NULL
            case ast.Name(id=name):
                return self._named(name)
            case ast.BinOp(left=left, right=right):
                return _either([*_arms(self._of(left)), *_arms(self._of(right))])
            case ast.Subscript(value=ast.Name(id="Literal"), slice=inside):
                return Words([str(ast.literal_eval(word)) for word in _each(inside)])
            case ast.Subscript(value=ast.Name(id="Sequence"), slice=inside):
                return ListOf(self._of(inside))
            case ast.Subscript(value=ast.Name(id="Mapping"), slice=ast.Tuple(elts=[_, inside])):
                return MapOf(self._of(inside))
            case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[inside, mark])):
                return self._annotated(inside, mark, alias)
            case _:
                raise TypeError(f"no schema for the annotation {ast.unparse(node)}")

    def _named(self, name: str) -> Shape:
        if name in _PLAIN:
            return _PLAIN[name]
        if name == "Absent":
            return Either(())
        if name in INLINE and name in self._aliases:
            return self._of(self._aliases[name], name)
        if name not in self._aliases and name not in self._classes:
            raise TypeError(f"no schema for the type {name}")
        return Named(RENAMED.get(name, name))

    def _annotated(self, inside: ast.expr, mark: ast.expr, alias: str | None) -> Shape:
        match mark:
            case ast.Call(func=ast.Name(id="Bounds"), args=[ast.Constant(value=str() as kind), *_]):
                return Plain("integer", _INTEGERS[kind])
            case ast.Call(func=ast.Name(id="Tagged")):
                arms = [self._tagged(arm) for arm in _members(inside) if self._offered(arm)]
                return Either(arms, alias or "")
            case ast.Call(func=ast.Name(id="Keyed" | "Untagged")):
                return _either([shape for arm in _members(inside) for shape in _arms(self._of(arm))])
            case _:
                return self._of(inside, alias)

    def _tagged(self, arm: ast.expr) -> Shape:
        """An object of a tagged union is written in place."""
        assert isinstance(arm, ast.Name)
        return self._record(self._classes[arm.id])

    def _offered(self, arm: ast.expr) -> bool:
        assert isinstance(arm, ast.Name)
        return self.experimental or not hasattr(self._classes[arm.id], "EXPERIMENTAL")


def _each(node: ast.expr) -> Sequence[ast.expr]:
    return node.elts if isinstance(node, ast.Tuple) else [node]


def _members(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp):
        yield from _members(node.left)
        yield from _members(node.right)
    else:
        yield node


def _arms(shape: Shape) -> Sequence[Shape]:
    return shape.arms if isinstance(shape, Either) and shape.title is None else [shape]


def _either(arms: Sequence[Shape]) -> Shape:
    return arms[0] if len(arms) == 1 else Either(arms)
