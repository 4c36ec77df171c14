"""The actions of a command for clients: it reads a file, lists files, searches, or is unknown.

Parts of a pipeline that only format (`head`, `wc`, `sort` and the like) are ignored. If one part is unknown, the whole command
is. The programs and options are Codex's.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise

from attrs import evolve

from spindle.actors.tools.commands import quoting
from spindle.actors.tools.commands.programs import CONNECTORS, Words, action_of, only_formats
from spindle.actors.tools.commands.script import plain_commands, shell_script
from spindle.rpc.protocol.items import CommandAction, ReadAction, UnknownAction


def command_actions(argv: Words, cwd: str) -> list[CommandAction]:
    """The actions of a command run in `cwd`; paths of files that it reads are absolute."""
    script = shell_script(argv)
    actions = _of_words(argv) if script is None else _of_script(script)
    kept = [action for number, action in enumerate(actions) if not number or action != actions[number - 1]]
    if any(isinstance(action, UnknownAction) for action in kept):
        return [UnknownAction(quoting.join(argv) if script is None else script)]
    return [evolve(a, path=_absolute(a.path, cwd)) if isinstance(a, ReadAction) else a for a in kept]


def _absolute(path: str, cwd: str) -> str:
    return os.path.normpath(
        os.path.join(cwd, os.path.expanduser(path) if path.startswith("~/") or path == "~" else path)
    )


def _of_words(argv: Words) -> list[CommandAction]:
    """The actions of a command given as words, connectors among them."""
    words = list(argv)
    if len(words) > 1 and words[0] in ("yes", "y", "no", "n") and words[1] == "|":
        words = words[2:]
    parts: list[list[str]] = [[]]
    for word in words:
        if word in CONNECTORS:
            parts.append([])
        else:
            parts[-1].append(word)
    actions = _in_turn([part for part in parts if part])
    return _simplify(actions)


def _of_script(script: str) -> list[CommandAction]:
    commands = plain_commands(script)
    if commands is None:
        return [UnknownAction(script)]
    essential = [words for words in commands if not only_formats(words)]
    if not essential:
        return [UnknownAction(script)]
    actions = _in_turn(essential)
    if len(actions) > 1:
        actions = _simplify([action for action in actions if action != UnknownAction("true")])
    if len(actions) == 1 and not isinstance(actions[0], UnknownAction):
        tokens = quoting.split(script)
        tokens = [script] if tokens is None else tokens
        if len(commands) == 1 and not CONNECTORS.intersection(tokens):
            return [evolve(actions[0], command=quoting.join(tokens))]
        pairs = pairwise(tokens)
        if isinstance(actions[0], ReadAction) and "|" in tokens and ("sed", "-n") in pairs:
            return [evolve(actions[0], command=script)]
    return actions


def _in_turn(commands: Sequence[Words]) -> list[CommandAction]:
    """One action for each command, except `cd`, which changes the directory of later ones."""
    actions: list[CommandAction] = []
    base = ""
    for words in commands:
        if words[0] == "cd":
            target = _cd_target(words[1:])
            base = base if target is None else os.path.join(base, target)
            continue
        action = action_of(words)
        if isinstance(action, ReadAction) and base:
            action = evolve(action, path=os.path.join(base, action.path))
        actions.append(action)
    return actions


def _cd_target(args: Words) -> str | None:
    if "--" in args:
        rest = args[args.index("--") + 1 :]
        return rest[0] if rest else None
    operands = [arg for arg in args if not arg.startswith("-")]
    return operands[-1] if operands else None


def _simplify(actions: list[CommandAction]) -> list[CommandAction]:
    """The actions without a leading `echo`, `true`, or `nl` in a pipe, unless nothing else is left."""
    left = len(actions)
    dropped: set[int] = set()
    first = looked = 0
    while left > 1:
        if not _is_shown(actions[first]):
            drop = first
        else:
            looked = max(looked, first)
            while looked < len(actions) and not _idle(actions[looked]):
                looked += 1
            if looked == len(actions):
                break
            drop = looked
            looked += 1
        dropped.add(drop)
        left -= 1
        while first in dropped:
            first += 1
    return [action for number, action in enumerate(actions) if number not in dropped]


def _is_shown(action: CommandAction) -> bool:
    return not (isinstance(action, UnknownAction) and f"{action.command} ".startswith("echo "))


def _idle(action: CommandAction) -> bool:
    if not isinstance(action, UnknownAction):
        return False
    if not f"{action.command} ".startswith("nl "):
        return action.command == "true"
    return all(word.startswith("-") for word in (quoting.split(action.command) or [""])[1:])
