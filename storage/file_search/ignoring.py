"""What a search leaves out: the rules of `.gitignore`, `.git/info/exclude` and git's own ignore file in a repository, and of
`.ignore` anywhere. The rules of a folder count more than those of the folders above it.
"""

from __future__ import annotations

import os
from collections.abc import Set
from pathlib import Path

from pathspec import GitIgnoreSpec

from spindle.rpc.lazy_class import frozen
from spindle.storage.outside import TEXT, read_file


@frozen
class _Rules:
    """The rules of one file; `base` is the folder that they count in, with a slash."""

    base: str
    spec: GitIgnoreSpec

    def judge(self, path: str, is_folder: bool) -> bool | None:
        """Whether the path is left out; None if no rule matches."""
        if not path.startswith(self.base):
            return None
        return self.spec.check_file(path[len(self.base) :] + ("/" if is_folder else "")).include

    def below(self, folder: str) -> _Rules:
        """Without the rules that leave out the folder: they would leave out all that is in it."""
        path = folder[len(self.base) :] + "/"
        return _Rules(self.base, GitIgnoreSpec([one for one in self.spec.patterns if one.match_file(path) is None]))


@frozen
class Ignoring:
    """The rules for the entries of one folder, the strongest first."""

    everywhere: tuple[_Rules, ...] = ()
    """Of `.ignore`."""
    repository: tuple[_Rules, ...] = ()
    """Of `.gitignore`."""
    last: tuple[_Rules, ...] = ()
    """Of the repository as a whole, and of the user."""
    in_repository: bool = False

    def within(self, folder: str, names: Set[str]) -> Ignoring:
        """The rules in a folder, in which there are these names."""
        everywhere, repository, last, in_repository = self.everywhere, self.repository, self.last, self.in_repository
        if ".ignore" in names:
            everywhere = (*_read(folder, ".ignore"), *everywhere)
        if ".git" in names:
            in_repository, repository = True, ()
            last = (*_read(folder, ".git/info/exclude"), *_of_user(folder))
        if in_repository and ".gitignore" in names:
            repository = (*_read(folder, ".gitignore"), *repository)
        if (everywhere, repository, last) == (self.everywhere, self.repository, self.last):
            return self
        return Ignoring(everywhere, repository, last, in_repository)

    def ignores(self, path: str, is_folder: bool) -> bool:
        """Whether an entry is left out."""
        for rules in (*self.everywhere, *self.repository, *self.last):
            if (ignored := rules.judge(path, is_folder)) is not None:
                return ignored
        return False


def ignoring_above(folder: str) -> Ignoring:
    """The rules for a folder itself: those of the folders that it is in."""
    rules = Ignoring()
    for above in reversed(Path(folder).parents):
        names = {name for name in (".git", ".gitignore", ".ignore") if os.path.lexists(above / name)}
        rules = rules.within(str(above), names)
    everywhere, repository, last = (
        tuple(one.below(folder) for one in some) for some in (rules.everywhere, rules.repository, rules.last)
    )
    return Ignoring(everywhere, repository, last, rules.in_repository)


def _read(folder: str, name: str) -> tuple[_Rules, ...]:
    return _rules(folder, os.path.join(folder, name))


def _of_user(folder: str) -> tuple[_Rules, ...]:
    own = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return _rules(folder, os.path.join(own, "git/ignore"))


def _rules(folder: str, path: str) -> tuple[_Rules, ...]:
    try:
        lines = read_file(path, TEXT).decode("utf-8", "replace").splitlines()
        spec = GitIgnoreSpec.from_lines(lines)
    except (OSError, ValueError):
        return ()
    return (_Rules(folder.rstrip("/") + "/", spec),) if len(spec) else ()
