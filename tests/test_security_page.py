"""docs/security.md names a test for each promise, and each test exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/security.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def promises() -> list[str]:
    """The rows of the table, without the header."""
    part = PAGE.read_text().partition("## Promises\n")[2].partition("\n## ")[0]
    return [line for line in part.splitlines() if line.startswith("| ")][2:]


def missing(text: str) -> list[str]:
    """The tests that `text` names and that do not exist."""
    return [f"{file}::{name}" for file, name in NAMED.findall(text) if name not in named_in(ROOT / file)]


def named_in(file: Path) -> set[str]:
    if not file.is_file():
        return set()
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = {node.name for node in ast.parse(file.read_text()).body if isinstance(node, functions)}
    return {name for name in found if name.startswith("test_")}


def test_each_promise_names_a_test() -> None:
    assert len(promises()) > 25
    assert [row for row in promises() if not NAMED.search(row.split("|")[2])] == []


def test_each_test_that_is_named_exists() -> None:
    assert missing(PAGE.read_text()) == []


@pytest.mark.parametrize("name", ["tests/nowhere.py::test_it", "tests/test_security_page.py::test_it"])
def test_a_name_without_a_test_is_found(name: str) -> None:
    assert missing(f"| a promise | `{name}` |") == [name]
