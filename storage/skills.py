"""Skills: folders with a SKILL.md whose front matter names and describes them. Blocks on the disk.

Looked for in `$CODEX_HOME/skills` (Codex keeps its own in `.system` there), in `.agents/skills` and `.codex/skills` of the
folders from the project's root to the working directory, and in extra roots a client names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

from attrs import frozen

from spindle.rpc.protocol.values import clean
from spindle.storage.config.editing import edit
from spindle.storage.config.layers import folders_up, project_root
from spindle.storage.home import Home

DEPTH = 6
"""Folders below a root that are searched."""
MAX_NAME, MAX_DESCRIPTION = 64, 1024


Scope: TypeAlias = Literal["user", "repo", "system"]


@frozen
class Skill:
    """One skill. `scope` is `user` (home, extra roots), `repo` or `system`."""

    name: str
    description: str
    short_description: str | None
    path: Path
    scope: Scope

    @property
    def shown(self) -> str:
        """The path for clients and the model: U+FFFD where a folder's name is no UTF-8."""
        return clean(str(self.path))


@frozen
class FoundSkills:
    """Skills by name, and the files that could not be understood: (path as it is shown, why)."""

    skills: Sequence[Skill]
    errors: Sequence[tuple[str, str]]


def find_skills(home: Home, cwd: Path, extra: Sequence[Path] = ()) -> FoundSkills:
    """Look for skills as a thread in `cwd` would have them. The first of two files at one real path counts."""
    root = project_root(cwd, (".git",))
    repo = [folder / name / "skills" for folder in folders_up(cwd, root) for name in (".agents", ".codex")]
    skills: dict[Path, Skill] = {}
    errors: list[tuple[str, str]] = []
    own = home.path / "skills"
    roots: list[tuple[Scope, Path]] = [("repo", folder) for folder in repo]
    roots.extend([("user", own), ("system", own / ".system")])
    roots.extend([("user", folder) for folder in extra])
    for scope, place in roots:
        for path in _files(place, DEPTH):
            real = path.resolve()
            if real in skills:
                continue
            try:
                skills[real] = _read(real, scope)
            except (OSError, ValueError) as error:
                errors.append((clean(str(path)), clean(str(error))))
    return FoundSkills(sorted(skills.values(), key=lambda s: (s.name, s.path)), errors)


def is_enabled(skill: Skill, switches: object) -> bool:
    """Whether a skill is on, as the `skills.config` of config.toml has it: entries with `path` or `name`, and `enabled`."""
    on = True
    for entry in cast("list[object]", switches) if isinstance(switches, list) else []:
        match entry:
            case {"path": str(path), "enabled": bool(enabled)} if path == skill.shown:
                on = enabled
            case {"name": str(name), "enabled": bool(enabled)} if name == skill.name:
                on = enabled
            case _:
                pass
    return on


def switch(home: Home, by: str, which: str, enabled: bool) -> None:
    """Switch the skill whose `path` or `name` (that is `by`) is `which`: what is on needs no entry in config.toml.

    Blocking. Raises ConfigError, OSError.
    """

    def change(document: Any) -> None:
        table = document.setdefault("skills", {})
        others = [dict(entry) for entry in table.get("config", []) if entry.get(by) != which]
        table.pop("config", None)
        if others or not enabled:
            entries: Any = tomlkit.aot()
            for entry in [*others, *([] if enabled else [{by: which, "enabled": False}])]:
                entries.append(tomlkit.item(entry))
            table["config"] = entries
        if not table:
            del document["skills"]

    import tomlkit

    edit(home.config_file, change)


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


def _read(path: Path, scope: Scope) -> Skill:
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
    name, description = fields.get("name") or clean(path.parent.name), fields.get("description", "")
    if not description:
        raise ValueError("missing field `description`")
    for label, value, most in (("name", name, MAX_NAME), ("description", description, MAX_DESCRIPTION)):
        if len(value) > most:
            raise ValueError(f"invalid {label}: exceeds maximum length of {most} characters")
    return Skill(name, description, fields.get("short-description"), path, scope)
