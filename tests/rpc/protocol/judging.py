"""The treatment of each member that a version of the reference server has: served, refused or harmless.

python -m tests.rpc.protocol.judging

writes the two tables of `docs/protocol.md`: of the methods, and of their parameters.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import attrs

from spindle.rpc.protocol.catalog import METHODS, params_class
from spindle.rpc.protocol.shapes import Absent, wire_name
from spindle.rpc.protocol.vocabulary import HARMLESS, REFUSED

FACTS: Mapping[str, Sequence[str]] = json.loads(Path(__file__).with_name("members.json").read_text())

VERDICTS = ("served", "harmless", "refused")


def members(cls: Any) -> dict[str, Any]:
    """The attributes of a class, by the names of their members on the wire."""
    return {wire_name(attribute): attribute for attribute in attrs.fields(cls) if attribute.init}


def paths(method: str) -> Sequence[str]:
    """All paths of a method's parameters in a version; for the methods that the schemas omit, those of the class."""
    return FACTS.get(method) or sorted(members(params_class(method)) if params_class(method) is not None else ())


def verdict(kind: Any, path: Sequence[str]) -> str | None:
    """The treatment of a path in a value of this type; None if it is not decided."""
    if not path or kind in (object, Any):
        return "served"  # plain JSON is passed on whole
    first, rest = path[0], path[1:]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return verdict(arguments[0], path)
    if origin in (Sequence, Mapping):
        return verdict(arguments[-1], path)
    if origin in (Union, UnionType):
        return _of_union([arm for arm in arguments if arm not in (NoneType, Absent)], path)
    if origin is Literal:
        return "served" if first[1:-1] in arguments else "refused"
    if kind is str:
        return "served" if first.startswith("<") else None
    if not attrs.has(kind):
        return None
    if _tagged(kind) and first == f"<{attrs.fields_dict(kind)['type'].default}>":
        return verdict(kind, rest)
    name = kind.__name__
    if first in REFUSED.get(name, ()):
        return "refused"
    if first in HARMLESS.get(name, ()):
        return "harmless"
    attribute = members(kind).get(first)
    return None if attribute is None else verdict(attribute.type, rest)


def _of_union(arms: Sequence[Any], path: Sequence[str]) -> str | None:
    tagged = {attrs.fields_dict(arm)["type"].default: arm for arm in arms if attrs.has(arm) and _tagged(arm)}
    if tagged and path[0].startswith("<"):
        arm = tagged.get(path[0][1:-1])
        return "refused" if arm is None else verdict(arm, path[1:])
    verdicts = [verdict(arm, path) for arm in (tagged.get("function"), *arms) if arm is not None]
    return next((one for one in VERDICTS if one in verdicts), None)


def _tagged(arm: Any) -> bool:
    return "type" in attrs.fields_dict(arm)


def judged(method: str) -> Iterator[tuple[str, str | None]]:
    """(path, treatment) of each path, except those below a path that is not served: they share its treatment."""
    cut: list[str] = []
    for path in paths(method):
        if not any(path.startswith(f"{above}.") for above in cut):
            said = verdict(params_class(method), path.split("."))
            yield path, said
            if said != "served":
                cut.append(path)


def methods_table() -> str:
    """The first table of `docs/protocol.md`: the methods by the module of their types; experimental ones are slanted."""
    groups: dict[str, list[str]] = {}
    for method in METHODS.values():
        groups.setdefault(method.module, []).append(f"*`{method.name}`*" if method.experimental else f"`{method.name}`")
    rows = ["| about | methods |", "| --- | --- |"]
    for module, names in groups.items():
        about = (import_module(f"spindle.rpc.protocol.{module}").__doc__ or "").partition("\n")[0]
        rows.append(f"| {about} | {', '.join(names)} |")
    return "\n".join(rows)


def table() -> str:
    """The second table of `docs/protocol.md`.

    Members that are served completely have their first name, all others their path.
    """
    rows = ["| method | served | refused | harmless |", "| --- | --- | --- | --- |"]
    for method in METHODS:
        found: dict[str, list[str]] = {one: [] for one in VERDICTS}
        for path, said in judged(method):
            if said != "served" or not ("." in path or path.startswith("<")):
                found[str(said)].append(f"`{path}`")
        cells = [", ".join(found[one]) for one in ("served", "refused", "harmless")]
        rows.append(f"| `{method}` | {' | '.join(cells)} |".replace("  ", " "))
    return "\n".join(rows)


def write(page: Path) -> None:
    """Replace the tables of the page."""
    text = page.read_text(encoding="utf-8")
    for made in (methods_table(), table()):
        start = text.index(made.partition("\n")[0] + "\n")
        end = text.index("\n\n", start)
        text = text[:start] + made + text[end:]
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(__file__).parents[3] / "docs" / "protocol.md")
