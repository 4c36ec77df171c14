"""Hook of mkdocs: the site also has the files of the repository that pages link to, and their links fit both.

A link in a page is relative to the page's place in the repository, so that it works there too. Files outside docs/ are in
the site below project/, pages as pages and programs as files to download.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"(?<![`!])(\[[^\]]*\])\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]+)?\)")
FENCED = re.compile(r"^(```+).*?^\1\s*$", re.MULTILINE | re.DOTALL)
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md")
FOLDER = "project/"


def placed(path: str) -> str:
    """Where a file of the repository is in the site."""
    return path.removeprefix("docs/") if path.startswith("docs/") else FOLDER + path


def origin(place: str) -> str:
    """The file of the repository that is at this place of the site."""
    return place.removeprefix(FOLDER) if place.startswith(FOLDER) else f"docs/{place}"


def linked(text: str, page: str) -> list[str]:
    """The files of the repository that the page at `page` links to."""
    return [_target(page, match[2]) for match in LINK.finditer(FENCED.sub("", text))]


def moved(text: str, page: str) -> str:
    """The text of a page of the repository, with links that fit the site."""

    def link(match: re.Match[str]) -> str:
        place = posixpath.relpath(placed(_target(page, match[2])), posixpath.dirname(placed(page)))
        return f"{match[1]}({place}{match[3] or ''})"

    return _outside_of_blocks(text, lambda prose: LINK.sub(link, prose))


def _target(page: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link))


def _outside_of_blocks(text: str, change: Callable[[str], str]) -> str:
    out, end = "", 0
    for block in FENCED.finditer(text):
        out += change(text[end : block.start()]) + block[0]
        end = block.end()
    return out + change(text[end:])


def on_files(files: Any, config: Any) -> Any:
    """Add the project's pages, and each file outside docs/ that a page links to."""
    from mkdocs.structure.files import File  # not installed where only the tests run

    pages = {path: (ROOT / path).read_text(encoding="utf-8") for path in PAGES}
    for page in files.documentation_pages():
        pages[f"docs/{page.src_uri}"] = page.content_string
    wanted = {target for page, text in pages.items() for target in linked(text, page) if not target.startswith("docs/")}
    for path in sorted({*PAGES, *wanted}):
        if (ROOT / path).is_file():  # a link to anything else is reported by mkdocs
            files.append(File.generated(config, placed(path), abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Change the links of a page."""
    return moved(markdown, origin(page.file.src_uri))
