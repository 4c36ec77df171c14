"""The hello: what a process is like, as far as a client notices where its daemon runs.

A relay sends it as one line of JSON, and the daemon compares it with its own. The answer is one line too: `{"accepted": true}`,
`{"refused": REASON}`, or `{"ending": true}` from a daemon that is not in use and ends, so that the relay can start another.

Standard library only, and little of it: a relay has to start fast and stay small.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Mapping, Sequence

FORM = 1
"""The version of the hello."""

LONGEST = 8 * 1024 * 1024
"""Bytes of a hello. Linux limits an environment to 6 MiB."""

# fmt: off
HARMLESS = frozenset((
    "CODEX_HOME", "COLORTERM", "COLUMNS", "COMMAND_MODE", "DESKTOP_STARTUP_ID", "GIO_LAUNCHED_DESKTOP_FILE",
    "GIO_LAUNCHED_DESKTOP_FILE_PID", "INSIDE_EMACS", "INVOCATION_ID", "JOURNAL_STREAM", "LC_TERMINAL",
    "LC_TERMINAL_VERSION", "LINES", "LOG_FORMAT", "LaunchInstanceID", "MANAGERPID", "MEMORY_PRESSURE_WATCH",
    "MEMORY_PRESSURE_WRITE", "MYVIMRC", "NVIM", "NVIM_LOG_FILE", "OLDPWD", "PWD", "SECURITYSESSIONID", "SHLVL",
    "SPINDLE_LOG", "SSH_CLIENT", "SSH_CONNECTION", "SSH_TTY", "STY", "SYSTEMD_EXEC_PID", "TERM", "TERMINAL_EMULATOR",
    "TERM_PROGRAM", "TERM_PROGRAM_VERSION", "TERM_SESSION_ID", "TMUX", "TMUX_PANE", "VIM", "VIMRUNTIME",
    "VTE_VERSION", "WINDOW", "WINDOWID", "WT_PROFILE_ID", "WT_SESSION", "XDG_ACTIVATION_TOKEN", "XDG_SESSION_ID",
    "XPC_FLAGS", "XPC_SERVICE_NAME", "_", "__CFBundleIdentifier",
))
# fmt: on
"""Variables that may differ: they name a terminal, an editor or a session. Relays of one home meet at the home's path."""
HARMLESS_PREFIXES = (
    *("ALACRITTY_", "CURSOR_", "GHOSTTY_", "GNOME_TERMINAL_", "ITERM_", "KITTY_", "KONSOLE_", "VSCODE_"),
    *("WEZTERM_", "ZED_", "ZELLIJ"),
)


def hello(overrides: Sequence[str], features: Sequence[tuple[str, bool]] = ()) -> dict[str, object]:
    """The hello of this process. For a process with one thread. Raises OSError.

    overrides: values of -c. features: names of --enable (True) and --disable (False).
    """
    named = dict(_named(text) for text in overrides)
    named |= {f"features.{name}": str(on).lower() for name, on in features}
    return {
        "form": FORM,
        "version": version(),
        "cwd": os.getcwd(),
        "overrides": named,
        "environment": {name: value for name, value in os.environ.items() if not harmless(name)},
        "limits": {name: list(resource.getrlimit(number)) for name, number in limits().items()},
        "umask": _umask(),
    }


def harmless(name: str) -> bool:
    """Whether a variable of the environment may differ."""
    return name in HARMLESS or name.startswith(HARMLESS_PREFIXES)


def limits() -> Mapping[str, int]:
    """The resource limits of this system, by name: `nofile` and so on. RLIMIT_OFILE is another name of one."""
    numbers = {getattr(resource, name): name for name in reversed(dir(resource)) if name.startswith("RLIMIT_")}
    return {name.removeprefix("RLIMIT_").lower(): number for number, name in numbers.items()}


def version() -> str:
    """The version of this Spindle, by the name of its metadata's folder: reading the metadata would slow each start.

    With the folder of the code if that is elsewhere, as in development: another folder is another program then.
    """
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    for folder in sys.path:
        for name in _names(folder):
            if name.startswith("spindle-") and name.endswith(".dist-info"):
                number = name.removeprefix("spindle-").removesuffix(".dist-info")
                return number if folder == os.path.dirname(package) else f"{number} in {package}"
    return f"unknown in {package}"


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder or ".")
    except OSError:
        return []


def _named(override: str) -> tuple[str, str]:
    name, _, value = override.partition("=")
    return name.strip(), value.strip()


def _umask() -> int:
    umask = os.umask(0o077)
    os.umask(umask)
    return umask
