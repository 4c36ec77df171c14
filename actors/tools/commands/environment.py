"""The environment and the shell of a command, by `shell_environment_policy` of config.toml.

The policy applies in this order: inherited variables, without the keys that the configuration names, default excludes,
`exclude`, `set`, `include_only`. Our own programs are on the PATH under every policy.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import shutil
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, Literal, TypeAlias, cast

from attrs import field

from spindle.actors.tools.commands.script import SHELLS, shell_script
from spindle.rpc.lazy_class import frozen

Inherit: TypeAlias = Literal["all", "core", "none"]
_CORE: Final = frozenset(
    {"HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "USER", "USERNAME", "TMPDIR", "TEMP", "TMP"}
)
_SECRET: Final = ("*KEY*", "*SECRET*", "*TOKEN*")

NETWORK_DISABLED: Final = "CODEX_SANDBOX_NETWORK_DISABLED"
_QUIET: Final[Mapping[str, str]] = {
    "NO_COLOR": "1",
    "TERM": "dumb",
    "LANG": "C.UTF-8",
    "LC_CTYPE": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "COLORTERM": "",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "GH_PAGER": "cat",
    "CODEX_CI": "1",
}
"""For `exec_command`, so that programs write plain text and start no pager."""


@frozen
class Programs:
    """Our own programs for commands: their folder, their names, and the paths that must be readable to run them."""

    folder: str
    names: Sequence[str]
    readable: Sequence[str]


@frozen(kw_only=True)
class EnvironmentPolicy:
    """Which variables a command inherits. Patterns have `*` and `?` and ignore case.

    `keys` are variables from which the configuration takes credentials. A command inherits only those in `allow_keys`.
    """

    inherit: Inherit = "all"
    keys: AbstractSet[str] = frozenset()
    allow_keys: Sequence[str] = ()
    ignore_default_excludes: bool = True
    exclude: Sequence[str] = ()
    set: Mapping[str, str] = field(factory=dict[str, str])
    include_only: Sequence[str] = ()

    def without_keys(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """The inherited environment without the keys. A variable of `_CORE` is never a key."""
        allowed = _matcher(self.allow_keys)
        kept = {name for name in self.keys if name.upper() not in _CORE and not allowed.fullmatch(name)}
        return {name: value for name, value in inherited.items() if name not in kept}


def environment_policy(table: object, keys: AbstractSet[str] = frozenset()) -> EnvironmentPolicy:
    """The policy of a `[shell_environment_policy]` table; a missing member or one of a wrong type has its default."""
    given: Mapping[str, Any] = cast("Mapping[str, Any]", table) if isinstance(table, Mapping) else {}

    def texts(name: str) -> tuple[str, ...]:
        value = given.get(name)
        values = cast("list[object]", value) if isinstance(value, list) else []
        return tuple(text for text in values if isinstance(text, str))

    inherit, values = given.get("inherit"), given.get("set")
    ignore = given.get("ignore_default_excludes")
    return EnvironmentPolicy(
        inherit=inherit if inherit in ("all", "core", "none") else "all",
        keys=keys,
        allow_keys=texts("allow_keys"),
        ignore_default_excludes=ignore if isinstance(ignore, bool) else True,
        exclude=texts("exclude"),
        set={str(k): str(v) for k, v in cast("Mapping[object, object]", values).items()}
        if isinstance(values, Mapping)
        else {},
        include_only=texts("include_only"),
    )


def _matcher(patterns: Iterable[str]) -> re.Pattern[str]:
    """A pattern that fully matches any of `patterns`; without any, it matches nothing."""
    parts = (re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".") for pattern in patterns)
    return re.compile("|".join(f"(?:{part})" for part in parts) or r"(?!)", re.IGNORECASE | re.DOTALL)


def command_environment(
    policy: EnvironmentPolicy,
    *,
    thread_id: str | None,
    inherited: Mapping[str, str],
    network: bool = True,
    quiet: bool = False,
    programs: Programs | None = None,
) -> dict[str, str]:
    """The environment of one command. `quiet` is for `exec_command`; `network` False if a sandbox denies it.

    The folder of `programs` is put first on its PATH. If the policy leaves no PATH, `with_programs` adds it.
    """
    match policy.inherit:
        case "all":
            env = policy.without_keys(inherited)
        case "core":
            env = {name: value for name, value in inherited.items() if name.upper() in _CORE}
        case _:
            env = {}
    for patterns in (() if policy.ignore_default_excludes else _SECRET, policy.exclude):
        if patterns:
            drop = _matcher(patterns)
            env = {name: value for name, value in env.items() if not drop.fullmatch(name)}
    env |= policy.set
    if policy.include_only:
        keep = _matcher(policy.include_only)
        env = {name: value for name, value in env.items() if keep.fullmatch(name)}
    if programs is not None and "PATH" in env:
        env["PATH"] = f"{programs.folder}{os.pathsep}{env['PATH']}"
    if thread_id is not None:
        env["CODEX_THREAD_ID"] = thread_id
    if quiet:
        env |= _QUIET
    if not network:
        env[NETWORK_DISABLED] = "1"
    return env


def user_shell() -> str:
    """The path of the user's login shell if it is bash, zsh or sh; else /bin/sh."""
    try:
        shell = pwd.getpwuid(os.getuid()).pw_shell
    except KeyError:
        shell = os.environ.get("SHELL", "")
    return find_shell(shell)


def find_shell(wanted: str) -> str:
    """The path of the shell `wanted` (a path or a name), or of another with its name; else /bin/sh."""
    name = os.path.basename(wanted)
    if name in SHELLS:
        if os.path.isabs(wanted) and os.access(wanted, os.X_OK):
            return wanted
        found = f"/bin/{name}" if os.access(f"/bin/{name}", os.X_OK) else shutil.which(name)
        if found:
            return found
    return "/bin/sh"


def shell_argv(script: str, *, shell: str | None = None, login: bool = True) -> list[str]:
    """The command line that runs `script`: by default in the user's shell, as a login shell."""
    return [user_shell() if shell is None else find_shell(shell), "-lc" if login else "-c", script]


def with_programs(argv: Sequence[str], env: Mapping[str, str], programs: Programs) -> list[str]:
    """The command line; a script that names one of the programs is changed to find it.

    The profile of a login shell may reset PATH, and a shell without a PATH uses a default. Other scripts are not changed.
    """
    script = shell_script(argv)
    if script is not None and any(name in script for name in programs.names) and (argv[1] == "-lc" or "PATH" not in env):
        return [argv[0], argv[1], f"PATH={shlex.quote(programs.folder)}:$PATH; {script}"]
    return list(argv)
