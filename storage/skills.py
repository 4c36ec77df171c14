"""Skills: folders with a SKILL.md whose front matter names and describes them. Blocks on the disk.

Looked for in `$CODEX_HOME/skills`, in `.agents/skills` and `.codex/skills` of the folders from the project's root to the
working directory, and in extra roots a client names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from spindle.storage.config.layers import folders_up, project_root
from spindle.storage.home import Home

DEPTH = 6
"""Folders below a root that are searched."""
MAX_NAME, MAX_DESCRIPTION = 64, 1024


@frozen
class Skill:
    """One skill. `scope` is `user` (home, extra roots) or `repo`."""

    name: str
    description: str
    short_description: str | None
    path: Path
    scope: str


@frozen
class FoundSkills:
    """Skills by name, and the files that could not be understood: (path, why)."""

    skills: Sequence[Skill]
    errors: Sequence[tuple[Path, str]]


def find_skills(home: Home, cwd: Path, extra: Sequence[Path] = ()) -> FoundSkills:
    """Look for skills as a thread in `cwd` would have them. The first of two files at one real path counts."""
    root = project_root(cwd, (".git",))
    repo = [folder / name / "skills" for folder in folders_up(cwd, root) for name in (".agents", ".codex")]
    skills: dict[Path, Skill] = {}
    errors: list[tuple[Path, str]] = []
    for scope, folder in [*(("repo", f) for f in repo), ("user", home.path / "skills"), *(("user", f) for f in extra)]:
        for path in _files(folder, DEPTH):
            real = path.resolve()
            if real in skills:
                continue
            try:
                skills[real] = _read(real, scope)
            except (OSError, ValueError) as error:
                errors.append((path, str(error)))
    return FoundSkills(sorted(skills.values(), key=lambda s: (s.name, s.path)), errors)


def _files(folder: Path, depth: int) -> list[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return []
    out = [folder / "SKILL.md"] if (folder / "SKILL.md").is_file() else []
    if depth:
        for entry in entries:
            if entry.is_dir() and not entry.name.startswith("."):
                out += _files(entry, depth - 1)
    return out


def _read(path: Path, scope: str) -> Skill:
    lines = path.read_text(encoding="utf-8").splitlines()
    if not lines or lines[0].strip() != "---" or "---" not in [line.strip() for line in lines[1:]]:
        raise ValueError("missing YAML frontmatter delimited by ---")
    fields: dict[str, str] = {}
    for line in lines[1:]:
        if line.strip() == "---":
            break
        key, colon, value = line.partition(":")
        if colon:
            fields[key.strip()] = value.strip().strip("\"'")
    name, description = fields.get("name") or path.parent.name, fields.get("description", "")
    if not description:
        raise ValueError("missing field `description`")
    for label, value, most in (("name", name, MAX_NAME), ("description", description, MAX_DESCRIPTION)):
        if len(value) > most:
            raise ValueError(f"invalid {label}: exceeds maximum length of {most} characters")
    return Skill(name, description, fields.get("short-description"), path, scope)
