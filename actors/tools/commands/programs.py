"""A table of programs that read, list or search files, with their actions.

The programs, and their options that take a value, are Codex's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from spindle.actors.tools.commands import quoting
from spindle.rpc.protocol.items import (
    CommandAction,
    ListFilesAction,
    ReadAction,
    SearchAction,
    UnknownAction,
)

Words: TypeAlias = Sequence[str]

CONNECTORS: Final = frozenset({"&&", "||", "|", ";"})
_FOLDERS: Final = frozenset({"build", "dist", "node_modules", "src"})  # names that say little about a path
_NUMBER: Final = re.compile(r"\d*")
_OFFSET: Final = re.compile(r"\+?\d+")
_RANGE: Final = re.compile(r"(\d+,)?\d+p")


# ---- programs that only format


def only_formats(words: Words) -> bool:
    """Whether the command only formats the output of others in a pipeline."""
    match words:
        case ["wc" | "tr" | "cut" | "sort" | "uniq" | "tee" | "column" | "yes" | "printf", *_]:
            return True
        case ["xargs", *_]:
            return not _xargs_changes(words)
        case ["awk", *args]:
            return _awk_file(args) is None
        case ["head" | "tail"]:
            return True
        case ["head" | "tail", arg]:
            return arg.startswith("-")
        case ["head", "-n" | "-c", count]:
            return bool(_NUMBER.fullmatch(count))
        case ["tail", "-n" | "-c", count]:
            return bool(_OFFSET.fullmatch(count))
        case ["sed", *args]:
            return _sed_file(args) is None
        case _:
            return False


def _xargs_changes(words: Words) -> bool:
    """Whether `xargs` runs a program that changes files in place."""
    at = 1
    while at < len(words) and words[at].startswith("-"):
        if words[at] == "--":
            at += 1
            break
        at += 2 if words[at] in ("-E", "-e", "-I", "-L", "-n", "-P", "-s") else 1
    match words[at:]:
        case ["perl" | "ruby", *args]:
            return any(arg.startswith(("-i", "-pi")) for arg in args)
        case ["sed", *args]:
            return any(arg.startswith(("-i", "-pi")) or arg == "--in-place" for arg in args)
        case ["rg", *args]:
            return "--replace" in args
        case _:
            return False


# ---- operands


def _up_to_connector(args: Words) -> Words:
    return next((args[:at] for at, arg in enumerate(args) if arg in CONNECTORS), args)


def _without_values(args: Words, valued: frozenset[str]) -> list[str]:
    """`args` without the `valued` options, their values and ``--name=value``; all after ``--`` is kept."""
    kept: list[str] = []
    at = 0
    while at < len(args):
        arg = args[at]
        if arg == "--":
            return kept + list(args[at + 1 :])
        if arg in valued:
            at += 1
        elif not (arg.startswith("--") and "=" in arg):
            kept.append(arg)
        at += 1
    return kept


def _loose_operands(args: Words, valued: frozenset[str] = frozenset()) -> list[str]:
    """Arguments that do not look like options, also after ``--``."""
    return [arg for arg in _without_values(args, valued) if not arg.startswith("-")]


def _operands(args: Words, valued: frozenset[str] = frozenset()) -> list[str]:
    """Arguments that are not options; after ``--``, all."""
    end = args.index("--") if "--" in args else len(args)
    return _loose_operands(args[:end], valued) + list(args[end + 1 :])


def _short(path: str) -> str:
    """The last significant part of a path."""
    trimmed = path.replace("\\", "/").rstrip("/")
    parts = [part for part in trimmed.split("/") if part and part not in _FOLDERS]
    return parts[-1] if parts else trimmed


def _first_short(operands: Words, number: int = 0) -> str | None:
    return _short(operands[number]) if len(operands) > number else None


# ---- actions


def _read(words: Words, path: str | None) -> CommandAction:
    line = quoting.join(words)
    return UnknownAction(line) if path is None else ReadAction(line, _short(path), path)


def _only(operands: Words) -> str | None:
    return operands[0] if len(operands) == 1 else None


def _lists(*valued: str) -> Callable[[Words], CommandAction]:
    """A program that lists a directory; `valued` are its options that take a value."""

    def action(words: Words) -> CommandAction:
        return ListFilesAction(quoting.join(words), _first_short(_operands(words[1:], frozenset(valued))))

    return action


def _shows(*valued: str) -> Callable[[Words], CommandAction]:
    """A program that shows one file."""
    return lambda words: _read(words, _only(_operands(words[1:], frozenset(valued))))


def _searches(*valued: str) -> Callable[[Words], CommandAction]:
    """A program that takes a pattern, then paths."""

    def action(words: Words) -> CommandAction:
        operands = _loose_operands(_up_to_connector(words[1:]), frozenset(valued))
        return SearchAction(quoting.join(words), operands[0] if operands else None, _first_short(operands, 1))

    return action


_RG_VALUED: Final = (
    *("-g", "--glob", "--iglob", "-t", "--type", "--type-add", "--type-not", "-m", "--max-count"),
    *("-A", "-B", "-C", "--context", "--max-depth"),
)


def _ripgrep(words: Words) -> CommandAction:
    args = _up_to_connector(words[1:])
    if "--files" not in args:
        return _searches(*_RG_VALUED)(words)
    return ListFilesAction(quoting.join(words), _first_short(_loose_operands(args, frozenset(_RG_VALUED))))


_GREP_PATTERN: Final = ("-e", "--regexp", "-f", "--file")
_GREP_VALUED: Final = frozenset(
    {"-m", "--max-count", "-C", "--context", "-A", "--after-context", "-B", "--before-context"}
)


def _grep(words: Words, skip: int = 1) -> CommandAction:
    args = _up_to_connector(words[skip:])
    end = args.index("--") if "--" in args else len(args)
    given = [args[at + 1] for at in range(end - 1) if args[at] in _GREP_PATTERN]
    before = _skip_pairs(args[:end], _GREP_VALUED.union(_GREP_PATTERN))
    operands = [arg for arg in before if not arg.startswith("-")] + list(args[end + 1 :])
    query = given[0] if given else operands[0] if operands else None
    return SearchAction(quoting.join(words), query, _first_short(operands, 0 if given else 1))


def _skip_pairs(args: Words, valued: frozenset[str]) -> list[str]:
    kept: list[str] = []
    at = 0
    while at < len(args):
        if args[at] in valued:
            at += 1
        else:
            kept.append(args[at])
        at += 1
    return kept


def _git(words: Words) -> CommandAction:
    match words:
        case [_, "grep", *_]:
            return _grep(words, 2)
        case [_, "ls-files", *args]:
            valued = frozenset({"--exclude", "--exclude-from", "--pathspec-from-file"})
            return ListFilesAction(quoting.join(words), _first_short(_operands(args, valued)))
        case _:
            return UnknownAction(quoting.join(words))


def _found(words: Words, query: str | None, path: str | None) -> CommandAction:
    line = quoting.join(words)
    return ListFilesAction(line, path) if query is None else SearchAction(line, query, path)


_FD_VALUED: Final = frozenset({"-t", "--type", "-e", "--extension", "-E", "--exclude", "--search-path"})


def _fd(words: Words) -> CommandAction:
    operands = _loose_operands(_up_to_connector(words[1:]), _FD_VALUED)
    if len(operands) == 1 and (operands[0] in (".", "..") or "/" in operands[0] or "\\" in operands[0]):
        return _found(words, None, _short(operands[0]))
    return _found(words, operands[0] if operands else None, _first_short(operands, 1))


def _find(words: Words) -> CommandAction:
    args = _up_to_connector(words[1:])
    roots = [arg for arg in args if not arg.startswith("-") and arg not in ("!", "(", ")")]
    test = next((at for at, arg in enumerate(args) if arg in ("-name", "-iname", "-path", "-regex")), len(args))
    query = args[test + 1] if test + 1 < len(args) else None
    return _found(words, query, _first_short(roots))


def _end_of_file(count: re.Pattern[str]) -> Callable[[Words], CommandAction]:
    """`head` or `tail`: with ``-n`` and a `count` in either spelling, or only a file."""

    def action(words: Words) -> CommandAction:
        args = list(words[1:])
        match args:
            case ["-n", number, *rest] if count.fullmatch(number):
                operands = rest
            case [flag, *rest] if flag.startswith("-n") and flag != "-n" and count.fullmatch(flag[2:]):
                operands = rest
            case [_]:
                operands = args
            case _:
                operands = []
        return _read(words, next((arg for arg in operands if not arg.startswith("-")), None))

    return action


def _awk_file(args: Words) -> str | None:
    valued = frozenset({"-F", "-v", "-f", "--field-separator", "--assign", "--file"})
    args = _up_to_connector(args)
    operands = _loose_operands(args, valued)
    number = 0 if "-f" in args or "--file" in args else 1  # without -f, the first operand is the script
    return operands[number] if len(operands) > number else None


def _sed_file(args: Words) -> str | None:
    """The file of `sed -n` that prints a range of lines."""
    args = _up_to_connector(args)
    if "-n" not in args:
        return None
    scripts = [args[at + 1] for at in range(len(args) - 1) if args[at] in ("-e", "--expression")]
    plain = [arg for arg in args if not arg.startswith("-")]
    if not any(_RANGE.fullmatch(script) for script in (*scripts, *plain)):
        return None
    operands = _loose_operands(args, frozenset({"-e", "-f", "--expression", "--file"}))
    if operands and _RANGE.fullmatch(operands[0]):
        operands = operands[1:]
    return operands[0] if operands else None


def _nl(words: Words) -> CommandAction:
    operands = _loose_operands(words[1:], frozenset({"-s", "-w", "-v", "-i", "-b"}))
    return _read(words, operands[0] if operands else None)


_WALKS: Final = re.compile(r"os\.walk|os\.listdir|os\.scandir|glob\.i?glob|pathlib\.Path|\.rglob\(")


def _python(words: Words) -> CommandAction:
    line = quoting.join(words)
    args = _up_to_connector(words[1:])
    scripts = [args[at + 1] for at in range(len(args) - 1) if args[at] == "-c"]
    return ListFilesAction(line, None) if scripts and _WALKS.search(scripts[0]) else UnknownAction(line)


_EZA: Final = _lists("-I", "--ignore-glob", "--color", "--sort", "--time-style", "--time")
_BAT: Final = _shows("--theme", "--language", "--style", "--terminal-width", "--tabs", "--line-range", "--map-syntax")
_AG: Final = _searches("-G", "-g", "--file-search-regex", "--ignore-dir", "--ignore-file", "--path-to-ignore")

_PROGRAMS: Final[Mapping[str, Callable[[Words], CommandAction]]] = {
    "ls": _lists("-I", "-w", "--block-size", "--format", "--time-style", "--color", "--quoting-style"),
    "eza": _EZA,
    "exa": _EZA,
    "tree": _lists("-L", "-P", "-I", "--charset", "--filelimit", "--sort"),
    "du": _lists("-d", "--max-depth", "-B", "--block-size", "--exclude", "--time-style"),
    "rg": _ripgrep,
    "rga": _ripgrep,
    "ripgrep-all": _ripgrep,
    "git": _git,
    "fd": _fd,
    "find": _find,
    "grep": _grep,
    "egrep": _grep,
    "fgrep": _grep,
    "ag": _AG,
    "ack": _AG,
    "pt": _AG,
    "cat": _shows(),
    "bat": _BAT,
    "batcat": _BAT,
    "less": _shows(
        *("-p", "-P", "-x", "-y", "-z", "-j", "--pattern", "--prompt", "--tabs", "--shift", "--jump-target")
    ),
    "more": _shows(),
    "head": _end_of_file(_NUMBER),
    "tail": _end_of_file(_OFFSET),
    "awk": lambda words: _read(words, _awk_file(words[1:])),
    "nl": _nl,
    "sed": lambda words: _read(words, _sed_file(words[1:])),
}
_PYTHON: Final = re.compile(r"python([23](\..*)?)?")


def action_of(words: Words) -> CommandAction:
    """The action of one plain command; paths are as written."""
    program = _PROGRAMS.get(words[0])
    if program is not None:
        return program(words)
    return _python(words) if _PYTHON.fullmatch(words[0]) else UnknownAction(quoting.join(words))
