"""docs/architecture.md against the code: the floors, the diagrams of the lives, the walk, and the files of each task."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.state_diagrams import state_diagram
from tests.test_floors import BELOW, STOREYS, modules, storey

from spindle.actors.thread import life as thread_life
from spindle.actors.thread.agents import life as agent_life
from spindle.actors.turn import life as turn_life

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
CODE = re.compile(r"`([^`]+)`")
TASKS = [
    "Add a method for threads",
    "Add a notification",
    "Add a model provider",
    "Add a tool",
    "Change how long a thread lingers",
    "Add a column to the index",
    "Add an approval decision",
    "Add a transport",
]


def section(title: str) -> str:
    """The text under a heading, with the headings below it."""
    level, _, rest = re.split(rf"^(##+) ({re.escape(title)})$", PAGE, flags=re.MULTILINE)[1:]
    return re.split(rf"^#{{2,{len(level)}}} ", rest, flags=re.MULTILINE)[0]


def tables(text: str) -> Iterator[list[list[str]]]:
    """The tables in `text`, without their heads: rows of cells."""
    for table in re.findall(r"^\|.*\n\| ---.*\n((?:\|.*\n)+)", text, re.MULTILINE):
        yield [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()]


def paths(text: str) -> list[str]:
    """The Python files that `text` names, by their paths from the root."""
    return [name for name in CODE.findall(text) if re.fullmatch(r"[\w/]+/\w+\.py", name)]


def floor_of(path: str) -> str:
    found = storey(f"spindle.{path.removesuffix('.py').replace('/', '.')}")
    assert found is not None, path
    return found


def may_import(cell: str) -> str | frozenset[str]:
    """The cell of a floor: `all below`, or the folders."""
    return cell if cell == "all below" else frozenset(name.strip("/").replace("/", ".") for name in CODE.findall(cell))


def test_the_table_of_floors_is_the_one_that_is_checked() -> None:
    (rows,) = tables(section("Floors"))
    front_door, *floors = rows
    assert front_door[1] == "`src/spindle/`"
    assert [int(row[0]) for row in rows] == [*range(len(STOREYS) + 1, 0, -1)]
    assert [row[1].strip("`").strip("/").replace("/", ".") for row in reversed(floors)] == [*STOREYS]
    for number, row in enumerate(reversed(floors)):
        allowed = may_import(row[3])
        assert (frozenset(STOREYS[:number]) if allowed == "all below" else allowed) == BELOW[STOREYS[number]], row


@pytest.mark.parametrize(
    ("life", "table", "first"),
    [
        ("thread", thread_life.LIFE, thread_life.ThreadState.LOADING),
        ("turn", turn_life.LIFE, turn_life.FIRST),
        ("agent", agent_life.LIFE, agent_life.FIRST),
    ],
    ids=["thread", "turn", "agent"],
)
def test_the_diagram_is_drawn_from_the_table(life: str, table: Any, first: Any) -> None:
    article = "an" if life == "agent" else "a"
    assert state_diagram(table, first) in section(f"The life of {article} {life}")


WALK = section("A walk: one `turn/start`")


def test_the_walk_names_each_module_at_most_twice() -> None:
    named = Counter(paths(WALK))
    assert len(named) > 15
    assert [path for path in named if not (ROOT / path).is_file()] == []
    assert [path for path, times in named.items() if times > 2] == []


def classes() -> dict[str, set[str]]:
    """The floors that define a class of a name."""
    found: dict[str, set[str]] = {}
    for module, path in modules().items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and (floor := storey(module)) is not None:
                found.setdefault(node.name, set()).add(floor)
    return found


def test_the_walk_goes_up_only_through_an_interface_of_a_lower_floor() -> None:
    defined, ways = classes(), list(tables(WALK))
    assert len(ways) == 2
    climbs = 0
    for (here, _, by), (there, _, _) in (step for way in ways for step in pairwise(way)):
        known = {floor_of(here.strip("`"))} | BELOW[floor_of(here.strip("`"))]
        if floor_of(there.strip("`")) not in known:
            climbs += 1
            assert any(defined.get(name, set()) & known for name in CODE.findall(by)), f"{here} to {there}"
    assert climbs >= 5


def test_the_walk_ends_where_it_began() -> None:
    way_in, way_back = tables(WALK)
    assert way_in[0][0] == way_back[-1][0]
    assert floor_of(way_in[-1][0].strip("`")) == "storage"


def test_the_tasks_are_the_headings() -> None:
    assert re.findall(r"^### (.+)$", section("Where to change what"), re.MULTILINE) == TASKS


@pytest.mark.parametrize("task", TASKS)
def test_each_step_of_a_task_leads_to_files(task: str) -> None:
    text = re.sub(r"\n +", " ", section(task))
    steps = re.findall(r"^(\d+)\. (.+)$", text, re.MULTILINE)
    assert [int(number) for number, _ in steps] == [*range(1, len(steps) + 1)]
    assert len(steps) > 4
    assert [step for _, step in steps if not paths(step)] == []
    assert [path for path in paths(text) if not (ROOT / path).is_file()] == []
    assert paths(steps[-1][1])[0].startswith("tests/")
