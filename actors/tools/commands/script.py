"""Read a shell script that consists of plain commands joined by ``&&``, ``||``, ``;``, ``|`` and newlines.

Anything that a shell would expand, substitute, redirect or run otherwise makes the whole script unreadable (None), so it is
never judged in part. The accepted syntax, and how quotes are kept, are Codex's.

This is enough to show or restrict a script. Allowing one needs its `exact` words: those that every shell passes on unchanged. A
word that a shell may change (patterns, braces, escapes) has no exact word.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Final

from spindle.rpc.lazy_class import frozen

SHELLS: Final = frozenset({"bash", "zsh", "sh"})
"""The shells whose scripts are read."""
# first words of what is not a simple command
_RESERVED: Final = frozenset(
    (
        *("!", "{", "}", "[", "[[", "if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case"),
        *("esac", "select", "function", "declare", "typeset", "export", "readonly", "local", "unset", "unsetenv"),
    )
)
LONGEST: Final = 32 * 1024
"""The longest script that is read, in characters. Shells accept four times that; reading takes microseconds per word."""
_SPACE: Final = re.compile(r"(?:[ \t]|\\\r?\n)+")
_OPERATOR: Final = re.compile(r"&&|\|\|(?!\|)|\|(?![|&])|;(?![;&])|\n")
_JOINING: Final = frozenset({"&&", "||", "|"})
_PIECE: Final = re.compile(
    r"""(?P<bare>(?:[^\s\\'"`$&|;<>()]|\\[^\r\n])+)|'(?P<raw>[^']*)'|"(?P<double>(?:[^"\\`$]|\\.)*)\"""", re.DOTALL
)
# first words with a special meaning for some shell, though not for Codex
_KEYWORDS: Final = frozenset({"-", "coproc", "end", "foreach", "nocorrect", "noglob", "repeat", "time"})
_JOINED_LINES: Final = re.compile(r"\r|\\\n")
_EXACT: Final = re.compile(r"[\w!%+,\-./:@][\w!%+,\-./:@=]*|\{\}")
_ESCAPED: Final = re.compile(r'\\[\\"$`]')
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*(\[[^\]]*\])?\+?=")
_RANGE: Final = re.compile(r"\{-?\d+\.\.")
_HEREDOC: Final = re.compile(
    r"""\A[ \t]*(?P<words>[^\s'"`$&|;<>(){}\\#!][^'"`$&|;<>()\\\n]*)<<(?P<dash>-?)[ \t]*"""
    r"""(?P<quote>['"]?)(?P<end>\w+)(?P=quote)[ \t]*\n(?P<body>.*)\Z""",
    re.DOTALL,
)


def shell_script(argv: Sequence[str]) -> str | None:
    """The script in `argv` if it is a shell with ``-c`` or ``-lc`` and a script, else None."""
    if len(argv) == 3 and argv[1] in ("-c", "-lc") and os.path.basename(argv[0]) in SHELLS:
        return argv[2]
    return None


def reads_profiles(argv: Sequence[str]) -> bool:
    """Whether the shell reads the user's profiles before the script: a login shell, and always zsh."""
    return argv[1] == "-lc" or os.path.basename(argv[0]) == "zsh"


@frozen
class Plain:
    """A plain command of a script; its first word starts at index `at`.

    `words` are as written, without quotes and with escapes unresolved. `exact` are the words that the program gets; None for a
    word that the shell may drop, change or split.
    """

    words: Sequence[str]
    exact: Sequence[str | None]
    at: int


def read_script(script: str) -> list[Plain] | None:
    """The commands of `script` in order; None if it is not plain, or longer than `LONGEST`."""
    if len(script) > LONGEST:
        return None
    commands: list[Plain] = []
    words: list[tuple[str, bool]] = []
    begin = at = 0
    joined = False  # an operator needs a command after it
    readable = _JOINED_LINES.search(script) is None  # else shells read other words

    def end() -> None:
        exact = [word if exact and readable else None for word, exact in words]
        commands.append(Plain([word for word, _ in words], exact, begin))
        words.clear()

    while at < len(script):
        if space := _SPACE.match(script, at):
            at = space.end()
        elif operator := _OPERATOR.match(script, at):
            at = operator.end()
            if words:
                end()
                joined = operator[0] in _JOINING
            elif operator[0] != "\n":
                return None
        else:
            first, start = not words, at
            word, exact, at = _word(script, at, first=first)
            if word is None:
                return None
            words.append((word, exact))
            begin = start if first else begin
            joined = False
    if words:
        end()
    return None if joined or not commands else commands


def plain_commands(script: str) -> list[Sequence[str]] | None:
    """The words of the commands of `script`; None as for `read_script`."""
    commands = read_script(script)
    return None if commands is None else [command.words for command in commands]


def _word(script: str, start: int, *, first: bool) -> tuple[str | None, bool, int]:
    """(the word at `start` or None if it is not plain, whether it is exact, its end)"""
    pieces: list[str] = []
    quoted, exact = False, True
    at = start
    while piece := _PIECE.match(script, at):
        text = piece[piece.lastgroup or 0]
        match piece.lastgroup:
            case "bare":
                # zsh reads `=name` at the start of a word as a path
                exact = exact and _EXACT.fullmatch(f"-{text}" if pieces else text) is not None
            case "double":
                exact = exact and _ESCAPED.search(text) is None
            case _:
                pass
        quoted = quoted or piece.lastgroup != "bare"
        pieces.append(text)
        at = piece.end()
    word = "".join(pieces)
    ends = at == len(script) or script[at] in " \t\n;|&" or bool(_SPACE.match(script, at))
    bare = not quoted
    if not pieces or not ends or (not word and len(pieces) > 1):
        return None, False, at
    if script[start] == "#" or (bare and _RANGE.search(word)):
        return None, False, at
    if first and (quoted or word in _RESERVED or word.isdigit() or _ASSIGNMENT.match(word)):
        return None, False, at
    job = first and word.startswith("%")  # bash: a job to bring to the foreground
    return word, exact and not job and not (first and word in _KEYWORDS), at


def with_paths(script: str, paths: Mapping[str, str]) -> str:
    """A plain script with its programs replaced by their `paths`."""
    for command in reversed(read_script(script) or ()):
        name = command.words[0]
        if path := paths.get(name):
            script = f"{script[: command.at]}{shlex.quote(path)}{script[command.at + len(name) :]}"
    return script


def heredoc_command(script: str) -> list[str] | None:
    """The words of `script` if it is one command with a here-document as its input; else None."""
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
