"""Skills: folders with a SKILL.md that has a name and a description in its front matter. Everything here blocks.

They are searched in `$CODEX_HOME/skills` (with Codex's own in `.system`), in `.agents/skills` and `.codex/skills` of
the folders from the project's root to the working directory, and in extra roots from a client.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

from attrs import evolve, field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.values import clean
from spindle.storage.config.editing import edit
from spindle.storage.config.layers import folders_up, project_root
from spindle.storage.home import Home
from spindle.storage.outside import Readable, planted, read_placed, walk

if TYPE_CHECKING:
    from spindle.storage.plugins.active import ActivePlugin

DEPTH: Final = 6
"""The most levels of folders below a root."""
ENTRIES: Final = 50_000
"""The most folder entries read for each of: the project, the home, Codex's own skills, a client's roots."""
MOST: Final = 1_000
"""The most skills of each of these."""
WATCHED: Final = 1_000
"""The most folders whose changes count."""
HEADER: Final = 16 * 1024
"""The most bytes of a SKILL.md's front matter. The rest is not read until the skill is used."""
MAX_NAME, MAX_DESCRIPTION = 64, 1024


Scope: TypeAlias = Literal["user", "repo", "system"]
_Place: TypeAlias = "tuple[Scope, Sequence[Path], ActivePlugin | None]"


@frozen
class Skill:
    """One skill. `scope` is `user` (home, extra roots), `repo` or `system`."""

    name: str
    description: str
    short_description: str | None
    path: Path
    scope: Scope
    place: str | None = None
    """The real path of its file; None if the system does not give it."""
    plugin_id: str | None = None
    """The plugin that brings it."""

    @property
    def shown(self) -> str:
        """The path for clients and the model, with U+FFFD for invalid UTF-8."""
        return clean(str(self.path))


@frozen
class FoundSkills:
    """The skills, ordered by name, and those that are invalid or skipped: (shown path, reason)."""

    skills: Sequence[Skill]
    errors: Sequence[tuple[str, str]]
    folders: Sequence[Path] = field(default=(), eq=False)
    """The folders in which a skill may come to be or change: the roots, missing ones too, and at most `WATCHED` below them.

    Of roots that are too large to be searched whole there is nothing but the roots: something changes in them all the time.
    """


def find_skills(
    home: Home, cwd: Path, extra: Sequence[Path] = (), plugins: Sequence[ActivePlugin] = ()
) -> FoundSkills:
    """Find the skills for a thread in `cwd`. Of two files with the same real path, the first counts.

    The name of a plugin's skill begins with the plugin's. A file outside the plugin's folder is none of its skills.
    """
    root = project_root(cwd, (".git",))
    kept = [folder / name for folder in folders_up(cwd, root) for name in (".agents", ".codex")]
    repo = [folder / "skills" for folder in kept if not planted(folder)]
    own = home.path / "skills"
    places: list[_Place] = [
        ("repo", repo, None),
        ("user", [own], None),
        ("system", [own / ".system"], None),
        ("user", extra, None),
        *(("user", plugin.skill_roots, plugin) for plugin in plugins),
    ]
    return _find(places)


def _find(places: Sequence[_Place]) -> FoundSkills:
    skills: dict[Path, Skill] = {}
    errors: list[tuple[str, str]] = []
    folders: dict[Path, None] = {}
    for scope, roots, plugin in places:
        walked = walk(roots, depth=DEPTH, most=ENTRIES)
        folders.update(dict.fromkeys(roots))
        if walked.cut is None:
            folders.update(dict.fromkeys(walked.folders))
        if walked.cut is not None:
            reason = f"there are more than {ENTRIES} files and folders to search for skills: the rest is left out"
            errors.append((clean(str(walked.cut)), reason))
        files = [path for folder in walked.folders if (path := folder / "SKILL.md").is_file()]
        if len(files) > MOST:
            reason = f"there are more than {MOST} skills: this one and those after it are left out"
            errors.append((clean(str(files[MOST])), reason))
        for path in files[:MOST]:
            real = path.resolve()
            if real in skills or (plugin is not None and not real.is_relative_to(os.path.realpath(plugin.root))):
                continue
            try:
                skill = _read(real, scope)
                if plugin is not None:
                    skill = evolve(skill, name=f"{plugin.id.name}:{skill.name}", plugin_id=str(plugin.id))
                skills[real] = skill
            except (OSError, ValueError) as error:
                errors.append((clean(str(path)), clean(str(error))))
    found = sorted(skills.values(), key=lambda s: (s.name, s.path))
    return FoundSkills(found, errors, [*islice(folders, WATCHED)])


def plugin_skills(plugin: ActivePlugin) -> Sequence[Skill]:
    """The skills of one plugin, ordered by name."""
    return _find([("user", plugin.skill_roots, plugin)]).skills


def may_use(skill: Skill, readable: Readable | None) -> bool:
    """Whether the skill may be shown to a model that may read `readable` files.

    A repository's files may be links to any file. The other files belong to the user.
    """
    if readable is None or skill.scope != "repo":
        return True
    return skill.place is not None and readable(skill.place)


def is_enabled(skill: Skill, switches: object) -> bool:
    """Whether a skill is enabled in `skills.config` of config.toml: entries with `path` or `name`, and `enabled`."""
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
    """Enable or disable the skill whose `path` or `name` (in `by`) is `which`. An enabled skill needs no entry in config.toml.

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


def _read(path: Path, scope: Scope) -> Skill:
    data, place = read_placed(path, HEADER)
    whole = len(data) < HEADER
    lines = codecs.getincrementaldecoder("utf-8")().decode(data, final=whole).splitlines()
    if not lines or lines[0].strip() != "---" or "---" not in [line.strip() for line in lines[1:]]:
        within = "" if whole else f" within {HEADER} bytes"
        raise ValueError(f"missing YAML frontmatter delimited by ---{within}")
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
    return Skill(name, description, fields.get("short-description"), path, scope, place)
