"""The offers of the tools that run commands. Names and types are Codex's, the descriptions our own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from spindle.actors.tools.interface import function

Schema: TypeAlias = dict[str, Any]


def _text(description: str) -> Schema:
    return {"type": "string", "description": description}


def _number(description: str) -> Schema:
    return {"type": "number", "description": description}


def _flag(description: str) -> Schema:
    return {"type": "boolean", "description": description}


def _words(description: str) -> Schema:
    return {"type": "array", "items": {"type": "string"}, "description": description}


_WORKDIR: Final = _text("Directory to run in; relative to the working directory of the turn, which is the default.")
_YIELD: Final = _number(
    "How many milliseconds to wait for the end of the command before answering with its output so far."
)
_MOST: Final = _number("How many tokens of output to answer at most; the middle of longer output is left out.")
_ESCALATION: Final[Mapping[str, Schema]] = {
    "sandbox_permissions": _text(
        'Set it to "require_escalated" to ask for a run without the sandbox; the default is "use_default".'
    ),
    "justification": _text(
        "With require_escalated only: one question to the user that says what the command is needed for, such as "
        '"Do you want to download the dependencies of this project?"'
    ),
    "prefix_rule": _words(
        "With require_escalated only: the first words of the command, if similar ones may be run without asking from now on, "
        'such as ["npm", "install"]. Keep it as narrow as is useful.'
    ),
}

EXEC_COMMAND: Final = function(
    "exec_command",
    "Runs a command. Answers with its output and exit code, or, if it still runs after the wait, with the number of a session "
    "that write_stdin continues.",
    {
        "cmd": _text("The command, as a line or script of a shell."),
        "workdir": _WORKDIR,
        "shell": _text("Shell to run it with; the user's by default."),
        "login": _flag("Whether the shell is a login shell; it is by default."),
        "tty": _flag(
            "Whether the command gets a terminal, and so can be written to; by default it gets pipes and no input."
        ),
        "yield_time_ms": _YIELD,
        "max_output_tokens": _MOST,
        **_ESCALATION,
    },
    ["cmd"],
)
WRITE_STDIN: Final = function(
    "write_stdin",
    "Writes to a session that exec_command began, and answers with what it has written since the last answer.",
    {
        "session_id": _number("The number of the session."),
        "chars": _text("What to write; leave it empty to see what is new."),
        "yield_time_ms": _YIELD,
        "max_output_tokens": _MOST,
    },
    ["session_id"],
)
SHELL: Final = function(
    "shell",
    "Runs a program with its arguments and answers with its output. To use a shell's syntax, run the shell: "
    '["bash", "-lc", "…"]. Set workdir rather than change directories.',
    {
        "command": _words("The program and its arguments."),
        "workdir": _WORKDIR,
        "timeout_ms": _number("Milliseconds after which the command is killed."),
        **_ESCALATION,
    },
    ["command"],
)

SHELL_COMMAND: Final = function(
    "shell_command",
    "Runs a script of the user's shell to its end and answers with its output. Set workdir rather than change directories.",
    {
        "command": _text("The script."),
        "workdir": _WORKDIR,
        "timeout_ms": _number("Milliseconds after which the script is killed."),
        "login": _flag("Whether the shell is a login shell; it is by default."),
        **_ESCALATION,
    },
    ["command"],
)
