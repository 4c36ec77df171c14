"""Fails unless a tag may be released: `python .ci/check_tag.py v1.2.3`.

The tag must be `v` and the version of pyproject.toml, and CHANGELOG.md must have a section for that version.
"""

import re
import sys
import tomllib
from pathlib import Path


def fault(tag: str, root: Path) -> str | None:
    """What keeps the tag from being released, or None."""
    version = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    if tag != f"v{version}":
        return f"the tag is {tag}, but the version in pyproject.toml is {version}: expected the tag v{version}"
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## {re.escape(version)} - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        return f"CHANGELOG.md has no section `## {version} - YYYY-MM-DD`"
    return None


if __name__ == "__main__":
    sys.exit(fault(sys.argv[1], Path(__file__).parents[1]))
