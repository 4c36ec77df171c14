"""Frozen attrs classes, whose methods attrs writes when they are first used.

Nearly all that a class costs is the compilation of its methods, and a client uses few of the protocol's hundreds of
classes. So `frozen` makes the slotted class at once, and leaves the rest to attrs: at the first instance or the first look
at the fields; for comparison and repr, at the first use of those. The class stays the same object, and is then what
`attrs.frozen` makes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, partial
from threading import RLock
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast, get_origin

import attrs

__all__ = ["frozen"]

_WRITING: Final = RLock()
"""Held while attrs writes a class. Writing one may write its bases."""

_PARTS: Final[tuple[tuple[tuple[str, ...], Mapping[str, Any]], ...]] = (
    (
        ("__attrs_attrs__", "__attrs_init__", "__getstate__", "__init__", "__match_args__", "__replace__", "__setstate__"),
        {"eq": False, "repr": False},
    ),
    (("__attrs_props__", "__eq__", "__hash__", "__ne__", "__repr__"), {}),
)
"""What is written together, with the options of attrs that leave out the rest. Most classes are never compared or shown."""


class _Part:
    """Some attributes of `cls` that attrs will write; `source` is the class as it was before the decorator."""

    __slots__ = ("cls", "names", "options", "source")

    def __init__(self, source: type, names: tuple[str, ...], options: Mapping[str, Any]) -> None:
        self.cls = source
        self.source: type | None = source
        self.names = names
        self.options = options

    def write(self) -> None:
        """Put the attributes into the class, once."""
        with _WRITING:
            if self.source is None:
                return
            make: Callable[[type], type] = attrs.frozen(**self.options)
            written = vars(make(self.source))
            for name in self.names:
                if isinstance(vars(self.cls).get(name), _Unwritten):
                    if name in written:
                        setattr(self.cls, name, written[name])
                    else:
                        delattr(self.cls, name)
            self.source = None


class _Unwritten:
    """Stands in a class for an attribute until attrs writes it. What attrs does not write is inherited."""

    __slots__ = ("name", "part")

    def __init__(self, name: str, part: _Part) -> None:
        self.name = name
        self.part = part

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        self.part.write()
        cls = self.part.cls
        members: Mapping[str, Any] = vars(cls)
        if self.name not in members:
            return getattr(cast(Any, super(cls, cast(Any, owner if instance is None else instance))), self.name)
        written = members[self.name]
        bind: Any = getattr(written, "__get__", None)
        return written if bind is None else bind(instance, owner)


@attrs.frozen
class _Sample:
    """Has the methods that refuse changes: the same ones in each frozen class, by which attrs knows it as frozen."""


def _decorator(maybe_cls: type | None = None, /, *, kw_only: bool = False) -> type | Callable[[type], type]:
    """See `attrs.frozen`. It has no other options of it."""
    make = partial(_lazy, kw_only=kw_only)
    return make if maybe_cls is None else make(maybe_cls)


def _lazy(source: type, kw_only: bool) -> type:
    if any(isinstance(value, cached_property) for value in vars(source).values()):
        at_once: Callable[[type], type] = attrs.frozen(kw_only=kw_only)
        return at_once(source)  # attrs gives each cached property a slot
    fields = _fields(source)
    bases = source.__mro__[1:-1]
    slots = [name for name in fields if not any(name in getattr(base, "__slots__", ()) for base in bases)]
    if not any("__weakref__" in vars(base) for base in bases):
        slots.append("__weakref__")
    members = {name: value for name, value in vars(source).items() if name not in ("__dict__", "__weakref__", *fields)}
    members |= {
        "__qualname__": source.__qualname__,
        "__slots__": tuple(slots),
        "__setattr__": _Sample.__setattr__,
        "__delattr__": _Sample.__delattr__,
    }
    parts = [_Part(source, names, {"kw_only": kw_only, **options}) for names, options in _PARTS]
    for part in parts:
        members |= {name: _Unwritten(name, part) for name in part.names if name not in members}
    cls = type(source)(source.__name__, source.__bases__, members)
    for part in parts:
        part.cls = cls
    _rebind(source, cls)
    return cls


def _rebind(source: type, cls: type) -> None:
    """Let `super()` and `__class__` in the methods mean the new class."""
    for value in vars(source).values():
        function: Any = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        for cell in getattr(function, "__closure__", None) or ():
            if cell.cell_contents is source:
                cell.cell_contents = cls


def _fields(source: type) -> Iterable[str]:
    return [name for name, kind in _annotations(source).items() if not _is_class_variable(kind)]


def _is_class_variable(kind: Any) -> bool:
    if isinstance(kind, str):
        return kind.startswith(("ClassVar", "typing.ClassVar"))
    return kind is ClassVar or get_origin(kind) is ClassVar


if sys.version_info >= (3, 14):
    from annotationlib import Format, get_annotations

    def _annotations(cls: type) -> Mapping[str, Any]:
        return get_annotations(cls, format=Format.FORWARDREF)  # some names are only for type checkers
else:

    def _annotations(cls: type) -> Mapping[str, Any]:
        own: Mapping[str, Any] = vars(cls).get("__annotations__", {})
        return own


# To type checkers it is the decorator of attrs, which mypy knows by its name.
if TYPE_CHECKING:
    from attrs import frozen
else:
    frozen = _decorator
