"""Random scripts, and how shells read them: every command is a function that records its arguments.

Nothing that a script says is done. Names lead to functions or nowhere, the directory is empty and PATH has nothing; a script
that could redirect has no slash in it.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

NAMES: Final = ("a", "ls", "git", "echo", "cd", "true", "x1", "time", "exec", "alias", "eval")
_BARE: Final = ("x", "-n", "--a=b", "a/b", "1", "2,3", "é", "a:b", "@", "%1", "=ls", "a=b", "-", "--", "!", "{}", "]", "+x")
_ODD: Final = (
    *("*", "?", "[ab]", "~", "~/x", "{a,b}", "{1..3}", "a#b", "#c", "$x", "${x}", "$(a)", "`a`", "$'a'", "^x", "\\a", "\\ "),
    *("\\\n", "\\\r\n", "\r", "\\\\", "(a)", ">f", "2>f", "<f", "&", "\t", "\x0b", "\xa0", "\u2003", "in", "A=b", "{", "}"),
)
_QUOTED: Final = ("x y", "", "a'b", "$x", "\\", "\\n", "\\.", "*", "~", "{a,b}", "a\nb", "\\\n", ";", "&&", "#", "!", '\\"')
_JOINS: Final = ("&&", "||", ";", "|", "\n", " && ", " || ", " ; ", " | ", "\n\n", "&&\n", "|\n")
_ODD_JOINS: Final = ("&", ";;", "|&", "||||", "&&&", "|||", ";&", "\r\n", "\\\n&&", "; ;", "&& &&")
_ALPHABET: Final = "ab -='\"\\$`|&;<>(){}[]#!~*?\n\r\t:,.é"


def some(chance: random.Random, count: int) -> list[str]:
    """`count` scripts, of which many are plain."""
    return [_mutated(chance, _script(chance)) for _ in range(count)]


def _script(chance: random.Random) -> str:
    parts = [_command(chance)]
    for _ in range(chance.choice((0, 0, 0, 1, 1, 2, 4))):
        parts.append(chance.choice(_ODD_JOINS if chance.random() < 0.03 else _JOINS))
        parts.append(_command(chance))
    return "".join(parts) + chance.choice(("", "", "", "\n", ";", " "))


def _command(chance: random.Random) -> str:
    words = [chance.choice(NAMES), *(_word(chance) for _ in range(chance.choice((0, 1, 1, 2, 3))))]
    return chance.choice((" ", " ", " ", "\t", "  ")).join(words)


def _word(chance: random.Random) -> str:
    return "".join(_piece(chance) for _ in range(chance.choice((1, 1, 1, 2, 3))))


def _piece(chance: random.Random) -> str:
    kind = chance.random()
    if kind < 0.55:
        return chance.choice(_BARE)
    if kind < 0.65:
        return chance.choice(_ODD)
    text = chance.choice(_QUOTED)
    return "'" + text.replace("'", "") + "'" if kind < 0.82 else f'"{text}"'


def _mutated(chance: random.Random, script: str) -> str:
    while chance.random() < 0.3:
        at, kind = chance.randrange(len(script) + 1), chance.randrange(4)
        if kind == 0:
            script = script[:at] + chance.choice(_ALPHABET) + script[at:]
        elif kind == 1:
            script = script[:at] + script[at + 1 :]
        elif kind == 2:
            script = script[:at] + chance.choice(_ALPHABET) + script[at + 1 :]
        else:
            script = script[:at] + script[at:][:3] * 2 + script[at + 3 :]
    return script.replace("/", "_") if ">" in script else script


# ---- what shells make of them

_BASH: Final = """
for name in $(compgen -b); do
    case $name in builtin|printf|return|.|:|'[') ;; *) builtin eval "$name() { note $name \\"\\$@\\"; }" ;; esac
done
command_not_found_handle() { note "$@"; }
"""
_NOTE: Final = "note() {{ {printf} '%s\\0' \"$number\" \"$#\" {words} >&9; return $status; }}\n"
_LOOP: Final = """
PATH=/nonexistent
number=0
for script do
    for status in 0 1; do
        ( {eval} " $script" ) </dev/null >/dev/null 2>&1
    done
    number=$((number+1))
done
"""


def driver(shell: str) -> str:
    """The program that runs each script twice: all commands succeed, then all fail."""
    bash = Path(shell).name == "bash"
    names = "".join(f"{name}() {{ note {name} \"$@\"; }}\n" for name in NAMES if name not in ("time", "exec", "eval"))
    builtin = "builtin " if bash else ""
    # bash writes line by line, and commands of a pipeline write at the same time
    words = "\"${@//$'\\n'/$'\\1'}\"" if bash else '"$@"'
    note = _NOTE.format(printf=f"{builtin}printf", words=words)
    loop = _LOOP.replace("{eval}", f"{builtin}eval")
    return note + names + (_BASH if bash else "") + loop


def ran(shell: str, scripts: Sequence[str], folder: Path) -> list[list[list[str]]]:
    """The commands that each script ran, as words."""
    noted = folder / "noted"
    place = folder / "place"
    place.mkdir(exist_ok=True)
    with noted.open("wb") as file:
        subprocess.run(
            [shell, "-c", 'exec 9>>"$0"; ' + driver(shell), str(noted), *scripts],
            cwd=place,
            env={"LC_ALL": "C.UTF-8", "HOME": "/nonexistent", "PATH": "/nonexistent"},
            stdin=subprocess.DEVNULL,
            stdout=file,
            check=False,
            timeout=300,
        )
    found: list[list[list[str]]] = [[] for _ in scripts]
    parts = iter(noted.read_bytes().decode("utf-8", "surrogateescape").replace("\1", "\n").split("\0"))
    for number in parts:
        if number:
            found[int(number)].append([next(parts) for _ in range(int(next(parts)))])
    return found
