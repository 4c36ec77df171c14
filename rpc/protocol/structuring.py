"""Converter hooks that structure JSON values as the protocol's types: strict about types, tolerant of unknown members.

Members that `vocabulary` refuses are errors; members that no version knows are logged.

A hook takes the value and its type and raises `InvalidValue`; `by_...` builds a hook for a kind of type. On an error
each hook adds its part of the path, so a valid value costs nothing for it.
"""

import logging
from collections.abc import Callable, Sequence
from types import NoneType
from typing import Any, Literal, TypeAlias, cast, get_args, get_origin

import attrs
from cattrs import Converter

from spindle.rpc.protocol.invalid import InvalidValue, Unsupported, describe, invalid_type, unknown_variant
from spindle.rpc.protocol.shapes import ABSENT, Absent, Absolute, Bounds, Keyed, Path, Tagged, Untagged, wire_name
from spindle.rpc.protocol.vocabulary import HARMLESS, REFUSED

log = logging.getLogger("spindle")

Hook: TypeAlias = Callable[[Any, Any], Any]


def structure_str(value: Any, _: Any) -> str:
    if isinstance(value, str):
        return value
    raise invalid_type(value, "a string")


def structure_bool(value: Any, _: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise invalid_type(value, "a boolean")


def structure_float(value: Any, _: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise invalid_type(value, "f64")


def structure_path(value: Any, _: Any) -> str:
    path = structure_str(value, _)
    if "\0" in path:
        raise InvalidValue("invalid value: a path with a NUL character")
    return path


def structure_absolute(value: Any, _: Any) -> str:
    if not isinstance(value, str):
        raise invalid_type(value, "path string")
    if not value.startswith("/"):
        raise InvalidValue("AbsolutePathBuf deserialized without a base path")
    return structure_path(value, _)


def by_bounds(bounds: Bounds) -> Hook:
    name, low, high = bounds.name, bounds.low, bounds.high

    def structure_int(value: Any, _: Any) -> int:
        if isinstance(value, int) and not isinstance(value, bool):
            if low <= value <= high:
                return value
            raise InvalidValue(f"invalid value: {describe(value)}, expected {name}")
        raise invalid_type(value, name)

    return structure_int


def by_literal(t: Any) -> Hook:
    variants = cast(tuple[str, ...], get_args(t))
    known = frozenset(variants)

    def structure_literal(value: Any, _: Any) -> str:
        if not isinstance(value, str):
            raise invalid_type(value, "string or map")
        if value not in known:
            raise unknown_variant(value, variants)
        return value

    return structure_literal


def by_sequence(t: Any, converter: Converter) -> Hook:
    (element,) = get_args(t)
    hook = converter.get_structure_hook(element)

    def structure_sequence(values: Any, _: Any) -> tuple[Any, ...]:
        if not isinstance(values, list | tuple):
            raise invalid_type(values, "a sequence")
        done: list[Any] = []
        try:
            done.extend(hook(value, element) for value in cast(Sequence[Any], values))
        except InvalidValue as error:
            error.within(f"[{len(done)}]")
            raise
        return tuple(done)

    return structure_sequence


def by_mapping(t: Any, converter: Converter) -> Hook:
    _, element = get_args(t)
    hook = converter.get_structure_hook(element)
    plain = element is object

    def structure_mapping(values: Any, _: Any) -> dict[str, Any]:
        if not isinstance(values, dict):
            raise invalid_type(values, "a map")
        known = cast(dict[str, Any], values)
        if plain:
            return known
        done: dict[str, Any] = {}
        for key, value in known.items():
            try:
                done[key] = hook(value, element)
            except InvalidValue as error:
                error.within(key)
                raise
        return done

    return structure_mapping


def by_optional(t: Any, converter: Converter) -> Hook:
    inner = [arm for arm in get_args(t) if arm is not NoneType and arm is not Absent]
    if len(inner) != 1:
        raise TypeError(f"annotate the union {t} with Tagged, Keyed or Untagged")
    (arm,) = inner
    hook = converter.get_structure_hook(arm)

    def structure_optional(value: Any, _: Any) -> Any:
        return None if value is None else hook(value, arm)

    return structure_optional


def by_annotated(t: Any, converter: Converter) -> Hook:
    union, *notes = get_args(t)
    for note in notes:
        match note:
            case Bounds():
                return by_bounds(note)
            case Absolute():
                return structure_absolute
            case Path():
                return structure_path
            case Tagged():
                return by_tagged(union, note, converter)
            case Keyed():
                return by_keyed(union, note, converter)
            case Untagged():
                return by_untagged(union, note, converter)
            case _:
                continue
    hook: Hook = converter.get_structure_hook(union)
    return hook


def by_tagged(union: Any, note: Tagged, converter: Converter) -> Hook:
    arms = {tag: cls for cls in get_args(union) for tag in get_args(cls.__annotations__["type"])}
    names = tuple(arms)

    def structure_tagged(value: Any, _: Any) -> Any:
        if not isinstance(value, dict):
            raise invalid_type(value, f"internally tagged enum {note.name}")
        members = cast(dict[str, Any], value)
        tag = members.get("type", note.untyped)
        if tag is None and "type" not in members:
            raise InvalidValue("missing field `type`")
        if not isinstance(tag, str):
            error = invalid_type(tag, "variant identifier")
        elif arm := arms.get(tag):
            return converter.structure(members, arm)
        else:
            error = unknown_variant(tag, names)
        error.within("type")
        raise error

    return structure_tagged


def by_keyed(union: Any, note: Keyed, converter: Converter) -> Hook:
    words: set[str] = set()
    objects: dict[str, Any] = {}
    for arm in get_args(union):
        if get_origin(arm) is Literal:
            words.update(get_args(arm))
        else:
            (attribute,) = attrs.fields(arm)
            objects[wire_name(attribute)] = arm

    def structure_keyed(value: Any, _: Any) -> Any:
        if isinstance(value, str):
            if value in words:
                return value
            if value in objects:
                raise InvalidValue("invalid type: unit variant, expected struct variant")
            raise unknown_variant(value, note.variants)
        if not isinstance(value, dict):
            raise invalid_type(value, "string or map")
        members = cast(dict[str, Any], value)
        if len(members) != 1:
            raise InvalidValue("invalid value: map, expected map with a single key")
        (tag,) = members
        if tag in objects:
            return converter.structure(members, objects[tag])
        if tag in words:
            raise invalid_type(members[tag], "unit")
        raise unknown_variant(tag, note.variants)

    return structure_keyed


def by_untagged(union: Any, note: Untagged, converter: Converter) -> Hook:
    arms = [(arm, converter.get_structure_hook(arm)) for arm in get_args(union)]

    def structure_untagged(value: Any, _: Any) -> Any:
        for arm, hook in arms:
            try:
                return hook(value, arm)
            except Unsupported:
                raise
            except InvalidValue:
                continue
        raise InvalidValue(f"data did not match any variant of untagged enum {note.name}")

    return structure_untagged


def by_class(cls: Any, converter: Converter) -> Hook:
    # member -> attribute name, type, and whether null equals a missing member
    members: dict[str, tuple[str, Any, bool]] = {}
    required: dict[str, str] = {}
    hooks: dict[str, Hook] = {}  # of the members that have been sent: most never are
    for attribute in attrs.fields(cls):
        if not attribute.init:
            continue
        name = wire_name(attribute)
        has_default = attribute.default is not attrs.NOTHING
        skip_null = has_default and attribute.default is not ABSENT
        members[name] = attribute.name, attribute.type, skip_null
        if not has_default:
            required[attribute.name] = name
    find = members.get
    struct = cls.__name__
    tags = {wire_name(attribute) for attribute in attrs.fields(cls) if not attribute.init}
    refused, harmless = REFUSED.get(struct, {}), HARMLESS.get(struct, frozenset()) | tags

    def structure_class(value: Any, _: Any) -> Any:
        if not isinstance(value, dict):
            raise invalid_type(value, f"struct {struct}")
        found: dict[str, Any] = {}
        key = ""
        try:
            for key, member in cast(dict[str, Any], value).items():
                known = find(key)
                if known is not None:
                    name, kind, skip_null = known
                    if member is None and skip_null:
                        continue
                    hook = hooks.get(key)
                    if hook is None:
                        hook = hooks[key] = converter.get_structure_hook(kind)
                    found[name] = hook(member, kind)
                elif key in refused:
                    if member is not None and member not in refused[key]:
                        raise Unsupported("")
                elif key not in harmless:
                    log.info("ignored the unknown member %.100r of %s", key, struct)
        except InvalidValue as error:
            error.within(key)
            raise
        for name in required:
            if name not in found:
                raise InvalidValue(f"missing field `{required[name]}`")
        return cls(**found)

    return structure_class
