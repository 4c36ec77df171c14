"""The house has three floors, and a floor imports only what is below it.

`rpc` is at the bottom, `storage` stands on it, `actors` on both; `src/spindle` is the front door, which nobody inside
walks through. The rules are read off the syntax trees, so an import inside a function or under TYPE_CHECKING counts as
well, and so does a module's full dotted name in a string, which is how a lazy import is written.
"""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BELOW: dict[str, frozenset[str]] = {
    "rpc": frozenset(),
    "storage": frozenset({"rpc"}),
    "actors": frozenset({"rpc", "storage"}),
}
FLOORS = frozenset(BELOW)
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
                # `from spindle import rpc` names a floor; `from spindle.rpc import x` is judged by its origin alone.
                if origin == "spindle":
                    yield from ((node.lineno, f"spindle.{alias.name}") for alias in names)
                else:
                    yield node.lineno, origin
            case ast.Constant(value=str(text)) if DOTTED.fullmatch(text) and text.split(".")[1] in FLOORS:
                yield node.lineno, text
            case _:
                pass


def trespasses(source: str, floor: str, package: list[str]) -> list[str]:
    """What `source`, a module of `floor`, imports from the front door or from a floor that is not below it."""
    allowed = BELOW[floor] | {floor}
    return [
        f"line {line}: {name}"
        for line, name in imported(source, package)
        if name.split(".")[0] == "spindle" and (name == "spindle" or name.split(".")[1] not in allowed)
    ]


def bare(source: str, package: list[str]) -> list[str]:
    """Imports in `source` that reach a floor by its folder's name instead of through `spindle`."""
    return [f"line {line}: {name}" for line, name in imported(source, package) if name.split(".")[0] in FLOORS]


@pytest.mark.parametrize("floor", sorted(FLOORS))
def test_a_floor_imports_only_what_is_below_it(floor: str) -> None:
    files = list(python_files(floor))
    assert files, f"{floor}/ holds no modules"
    found = {
        str(path.relative_to(ROOT)): lines
        for path in files
        if (lines := trespasses(path.read_text(encoding="utf-8"), floor, package_of(path)))
    }
    assert found == {}


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
    ],
)
def test_a_forbidden_import_is_found(floor: str, statement: str) -> None:
    assert trespasses(statement, floor, ["spindle", floor, "inner"]) != []


@pytest.mark.parametrize(
    ("floor", "statement"),
    [
        ("rpc", "import trio\nfrom spindle.rpc.protocol import envelope"),
        ("rpc", "from . import lines\nfrom ..protocol import items"),
        ("rpc", "'''See spindle.actors.registry.registry for the other side.'''"),
        ("storage", "from spindle.rpc.protocol.items import UserMessageItem"),
        ("actors", "from spindle.storage import home\nfrom spindle import rpc"),
    ],
)
def test_an_allowed_import_is_accepted(floor: str, statement: str) -> None:
    assert trespasses(statement, floor, ["spindle", floor, "inner"]) == []


def test_a_bare_import_is_seen_and_a_full_one_is_not() -> None:
    package = ["spindle", "actors"]
    assert bare("import rpc", package) == ["line 1: rpc"]
    assert bare("\nfrom storage.rollout import lines", package) == ["line 2: storage.rollout"]
    assert bare("from spindle.storage.rollout import lines\nfrom . import rpc", package) == []
