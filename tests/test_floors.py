"""The house has floors, and a floor imports only what is below it.

`rpc` is at the bottom, `storage` stands on it, the floors of `actors` on both; `src/spindle` is the front door, which nothing
inside imports. docs/architecture.md says what lives on each floor. The rules are read from the syntax trees, so an import
inside a function or under TYPE_CHECKING counts, and so does a module's full dotted name in a string, which is how a lazy
import is written. The same trees show that no modules import each other in a circle of any length.
"""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STOREYS = (
    "rpc",
    "storage",
    "actors.kernel",
    "actors.tasks",
    "actors.tools",
    "actors.settings",
    "actors.delivery",
    "actors.services",
    "actors.turn",
    "actors.thread",
    "actors.registry",
    "actors.clients",
    "actors",
)
"""From the bottom to the top; the last one is what lies in `actors/` itself and in `actors/embedding/`."""
BELOW: dict[str, frozenset[str]] = {
    **{name: frozenset(STOREYS[:number]) for number, name in enumerate(STOREYS)},
    # these could be taken out and used elsewhere as they are
    "actors.kernel": frozenset(),
    "actors.tasks": frozenset({"actors.kernel"}),
    "actors.tools": frozenset({"rpc", "storage"}),
}
FLOORS = frozenset({"rpc", "storage", "actors"})
EVERYWHERE = (*sorted(FLOORS), "src", "tests", "examples", "benchmarks")
SHAPELESS = re.compile(r"_*(utils?|helpers?|managers?|commons?)")
DOTTED = re.compile(r"spindle(\.[A-Za-z_]\w*)+")


def python_files(*folders: str) -> Iterator[Path]:
    """Every Python file of the repository's top-level `folders`, once: symbolic links are not followed."""
    for folder in folders:
        for where, subfolders, names in os.walk(ROOT / folder):
            subfolders[:] = sorted(name for name in subfolders if name != "__pycache__" and not name.startswith("."))
            yield from (Path(where, name) for name in sorted(names) if name.endswith(".py"))


def package_of(path: Path) -> list[str]:
    """The dotted package, as parts, that relative imports in `path` count from."""
    parts = path.relative_to(ROOT).parts[:-1]
    return [*parts[1:]] if parts[0] == "src" else ["spindle", *parts]


def imported(source: str, package: list[str]) -> Iterator[tuple[int, str]]:
    """Line and absolute name of each module that `source`, a module of `package`, imports or names in a string."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = package[: len(package) - level + 1] if level else []
                origin = ".".join([*base, *([module] if module else [])])
                # `from spindle.actors import turn` names a floor; `from spindle.rpc import x` is judged by its origin.
                if origin in ("spindle", "spindle.actors"):
                    yield from ((node.lineno, f"{origin}.{alias.name}") for alias in names)
                else:
                    yield node.lineno, origin
            case ast.Constant(value=str(text)) if DOTTED.fullmatch(text) and text.split(".")[1] in FLOORS:
                yield node.lineno, text
            case _:
                pass


def storey(module: str) -> str | None:
    """The floor that `module` is on; None for the front door."""
    parts = module.split(".")[1:]
    inner = ".".join(parts[:2])
    return inner if inner in BELOW else parts[0] if parts and parts[0] in FLOORS else None


def trespasses(source: str, floor: str, package: list[str]) -> list[str]:
    """What `source`, a module of `floor`, imports from the front door or from a floor that is not below it."""
    return [
        f"line {line}: {name}"
        for line, name in imported(source, package)
        if name.split(".")[0] == "spindle" and storey(name) not in BELOW[floor] | {floor}
    ]


def bare(source: str, package: list[str]) -> list[str]:
    """Imports in `source` that reach a floor by its folder's name instead of through `spindle`."""
    return [f"line {line}: {name}" for line, name in imported(source, package) if name.split(".")[0] in FLOORS]


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name; a package stands for its `__init__`."""
    found = {}
    for path in python_files("rpc", "storage", "actors", "src"):
        name = path.stem if path.stem != "__init__" else ""
        found[".".join([*package_of(path), name]).rstrip(".")] = path
    return found


def test_every_module_is_on_a_floor() -> None:
    assert {storey(name) for name in modules()} == {*BELOW, None}


@pytest.mark.parametrize("floor", STOREYS)
def test_a_floor_imports_only_what_is_below_it(floor: str) -> None:
    found = {
        str(path.relative_to(ROOT)): lines
        for name, path in modules().items()
        if storey(name) == floor and (lines := trespasses(path.read_text(encoding="utf-8"), floor, package_of(path)))
    }
    assert found == {}


def test_the_methods_of_one_noun_know_nothing_of_those_of_another() -> None:
    methods = "spindle.actors.clients.methods"
    found = {
        name: [other for _, other in imported(path.read_text(encoding="utf-8"), package_of(path)) if other != name]
        for name, path in modules().items()
        if name.startswith(f"{methods}.")
    }
    assert found
    assert [(name, other) for name, others in found.items() for other in others if other.startswith(methods)] == []


def imports(sources: Mapping[str, tuple[str, list[str]]]) -> dict[str, set[str]]:
    """By module name, the modules that it imports; `sources` are (source, package)."""
    graph: dict[str, set[str]] = {}
    for name, (source, package) in sources.items():
        graph[name] = set()
        for node in ast.walk(ast.parse(source)):
            origins: list[str] = []
            if isinstance(node, ast.Import):
                origins = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else []
                origin = ".".join([*base, *([node.module] if node.module else [])])
                inner = [f"{origin}.{alias.name}" for alias in node.names]
                origins = [each if each in sources else origin for each in inner]
            graph[name] |= {each for each in origins if each in sources and each != name}
    return graph


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle, in order; empty if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_modules_import_each_other_in_a_circle() -> None:
    sources = {name: (path.read_text(encoding="utf-8"), package_of(path)) for name, path in modules().items()}
    assert circle(imports(sources)) == []


@pytest.mark.parametrize("length", [2, 3, 7])
@pytest.mark.parametrize("form", ["import m{}", "from m{} import x", "def late():\n    from m{} import x"])
def test_a_circle_of_any_length_is_seen(length: int, form: str) -> None:
    sources: dict[str, tuple[str, list[str]]]
    sources = {f"m{number}": (form.format((number + 1) % length), []) for number in range(length)}
    assert set(circle(imports(sources))) == set(sources)


def test_a_circle_for_types_only_is_seen() -> None:
    types = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.a import A"
    sources = {"p": ("", ["p"]), "p.a": ("from p import b", ["p"]), "p.b": (types, ["p"])}
    assert set(circle(imports(sources))) == {"p.a", "p.b"}


def test_no_module_imports_a_floor_by_its_bare_name() -> None:
    found = {
        str(path.relative_to(ROOT)): lines
        for path in python_files(*EVERYWHERE)
        if (lines := bare(path.read_text(encoding="utf-8"), package_of(path)))
    }
    assert found == {}


def test_importing_everything_loads_no_floor_under_its_bare_name() -> None:
    # Run in the root, where `import rpc` would succeed: a module loaded under two names has two of every class.
    program = (
        "import importlib, pkgutil, sys, spindle\n"
        "for module in pkgutil.walk_packages(spindle.__path__, 'spindle.'):\n"
        "    if not module.name.endswith('.__main__'):\n"
        "        importlib.import_module(module.name)\n"
        f"print(sorted({{name.split('.')[0] for name in sys.modules}} & {set(FLOORS)!r}))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_every_file_name_says_what_is_inside() -> None:
    shapeless = [
        str(path.relative_to(ROOT))
        for path in python_files(*EVERYWHERE)
        if any(SHAPELESS.fullmatch(part.removesuffix(".py")) for part in path.relative_to(ROOT).parts)
    ]
    assert shapeless == []


@pytest.mark.parametrize("floor", sorted(FLOORS))
def test_the_package_reaches_a_floor_through_a_link(floor: str) -> None:
    assert os.readlink(ROOT / "src" / "spindle" / floor) == f"../../{floor}"


@pytest.mark.parametrize(
    ("floor", "statement"),
    [
        ("rpc", "import spindle.storage.journal"),
        ("rpc", "from spindle.actors.kernel import Mailbox"),
        ("rpc", "from spindle import storage"),
        ("rpc", "from ...storage import journal"),
        ("rpc", "def late():\n    from spindle.actors import registry"),
        ("rpc", "WHERE = 'spindle.actors.registry.registry'"),
        ("storage", "from spindle.actors import registry"),
        ("storage", "import spindle"),
        ("storage", "from spindle import open_runtime"),
        ("actors", "from spindle.cli import main"),
        ("actors.kernel", "from spindle.rpc.protocol.errors import RpcError"),
        ("actors.kernel", "from spindle.actors.tasks.faults import message_of"),
        ("actors.tasks", "import spindle.rpc.protocol.errors"),
        ("actors.tools", "from spindle.actors.kernel.mailbox import Reply"),
        ("actors.tools", "if TYPE_CHECKING:\n    from spindle.actors.thread.actor import ThreadActor"),
        ("actors.tools", "def late():\n    from spindle.actors import settings"),
        ("actors.settings", "from spindle.actors.services.services import Services"),
        ("actors.turn", "from spindle.actors.thread.core import ThreadCore"),
        ("actors.turn", "from ...thread import core"),
        ("actors.thread", "WHERE = 'spindle.actors.registry.registry'"),
        ("actors.registry", "from spindle.actors.clients.connection import Connection"),
        ("actors.clients", "from spindle.actors.runtime import Runtime"),
        ("actors.clients", "from spindle.actors import runtime"),
    ],
)
def test_a_forbidden_import_is_found(floor: str, statement: str) -> None:
    assert trespasses(statement, floor, ["spindle", *floor.split("."), "inner"]) != []


@pytest.mark.parametrize(
    ("floor", "statement"),
    [
        ("rpc", "import trio\nfrom spindle.rpc.protocol import envelope"),
        ("rpc", "from . import lines\nfrom ..protocol import items"),
        ("rpc", "'''See spindle.actors.registry.registry for the other side.'''"),
        ("storage", "from spindle.rpc.protocol.items import UserMessageItem"),
        ("actors", "from spindle.storage import home\nfrom spindle import rpc"),
        ("actors.turn", "from spindle.actors.tools.interface import Tool\nfrom spindle.actors.settings import modes"),
        ("actors.clients", "from spindle.actors.registry.backend import Backend"),
        ("actors", "from spindle.actors.clients import connection\nfrom spindle.actors import signals"),
    ],
)
def test_an_allowed_import_is_accepted(floor: str, statement: str) -> None:
    assert trespasses(statement, floor, ["spindle", *floor.split("."), "inner"]) == []


def test_a_bare_import_is_seen_and_a_full_one_is_not() -> None:
    package = ["spindle", "actors"]
    assert bare("import rpc", package) == ["line 1: rpc"]
    assert bare("\nfrom storage.rollout import lines", package) == ["line 2: storage.rollout"]
    assert bare("from spindle.storage.rollout import lines\nfrom . import rpc", package) == []
