"""Docstrings, comments and pages do not use words that made the text hard to read.

A reader whose third language is English must understand each sentence at the first reading. These words were habits of the
first authors. The field has plainer ones: client, caller, again, notified, receives.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
AVOIDED = re.compile(
    r"\b(anew|likewise|whoever|somebody|henceforth|thereof|wherein|(?:told|tells?|hears?|heard)\s+of|lets?\s+go|letting\s+go)\b",
    re.IGNORECASE,
)
FOLDERS = ("rpc", "storage", "actors", "src", "tests", "examples", "benchmarks", "docs", ".ci")
PAGES = sorted(path for pattern in ("*.md", "docs/**/*.md", "benchmarks/*.md") for path in ROOT.glob(pattern))


def prose(source: str) -> Iterator[tuple[int, str]]:
    """(line, text) of each comment and docstring, those of attributes among them."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def avoided(source: str) -> list[tuple[int, str]]:
    """(line, words) of what a module should not say. Most modules have no such word at all, and are not parsed."""
    if AVOIDED.search(source) is None:
        return []
    return sorted((line, " ".join(words.split())) for line, text in prose(source) for words in AVOIDED.findall(text))


def test_words_are_found_in_comments_and_docstrings_only() -> None:
    source = '"""Whoever asks."""\nx = "somebody"  # built anew\nclass A:\n    y: int\n    """Is told\n    of it."""\n'
    assert avoided(source) == [(1, "Whoever"), (2, "anew"), (5, "told of")]


@pytest.mark.parametrize("folder", FOLDERS)
def test_code_is_described_in_the_words_of_the_field(folder: str) -> None:
    modules = sorted((ROOT / folder).rglob("*.py"))
    assert modules
    found = {str(path.relative_to(ROOT)): words for path in modules if (words := avoided(path.read_text(encoding="utf-8")))}
    assert found == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_are_written_in_the_words_of_the_field(page: Path) -> None:
    assert AVOIDED.findall(page.read_text(encoding="utf-8")) == []
