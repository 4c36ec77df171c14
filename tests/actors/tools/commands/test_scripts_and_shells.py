"""Scripts are read as shells run them, word by word: random scripts for every installed shell.

`SPINDLE_SCRIPTS=1000000 pytest -s …` tries so many, with a seed of `SPINDLE_SEED`, and says how many were plain.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from spindle.actors.tools.commands.script import Plain, read_script

from .scripts import NAMES, ran, some

COUNT = int(os.environ.get("SPINDLE_SCRIPTS", "2000"))
SEED = int(os.environ.get("SPINDLE_SEED", "1"))
BATCH = 400
UNNOTED = {".", ":", "builtin", "printf", "return"}  # bash's own, which notes are made with
SHELLS = [path for name in ("bash", "dash") if (path := shutil.which(name))]


def judgeable(script: str, shell: str) -> list[Plain] | None:
    """Commands that may be allowed by name and that the shell can record: without a path, and for dash only its own."""
    commands = read_script(script)
    if commands is None or any(command.exact[0] is None or "/" in command.exact[0] for command in commands):
        return None
    names = {command.exact[0] for command in commands}
    noted = not names & UNNOTED if shell.endswith("bash") else names <= {*NAMES} - {"exec", "eval"}
    return commands if noted else None


def agrees(command: Plain, words: Sequence[str]) -> bool:
    """Whether these are the command's words, up to the first that the shell changes."""
    known = [word for word in command.exact if word is not None]
    if len(known) == len(command.exact):
        return list(words) == known
    first = command.exact.index(None)
    return list(words[:first]) == list(command.exact[:first])


def disagreement(commands: Sequence[Plain], runs: Sequence[Sequence[str]]) -> str | None:
    """Each command ran in one of the two runs, and no other command did."""
    for words in runs:
        if not any(agrees(command, words) for command in commands):
            return f"ran {words}"
    for command in commands:
        if not any(agrees(command, words) for words in runs):
            return f"did not run {command.exact}"
    return None


@pytest.mark.parametrize("shell", SHELLS, ids=lambda path: Path(path).name)
def test_plain_words_are_what_the_shell_runs(shell: str, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    plain, wrong = 0, []
    for begin in range(0, COUNT, BATCH):
        scripts = some(chance, min(BATCH, COUNT - begin))
        read = {script: commands for script in scripts if (commands := judgeable(script, shell))}
        plain += len(read)
        for (script, commands), runs in zip(read.items(), ran(shell, list(read), tmp_path), strict=True):
            if why := disagreement(commands, runs):
                wrong.append((script, why))
    if "SPINDLE_SCRIPTS" in os.environ:
        sys.stdout.write(f"\n{shell}: {COUNT} scripts, {plain} plain, {len(wrong)} disagreements\n")
    assert not wrong, wrong[:10]
    assert plain > COUNT / 10


def test_a_wrong_reading_is_seen(tmp_path: Path) -> None:
    """The shell records commands: a glob without a match, a brace of two words, an unlisted command."""
    [runs] = ran(SHELLS[0], ["a {x,y}; b 'c d' | echo *.z"], tmp_path)
    assert sorted(runs) == sorted([["a", "x", "y"], ["b", "c d"], ["echo", "*.z"]] * 2)
    [command] = read_script("a x") or []
    assert disagreement([command], [["a", "x"], ["b"]]) == "ran ['b']"
    assert disagreement([command], []) == "did not run ['a', 'x']"
