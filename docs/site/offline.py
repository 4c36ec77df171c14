"""Hook of mkdocs: a built page that would load something from another host fails the build."""

from __future__ import annotations

import logging
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

log = logging.getLogger("mkdocs.hooks.offline")
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
INFORMATIVE = {"canonical", "prev", "next", "alternate"}
"""Relations of a `link` that a browser does not load."""
IN_STYLES = re.compile(r"""(?:url\(|@import\s+)["']?((?:https?:)?//[^"')\s]+)""")


class _Loads(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        url = values.get(LOADED.get(tag, "")) or ""
        if re.match(r"(https?:)?//", url) and values.get("rel") not in INFORMATIVE:
            self.found.append(url)
        if "mermaid" in (values.get("class") or "").split():
            self.found.append("the code of mermaid, which the theme's script loads")


def loads(page: str) -> list[str]:
    """What a page loads from other hosts."""
    parser = _Loads()
    parser.feed(page)
    return [*parser.found, *IN_STYLES.findall(page)]


def on_post_build(config: Any) -> None:
    """Check each page and each style sheet."""
    site = Path(config.site_dir)
    for path in sorted([*site.rglob("*.html"), *site.rglob("*.css")]):
        text = path.read_text(encoding="utf-8")
        for url in loads(text) if path.suffix == ".html" else IN_STYLES.findall(text):
            log.warning("%s loads %s", path.relative_to(site), url)
