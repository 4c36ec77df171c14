"""The tools could be lifted out as a library: they import nothing of ours but `storage` and `rpc`, now or later."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "actors" / "tools"
PACKAGE = "spindle.actors.tools"


def imported(path, source):
    """The modules that `source` imports, wherever in it; a member of a package that is a module counts as one."""
    package = f"{PACKAGE}.{'.'.join(path.relative_to(FOLDER).parts[:-1])}".rstrip(".").split(".")
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = package[: len(package) - level + 1] if level else []
                origin = ".".join([*base, *([module] if module else [])])
                yield origin
                yield from (f"{origin}.{alias.name}" for alias in names)
            case ast.Constant(value=str(text)) if text.startswith("spindle.actors."):
                yield text
            case _:
                pass


def modules():
    """Every module of the tools by its dotted name, with its file."""
    found = {}
    for path in FOLDER.rglob("*.py"):
        parts = path.relative_to(FOLDER).with_suffix("").parts
        found[".".join([PACKAGE, *(part for part in parts if part != "__init__")])] = path
    return found


def trespasses(path, source):
    def inside(name):
        return name == PACKAGE or name.startswith((f"{PACKAGE}.", "spindle.rpc.", "spindle.storage."))

    ours = [name for name in imported(path, source) if name == "spindle" or name.startswith("spindle.")]
    return [name for name in ours if not inside(name) and name not in ("spindle.rpc", "spindle.storage")]


def test_the_tools_import_nothing_of_ours_but_what_is_below_the_wall():
    found = {name: lines for name, path in modules().items() if (lines := trespasses(path, path.read_text()))}
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        "from spindle.actors.tasks.boundary import Tasks",
        "from spindle.actors import tasks",
        "from ..tasks import boundary",
        "def late():\n    import spindle.actors.kernel.mailbox",
        "WHERE = 'spindle.actors.thread.actor'",
        "from spindle import open_runtime",
    ],
)
def test_a_trespass_is_seen(source):
    assert trespasses(FOLDER / "dynamic.py", source) != []


def test_all_modules_load_without_the_rest_of_the_actors():
    program = (
        "import importlib, sys\n"
        f"for name in {sorted(modules())!r}:\n"
        "    if not name.endswith('__main__'):\n"
        "        importlib.import_module(name)\n"
        "print([name for name in sys.modules if name.startswith('spindle.actors.')"
        f" and not name.startswith('{PACKAGE}')])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def circle(arrows):
    """A circle among `arrows` (from -> to), as the names on it; empty if there is none."""
    done = set()

    def visit(name, way):
        if name in way:
            return way[way.index(name) :]
        if name in done:
            return []
        done.add(name)
        for following in sorted(arrows.get(name, ())):
            if found := visit(following, [*way, name]):
                return found
        return []

    return next((found for name in sorted(arrows) if (found := visit(name, []))), [])


def arrows(unit):
    """From each `unit` of a module's name to those that it imports."""
    known = modules()
    found: dict[str, set[str]] = {}
    for name, path in known.items():
        for other in imported(path, path.read_text()):
            if other in known and unit(other) != unit(name):
                found.setdefault(unit(name), set()).add(unit(other))
    found.pop(PACKAGE, None)
    return found


def test_no_modules_import_each_other_in_a_circle():
    assert circle(arrows(lambda name: name)) == []


def test_no_packages_import_each_other_in_a_circle():
    assert circle(arrows(lambda name: ".".join(name.split(".")[:4]))) == []


def test_a_circle_is_seen():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]
