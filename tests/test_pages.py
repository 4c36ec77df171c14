"""The pages of documentation: their links, and the paths that they name. `test_code_blocks.py` runs their code."""

import re
from pathlib import Path

import pytest

import spindle

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "benchmarks/README.md"])
LINKED = re.compile(r"(?<!`)\[[^\]]*\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
SECTION = re.compile(r"^#+ (.+)$", re.MULTILINE)
PATH = re.compile(r"`((?:actors|rpc|storage|src|tests|docs|benchmarks|examples|\.ci|\.github)/[\w./-]*)`")


def anchors(page: Path) -> set[str]:
    titles = SECTION.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_link_leads_somewhere(page: Path) -> None:
    for where, section in LINKED.findall(page.read_text(encoding="utf-8")):
        target = page.parent / where if where else page
        assert target.exists(), where
        assert not section or section in anchors(target), f"{where}#{section}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_path_exists(page: Path) -> None:
    missing = [name for name in PATH.findall(page.read_text(encoding="utf-8")) if not (ROOT / name).exists()]
    assert missing == []


def test_each_public_name_is_there() -> None:
    assert set(spindle.__all__) == set(spindle._NAMES)
    for name in spindle.__all__:
        assert getattr(spindle, name) is not None
