"""Recognise a patch that a model sends as a command instead of a call of the tool.

Recognised are `apply_patch PATCH` as two words, and a script for a POSIX shell that is one here-document for apply_patch and
nothing else, except for `cd FOLDER &&` before it. All else is an ordinary command.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence

from spindle.actors.tools.commands.script import shell_script
from spindle.actors.tools.patch.hunks import PatchError
from spindle.actors.tools.patch.parse import is_patch
from spindle.rpc.lazy_class import frozen

_NAMES = frozenset({"apply_patch", "applypatch"})
_BARE = (
    "apply_patch verification failed: patch detected without explicit call to apply_patch. "
    'Rerun as ["apply_patch", "<patch>"]'
)
_HEAD = re.compile(
    r"""
    \s*
    (?:cd [ \t]+ (?P<folder> (?: '[^'\n]*' | "[^"\n$`\\]*" | (?:\\[^\n] | [^\s'"$`\\;&|<>()*?\[\]{}#!])+ )) (?:[ \t]|\\\n)*
       && (?:\s|\\\n)*)?
    (?:[A-Za-z_]\w*=[\w./:-]*[ \t]+)*
    apply_?patch [ \t]*
    << (?P<tabs>-?) [ \t]* (?P<quote>['"]?) (?P<mark>[A-Za-z_][\w-]*) (?P=quote) [ \t]* \n
    """,
    re.VERBOSE,
)


@frozen
class PatchCall:
    """A patch found in a command, and the folder that its relative paths start from."""

    patch: str
    cwd: str


def in_command(argv: Sequence[str], cwd: str, home: str | None = None) -> PatchCall | None:
    """The patch in a command line; None if it is another command.

    `home` replaces a leading `~`. Raises PatchError for a bare patch, without `apply_patch` before it.
    """
    match argv:
        case [name, patch] if name in _NAMES:
            return PatchCall(patch, cwd)
        case [patch]:
            _refuse_bare(patch)
        case _:
            script = shell_script(argv)
            return None if script is None else in_script(script, cwd, home)
    return None


def in_script(script: str, cwd: str, home: str | None = None) -> PatchCall | None:
    """The patch in a shell script; None if the script does anything else. Raises PatchError as `in_command`."""
    _refuse_bare(script)
    head = _HEAD.match(script)
    if head is None:
        return None
    patch = _document(script[head.end() :], head["mark"], "\t" if head["tabs"] else "")
    if patch is None:
        return None
    folder = head["folder"]
    return PatchCall(patch, cwd if folder is None else os.path.join(cwd, _unquoted(folder, home)))


def _document(text: str, mark: str, indent: str) -> str | None:
    """The lines before the end mark; None if there is no mark, or if anything follows it."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if line.lstrip(indent).rstrip() == mark if indent else line.rstrip() == mark:
            return None if "".join(lines[number + 1 :]).strip() else "".join(f"{one}\n" for one in lines[:number])
    return None


def _unquoted(word: str, home: str | None) -> str:
    """The word as a shell expands it."""
    plain = shlex.split(word)[0] if word not in ("''", '""') else ""
    if home is not None and (word == "~" or word.startswith("~/")):
        return home + plain[1:]
    return plain


def _refuse_bare(text: str) -> None:
    if text.lstrip().startswith(("*** Begin Patch", "<<")) and is_patch(text):
        raise PatchError(_BARE)
