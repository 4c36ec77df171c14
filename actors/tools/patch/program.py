"""The command `apply_patch` that scripts find on their PATH: a separate program that imports only what it needs.

    apply_patch PATCH
    apply_patch < FILE

Relative paths start from the working directory. It runs in the sandbox of the script and can write what that allows. The patch
is applied whole or not at all. Arguments, messages and exit codes are those of Codex 0.124: 0 if the patch was applied, 1 if
not, 2 for other arguments.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import BinaryIO

from spindle.actors.tools.patch.apply import apply
from spindle.actors.tools.patch.hunks import PatchError
from spindle.actors.tools.patch.plan import plan

_USAGE = "Usage: apply_patch 'PATCH'\n       echo 'PATCH' | apply_patch\n"
_VERIFICATION = "apply_patch verification failed: "
_INTERRUPTED = 130


def main() -> None:
    """Run as a program, and exit."""
    try:
        code, output, complaint = run(sys.argv[1:], sys.stdin.buffer)
    except KeyboardInterrupt:
        os._exit(_INTERRUPTED)
    try:
        for stream, text in ((sys.stdout, output), (sys.stderr, complaint)):
            stream.buffer.write(os.fsencode(text))
            stream.flush()
    except OSError:  # the reader has gone
        os._exit(code)
    sys.exit(code)


def run(arguments: Sequence[str], source: BinaryIO) -> tuple[int, str, str]:
    """Apply a patch in the working directory; returns (exit code, standard output, standard error)."""
    match arguments:
        case [patch]:
            try:
                patch.encode()
            except UnicodeEncodeError:
                return 1, "", "Error: apply_patch requires a UTF-8 PATCH argument.\n"
        case []:
            try:
                patch = source.read().decode()
            except (OSError, UnicodeDecodeError) as error:
                return 1, "", f"Error: Failed to read PATCH from stdin.\n{_reason(error)}\n"
            if not patch:
                return 2, "", _USAGE
        case _:
            return 2, "", "Error: apply_patch accepts exactly one argument.\n"
    try:
        outcome = apply(plan(patch, os.getcwd()))
    except PatchError as error:
        return 1, "", f"{_spoken(str(error))}\n"
    except OSError as error:
        return 1, "", f"{error.strerror}\n"
    return outcome.exit_code, outcome.stdout, outcome.stderr


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or "" if isinstance(error, OSError) else "stream did not contain valid UTF-8"


def _spoken(message: str) -> str:
    """The answer for a model in the words of the program."""
    if message == "patch rejected: empty patch":
        return "No files were modified."
    message = message.removeprefix(_VERIFICATION)
    message = re.sub(r"^invalid patch: ", "Invalid patch: ", message)
    return re.sub(r"^invalid hunk at line (\d+), ", r"Invalid patch hunk on line \1: ", message)


if __name__ == "__main__":
    main()
