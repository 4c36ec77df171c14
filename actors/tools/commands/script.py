"""Reading a shell script as far as it can be trusted: plain commands joined by ``&&``, ``||``, ``;``, ``|`` and newlines.

Anything that a shell would expand, substitute, redirect or run in another way makes the whole script unreadable (None), so
that nobody judges half of it. What is accepted, and how quotes are kept, is what the reference accepts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Final

_SHELLS: Final = frozenset({"bash", "zsh", "sh"})
# words that begin something other than a simple command
_RESERVED: Final = frozenset(
    (
        *("!", "{", "}", "[", "[[", "if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case"),
        *("esac", "select", "function", "declare", "typeset", "export", "readonly", "local", "unset", "unsetenv"),
    )
)
LONGEST: Final = 32 * 1024
"""Characters of a script that is looked into; a shell takes four times as many, and looking takes microseconds a word."""
_SPACE: Final = re.compile(r"(?:[ \t]|\\\r?\n)+")
_OPERATOR: Final = re.compile(r"&&|\|\|(?!\|)|\|(?![|&])|;(?![;&])|\n")
_JOINING: Final = frozenset({"&&", "||", "|"})
_PIECE: Final = re.compile(
    r"""(?P<bare>(?:[^\s\\'"`$&|;<>()]|\\[^\r\n])+)|'(?P<raw>[^']*)'|"(?P<double>(?:[^"\\`$]|\\.)*)\"""", re.DOTALL
)
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*(\[[^\]]*\])?\+?=")
_RANGE: Final = re.compile(r"\{-?\d+\.\.")
_HEREDOC: Final = re.compile(
    r"""\A[ \t]*(?P<words>[^\s'"`$&|;<>(){}\\#!][^'"`$&|;<>()\\\n]*)<<(?P<dash>-?)[ \t]*"""
    r"""(?P<quote>['"]?)(?P<end>\w+)(?P=quote)[ \t]*\n(?P<body>.*)\Z""",
    re.DOTALL,
)


def shell_script(argv: Sequence[str]) -> str | None:
    """The script that a shell is given by ``-c`` or ``-lc``, if `argv` is just that."""
    if len(argv) == 3 and argv[1] in ("-c", "-lc") and os.path.basename(argv[0]) in _SHELLS:
        return argv[2]
    return None


def plain_commands(script: str) -> list[list[str]] | None:
    """The commands of `script` in order, each as its words, or None if it is anything but plain, or longer than `LONGEST`.

    Words are as written, less the quotes around them: escapes are not resolved.
    """
    if len(script) > LONGEST:
        return None
    commands: list[list[str]] = []
    words: list[str] = []
    joined = False  # an operator wants a command after it
    at = 0
    while at < len(script):
        if space := _SPACE.match(script, at):
            at = space.end()
        elif operator := _OPERATOR.match(script, at):
            at = operator.end()
            if words:
                commands.append(words)
                words, joined = [], operator[0] in _JOINING
            elif operator[0] != "\n":
                return None
        else:
            word, at = _word(script, at, first=not words)
            if word is None:
                return None
            words.append(word)
            joined = False
    if words:
        commands.append(words)
    return None if joined or not commands else commands


def _word(script: str, start: int, *, first: bool) -> tuple[str | None, int]:
    """The word at `start`, None if it is not plain, and where it ends."""
    pieces: list[str] = []
    quoted = False
    at = start
    while piece := _PIECE.match(script, at):
        pieces.append(piece[piece.lastgroup or 0])
        quoted = quoted or piece.lastgroup != "bare"
        at = piece.end()
    word = "".join(pieces)
    ends = at == len(script) or script[at] in " \t\n;|&" or bool(_SPACE.match(script, at))
    bare = not quoted
    if not pieces or not ends or (not word and len(pieces) > 1):
        return None, at
    if script[start] == "#" or (bare and _RANGE.search(word)):
        return None, at
    if first and (quoted or word in _RESERVED or word.isdigit() or _ASSIGNMENT.match(word)):
        return None, at
    return word, at


def is_literal(script: str) -> bool:
    """Are the words of a plain script what the shell will pass on, but for file names that its patterns match?

    Not if it resolves an escape or spells out braces: ``find . -del\\ete``, ``find . {-delete,.}``.
    """
    for piece in _PIECE.finditer(script):
        bare = piece["bare"]
        if bare is not None and ("\\" in bare or ("{" in bare and "," in bare)):
            return False
    return True


def heredoc_command(script: str) -> list[str] | None:
    """The words of the one command of `script`, whose input is a here-document; None if there is anything else to it."""
    found = _HEREDOC.match(script)
    if found is None:
        return None
    body = found["body"].split("\n")
    ends = [
        number for number, line in enumerate(body) if (line.lstrip("\t") if found["dash"] else line) == found["end"]
    ]
    if not ends or any(line.strip() for line in body[ends[0] + 1 :]):
        return None
    if not found["quote"] and re.search(r"\$\(|`", "\n".join(body[: ends[0]])):
        return None
    words = found["words"].split()
    if words[0] in _RESERVED or words[0].isdigit() or _ASSIGNMENT.match(words[0]):
        return None
    return words
