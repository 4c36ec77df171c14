"""What a daemon imports for its first answer, its first thread and its first turn. `imports.txt` lists it for readers.

Importing is most of what the first second costs, and it grows unseen: one import at the head of a module brings in all that
the other one imports. If this test fails and the module is needed at that moment, change the list. Otherwise import it where
it is used, under TYPE_CHECKING where only annotations name it, or by its name in a table.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from benchmarks.driving import Daemon, Speaker, configure

from spindle.actors.registry.ahead import MODEL, THREAD

LIST = Path(__file__).with_name("imports.txt")
STEPS = {"initialize": '{"id":1,', "thread/start": '{"id":2,', "turn": '"turn/completed"'}
"""The steps, and what is written at the end of each."""

PROGRAM = """
import math, os, sys, types

# nothing is imported ahead, after an endless pause, so each step shows what it imports itself
ahead = types.ModuleType("spindle.actors.registry.ahead")
ahead.THREAD, ahead.MODEL, ahead.WATCHED, ahead.PAUSE, ahead.import_ahead = (), (), (), math.inf, None
sys.modules[ahead.__name__] = ahead
before, write, marks = set(sys.modules), os.write, {marks!r}

def noted(fd, data):
    if marks and marks[0].encode() in bytes(data):
        names = [name for name, module in sys.modules.copy().items() if name not in before]
        names = [name for name in names if not name.startswith("spindle.") or not hasattr(sys.modules[name], "__path__")]
        with open({file!r}, "a") as file:
            print(*names, file=file)
        del marks[0]
    return write(fd, data)

os.write = noted
from spindle.cli import main
main()
"""


def listed() -> dict[str, set[str]]:
    """The modules in the list, by step. A line is a package, a colon, and names in it; a name alone is a package."""
    steps: dict[str, set[str]] = {}
    package = ""
    for line in LIST.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            step = steps[line.strip("[]")] = set()
        elif line and not line.startswith("#"):
            head, colon, names = line.partition(":")
            package = head if colon else package
            step |= {f"{package}.{name}".removeprefix("packages.") for name in (names if colon else line).split()}
    return steps


@pytest.fixture
def imported(tmp_path: Path) -> Mapping[str, set[str]]:
    """By step, our modules and the names of other packages that it imports in a real daemon; not the standard library."""
    model = Speaker()
    home = tmp_path / "home"
    home.mkdir()
    configure(home, model.url)
    file = tmp_path / "imported"
    daemon = Daemon(str(home), PROGRAM.format(marks=[*STEPS.values()], file=str(file)))
    try:
        daemon.run_turn(daemon.call("thread/start")["thread"]["id"], "hello")
    finally:
        daemon.kill()
        for pipe in (daemon.process.stdin, daemon.process.stdout):
            assert pipe is not None
            pipe.close()
        model.close()
    known: set[str] = set()
    steps: dict[str, set[str]] = {}
    for step, line in zip(STEPS, file.read_text().splitlines(), strict=True):
        names = {name if name.startswith("spindle.") else name.partition(".")[0] for name in line.split()}
        names -= {*sys.stdlib_module_names, "spindle", *known}
        steps[step] = names
        known |= names
    return steps


@pytest.mark.skipif(sys.platform != "linux", reason="the modules of the sandbox and of processes differ")
def test_each_step_imports_what_is_listed(imported: Mapping[str, set[str]]) -> None:
    for step, names in listed().items():
        ours = {name for name in imported[step] if name.startswith("spindle.")}
        wanted = {name for name in names if name.startswith("spindle.")}
        assert sorted(ours - wanted) == [], f"imported for {step}, and not listed there"
        assert sorted(wanted - ours) == [], f"listed for {step}, and not imported there"


def test_no_other_packages_are_imported_than_those_listed(imported: Mapping[str, set[str]]) -> None:
    allowed: set[str] = set()
    for step, names in listed().items():
        allowed |= names
        others = {name for name in imported[step] if not name.startswith("spindle.")}
        assert others - allowed == set(), step


def test_the_list_says_where_a_module_is_needed_first() -> None:
    steps = [*listed().values()]
    assert [*listed()] == [*STEPS]
    assert not steps[0] & steps[1]
    assert not (steps[0] | steps[1]) & steps[2]


def test_only_what_is_listed_is_imported_ahead() -> None:
    ours = {name for name in (*THREAD, *MODEL) if name.startswith("spindle.")}
    assert ours - set().union(*listed().values()) == set()
