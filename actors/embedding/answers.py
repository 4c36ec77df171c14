"""What a program may answer to a question, checked where it answers. Each function raises InvalidOption."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias, cast

from spindle.actors.embedding.checking import check_mapping, listed
from spindle.actors.embedding.failures import InvalidOption
from spindle.rpc.lenient import mapping, sequence, text
from spindle.rpc.protocol.approvals import ToolRequestUserInputQuestion
from spindle.rpc.protocol.shapes import JsonObject

UserAnswer: TypeAlias = str | Sequence[str]
"""One answer, or several of the options."""

_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "array": (list, tuple),
    "object": (dict,),
}
_JSON = (str, bool, int, float, list, tuple, dict, type(None))


def user_answers(
    questions: Sequence[ToolRequestUserInputQuestion], answers: Mapping[str, UserAnswer] | Sequence[UserAnswer]
) -> dict[str, list[str]]:
    """The answers by question id. They may be given by id or in order; a single text answers a single question."""
    if isinstance(answers, str):
        answers = [answers]
    if not isinstance(answers, Mapping):
        answers = listed("answers", answers)
        if len(answers) > len(questions):
            raise InvalidOption("answers", f"there are {len(answers)} for {len(questions)} questions")
        answers = {question.id: answer for question, answer in zip(questions, answers, strict=False)}
    asked = {question.id: question for question in questions}
    given: dict[str, list[str]] = {}
    for id, answer in answers.items():
        if id not in asked:
            raise InvalidOption("answers", f"there is no question {id!r}, but {_listed(asked)}")
        given[id] = _texts(asked[id], [answer] if isinstance(answer, str) else answer)
    return given


def _texts(question: ToolRequestUserInputQuestion, answers: object) -> list[str]:
    texts = [answer for answer in cast("Sequence[object]", answers) if isinstance(answer, str)] if (
        isinstance(answers, list | tuple)
    ) else None
    if texts is None or len(texts) != len(cast("Sequence[object]", answers)):
        raise InvalidOption("answers", f"{question.id}: must be a text or a list of texts")
    labels = [option.label for option in question.options or ()]
    if labels and not question.is_other and not set(labels).issuperset(texts):
        raise InvalidOption("answers", f"{question.id}: must be of the options {_listed(labels)}")
    return texts


def form_content(schema: JsonObject, content: Mapping[str, Any] | None) -> dict[str, Any]:
    """The values of a form. Its required members must be there, and each value be of its member's type and options."""
    check_mapping("content", {} if content is None else content)
    given = dict(content or {})
    if missing := [name for name in sequence(schema.get("required")) if name not in given]:
        raise InvalidOption("content", f"misses {_listed(missing)}")
    members = mapping(schema.get("properties"))
    for name, value in given.items():
        if name not in members:
            raise InvalidOption("content", f"the form has no member {name!r}, but {_listed(members)}")
        member = mapping(members[name])
        wanted, options = member.get("type"), sequence(member.get("enum"))
        if not _is_of(value, text(wanted)):
            raise InvalidOption("content", f"{name}: must be of type {wanted or 'JSON'}")
        if options and value not in options:
            raise InvalidOption("content", f"{name}: must be of the options {_listed(options)}")
    return given


def _is_of(value: object, kind: str) -> bool:
    kinds = _TYPES.get(kind, _JSON)
    return isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds)


def part_of(asked: JsonObject, given: JsonObject) -> JsonObject:
    """`given`, if it has the form of `asked` and permits nothing that was not asked for."""
    check_mapping("permissions", given)
    network: Any = given.get("network") or {}
    files = given.get("fileSystem")
    for members, known in ((given, ("network", "fileSystem")), (mapping(files), ("read", "write", "entries"))):
        if unknown := members.keys() - set(known):
            raise InvalidOption("permissions", f"there is no {_listed(unknown)}, but {_listed(known)}")
    try:
        wanted, paths = list(_paths(asked)), list(_paths(given))
        online = bool(network.get("enabled"))
    except (TypeError, KeyError, AttributeError):
        raise InvalidOption("permissions", "must have the form of the question's `permissions`") from None
    if online and not mapping(asked.get("network")).get("enabled"):
        raise InvalidOption("permissions", "the network was not asked for")
    for access, path in paths:
        if not any(
            (access != "write" or kind == "write") and (path == root or path.startswith(root.rstrip("/") + "/"))
            for kind, root in wanted
        ):
            raise InvalidOption("permissions", f"to {access} {path!r} was not asked for")
    return {name: value for name, value in given.items() if value is not None}


def _paths(permissions: JsonObject) -> Iterator[tuple[str, str]]:
    """Pairs of access and path."""
    files: Any = permissions.get("fileSystem") or {}
    for access in ("read", "write"):
        for path in files.get(access) or ():
            yield access, os.fspath(path)
    for entry in files.get("entries") or ():
        yield entry["access"], entry["path"]["path"]


def _listed(names: Any) -> str:
    return ", ".join(repr(name) for name in names) or "none"
