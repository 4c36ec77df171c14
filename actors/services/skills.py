"""The skills of a runtime: found once for each directory, announced to the model, added to a turn when mentioned."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.user_input import SkillInput, TextInput, UserInput
from spindle.storage.home import Home
from spindle.storage.outside import TEXT, Readable, read_file
from spindle.storage.skills import FoundSkills, Skill, find_skills, is_enabled, may_use

if TYPE_CHECKING:
    from spindle.storage.plugins.active import ActivePlugin

_MENTION = re.compile(r"\$([\w:.-]*\w)")


def _roots(plugins: Sequence[ActivePlugin]) -> tuple[Path, ...]:
    return tuple(plugin.root for plugin in plugins)


@frozen
class Listed:
    """What a list of skills is of: a working directory, more folders to search for it, and the plugins in effect."""

    cwd: str
    extra: tuple[str, ...] = ()
    plugins: Sequence[ActivePlugin] = field(default=(), eq=_roots)


class SkillCatalog:
    """A cache of the skills found for each directory, until `forget`. Blocks on the disk; worker threads may share it."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._found: dict[Listed, FoundSkills] = {}
        self._roots: tuple[str, ...] = ()
        self._lock = threading.Lock()

    def find(self, listed: Listed) -> FoundSkills:
        """The skills that were found, or are found now."""
        with self._lock:
            found = self._found.get(listed)
        return self.search(listed) if found is None else found

    def search(self, listed: Listed) -> FoundSkills:
        """As `find`, and search the disk."""
        roots = self._roots
        extra = [Path(root) for root in (*roots, *listed.extra)]
        found = find_skills(self._home, Path(listed.cwd), extra, listed.plugins)
        with self._lock:
            if roots == self._roots:
                self._found[listed] = found
        return found

    def set_roots(self, roots: Sequence[str]) -> None:
        """Search these folders too, for all directories. They replace those of the last call."""
        with self._lock:
            self._roots = tuple(roots)
            self._found.clear()

    def forget(self) -> None:
        """Search the disk again at the next request."""
        with self._lock:
            self._found.clear()

    def enabled(
        self, cwd: str, settings: Mapping[str, Any], plugins: Sequence[ActivePlugin] = ()
    ) -> list[Skill]:
        """The skills that are switched on; `settings` are config.toml's, `plugins` those in effect."""
        switches, bundled = _switches(settings), _has_bundled(settings)
        found = self.find(Listed(cwd, (), plugins)).skills
        return [one for one in found if (bundled or one.scope != "system") and is_enabled(one, switches)]

    def mentioned(
        self,
        content: Sequence[UserInput],
        cwd: str,
        settings: Mapping[str, Any],
        readable: Readable | None = None,
        plugins: Sequence[ActivePlugin] = (),
    ) -> list[dict[str, Any]]:
        """The messages with the skills that user input mentions, as `$name` or as an input part, each skill once.

        Skills of a repository that are not `readable` are left out.
        """
        names = [name for part in content if isinstance(part, TextInput) for name in _MENTION.findall(part.text)]
        paths = [part.path for part in content if isinstance(part, SkillInput)]
        if not names and not paths:
            return []
        chosen: dict[Path, Skill] = {}
        for skill in self.enabled(cwd, settings, plugins):
            if (skill.name in names or skill.shown in paths) and may_use(skill, readable):
                chosen[skill.path] = skill
        return [_message(skill, readable) for skill in chosen.values()]


def _switches(settings: Mapping[str, Any]) -> object:
    match settings.get("skills"):
        case {"config": switches}:
            return switches
        case _:
            return None


def _has_bundled(settings: Mapping[str, Any]) -> bool:
    match settings.get("skills"):
        case {"bundled": {"enabled": False}}:
            return False
        case _:
            return True


def _message(skill: Skill, readable: Readable | None) -> dict[str, Any]:
    try:
        body = read_file(skill.path, TEXT, readable if skill.scope == "repo" else None).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else "the file is not UTF-8"
        body = f"This skill could not be read: {reason}"
    text = f"<skill>\n<name>{skill.name}</name>\n<path>{skill.shown}</path>\n{body}\n</skill>"
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def announcement(skills: Sequence[Skill], readable: Readable | None = None) -> str | None:
    """The message that lists the skills the model may use; None if there are none. The model reads their bodies from disk."""
    shown = [skill for skill in skills if may_use(skill, readable)]
    if not shown:
        return None
    rows = "\n".join(f"- {skill.name}: {skill.description} (file: {skill.shown})" for skill in shown)
    return (
        "<skills_instructions>\nA skill is a folder with instructions in its SKILL.md, and perhaps scripts and other files "
        f"beside it. These are at hand:\n{rows}\nUse a skill when the user names it, with or without a dollar sign, or when "
        "its description plainly fits the task: read its SKILL.md first, as much of it as the task needs, and take paths in "
        "it from its folder. Run the scripts it brings rather than write them again. If it cannot be read, say so in a "
        "sentence and go on without it. A skill holds for the turn in which it is named.\n</skills_instructions>"
    )
