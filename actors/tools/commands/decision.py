"""Decide whether a command may run, and whether in the sandbox. Pure: settings in, a verdict out.

Every plain command of a script is judged, and the strictest decision holds. Without a matching rule, the approval policy and
the sandbox decide. Messages are Codex's.

Rules that ask or forbid match what is written, under any path. Rules that allow match what will be executed: the exact words
that the program gets, and the program that its name resolves to.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Final, Literal, TypeAlias

from spindle.actors.tools.commands import quoting
from spindle.actors.tools.commands.locating import Program
from spindle.actors.tools.commands.rules import Decision, RuleMatch, Rules
from spindle.actors.tools.commands.safety import is_dangerous, is_known_safe
from spindle.actors.tools.commands.script import heredoc_command, plain_commands, read_script, shell_script
from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.settings import (
    AskForApproval,
    DangerFullAccessPolicy,
    ExternalSandboxPolicy,
    GranularApproval,
    SandboxPolicy,
)

SandboxPermissions: TypeAlias = Literal["use_default", "require_escalated", "with_additional_permissions"]
RETRY: Final = "command failed; retry without sandbox?"
WIDER: Final = "the command runs with more permissions than the policy allows now"
ENTER: Final = re.compile(r"[\r\n\x03\x04\x15]")
"""The characters that end or restart a typed line."""

# too wide for a proposed rule: their arguments can do anything
_TOO_WIDE: Final = frozenset(
    tuple(line.split())
    for line in (
        *("python3", "python3 -", "python3 -c", "python", "python -", "python -c", "py", "py -3", "pythonw", "pyw"),
        *(
            "pypy",
            "pypy3",
            "git",
            "bash",
            "bash -lc",
            "sh",
            "sh -c",
            "sh -lc",
            "zsh",
            "zsh -lc",
            "/bin/zsh",
            "/bin/zsh -lc",
        ),
        *("/bin/bash", "/bin/bash -lc", "pwsh", "pwsh -Command", "pwsh -c", "powershell", "powershell -Command"),
        *("powershell -c", "env", "sudo", "node", "node -e", "perl", "perl -e", "ruby", "ruby -e", "php", "php -r"),
        *("lua", "lua -e", "osascript"),
    )
)
_NAMES: Final = {"untrusted": "UnlessTrusted", "on-failure": "OnFailure", "on-request": "OnRequest", "never": "Never"}


@frozen
class AskUser:
    """Ask the user, who may add a rule of the words `amendment`. If accepted, the command runs `sandboxed` or not."""

    reason: str | None = None
    amendment: Sequence[str] | None = None
    sandboxed: bool = True


@frozen
class Run:
    """Run the command. `on_denial` is the question after a denial by the sandbox; None: the failure is final.

    `by_path`: it is allowed because of the files of its programs, so they must be started by path.
    """

    sandboxed: bool = True
    on_denial: AskUser | None = None
    by_path: bool = False


@frozen
class Forbid:
    """Do not run it; `reason` is the answer to the model. `shown`: clients see a declined item."""

    reason: str
    shown: bool = True


Verdict: TypeAlias = Run | AskUser | Forbid


@frozen
class _Read:
    """A plain command: the words for rules that restrict, and the exact words for rules that allow (see `script.Plain`)."""

    words: Sequence[str]
    exact: Sequence[str | None]


@frozen
class _Judged:
    """A judged plain command: its matches, and the decision without any. `rule` are the words of a rule that would allow it."""

    command: _Read
    matches: Sequence[RuleMatch]
    otherwise: Decision
    rule: Sequence[str] | None

    @property
    def decision(self) -> Decision:
        return max((match.rule.decision for match in self.matches), default=self.otherwise)

    @property
    def allowed(self) -> bool:
        """Whether a rule allows it."""
        return any(match.rule.decision is Decision.ALLOW for match in self.matches)


def decide(
    argv: Sequence[str],
    *,
    approval: AskForApproval,
    sandbox: SandboxPolicy,
    rules: Rules,
    programs: Mapping[str, Program],
    permissions: SandboxPermissions = "use_default",
    justification: str | None = None,
    prefix_rule: Sequence[str] | None = None,
) -> Verdict:
    """The verdict on `argv`. The last three arguments come from the model.

    `programs` are those of `programs_of`, found by `locating.locate`.
    """
    if not argv:
        return Forbid("command args are empty")
    escalated = permissions != "use_default"
    if escalated and approval != "on-request":
        name = _NAMES[approval] if isinstance(approval, str) else "Granular"
        return Forbid(
            f"approval policy is {name}; reject command — you cannot ask for escalated permissions if the approval "
            f"policy is {name}",
            shown=False,
        )
    if permissions == "with_additional_permissions":
        return Forbid(
            "additional permissions are disabled; enable `features.exec_permission_approvals` before using "
            "`with_additional_permissions`",
            shown=False,
        )
    judged = [
        _judge(command, _unmatched(command.words, approval, sandbox, escalated), rules, approval, programs)
        for command in _read(argv, programs)
    ]
    decision = max(part.decision for part in judged)
    if decision is Decision.FORBIDDEN:
        return Forbid(_forbidden(argv, judged))
    if decision is Decision.ALLOW:
        allowed = all(part.allowed for part in judged)
        by_path = approval == "untrusted" or allowed
        return Run(not (allowed or escalated), None if allowed or escalated else _retry(approval, judged), by_path)
    by_rule = any(m.rule.decision is Decision.PROMPT for part in judged for m in part.matches)
    if refused := _refused(approval, by_rule):
        return Forbid(refused)
    amendment = _requested(prefix_rule, judged, rules, programs) or _amendment(judged, Decision.PROMPT)
    return AskUser(_prompt_reason(argv, judged) or justification, amendment, not escalated)


def decide_input(
    line: str, *, approval: AskForApproval, rules: Rules, wider: bool
) -> AskUser | Forbid | None:
    """The verdict on text that the model types into a running command; None allows it. `line` is from the start of a line.

    `wider`: the command runs with more permissions than it would get now. The text is judged as if a shell read it.
    """
    judged = [
        _Judged(_Read(words, words), rules.restricting(words, None), Decision.ALLOW, None)
        for part in ENTER.split(line)
        for words in plain_commands(part) or ()
    ]
    decision = max((part.decision for part in judged), default=Decision.ALLOW)
    if decision is Decision.FORBIDDEN:
        return Forbid(_forbidden([line], judged))
    by_rule = decision is Decision.PROMPT
    if not by_rule and not wider:
        return None
    if refused := _refused(approval, by_rule):
        return Forbid(refused)
    return AskUser(_prompt_reason([line], judged) or f"{WIDER}; type {quoting.join([line])}?", sandboxed=by_rule)


def programs_of(argv: Sequence[str]) -> list[str]:
    """The programs that a command names, and the base names of their paths."""
    if not argv:
        return []
    script = shell_script(argv)
    commands = read_script(script) if script is not None else None
    paths = [argv[0], *(command.words[0] for command in commands or ())]
    return list(dict.fromkeys(chain(paths, map(os.path.basename, paths))))


def _read(argv: Sequence[str], programs: Mapping[str, Program]) -> list[_Read]:
    """The plain commands of a script; without a script, `argv` as one."""
    script = shell_script(argv)
    if script is not None and (commands := read_script(script)):
        shell = programs.get(argv[0])
        trusted = shell is not None and shell.system
        read = [_Read(each.words, each.exact if trusted else [None] * len(each.words)) for each in commands]
        joined = script.replace("\\\n", "")  # shells do this first, except in single quotes
        more = read_script(joined) or () if joined != script else ()
        return read + [_Read(each.words, [None] * len(each.words)) for each in more]
    if script is not None and (words := heredoc_command(script)):
        return [_Read(words, [None] * len(words))]  # its input may decide what it does
    return [_Read(argv, argv)]


def _judge(
    command: _Read, otherwise: Decision, rules: Rules, approval: AskForApproval, programs: Mapping[str, Program]
) -> _Judged:
    words, program = command.words, programs.get(command.words[0])
    matches = rules.restricting(words, program)
    if any("\\" in word for word in words):  # an escape must not evade rules
        meant = [re.sub(r"\\(.)", r"\1", word) for word in words]
        matches += [match for match in rules.restricting(meant, program) if match not in matches]
    matches += rules.allowing(command.exact, programs)
    if approval == "untrusted" and is_known_safe(command.exact, program):
        otherwise = Decision.ALLOW
    lasting = Rules((), rules.executables).with_prefix(words).allowing(command.exact, programs)
    return _Judged(command, matches, otherwise, list(words) if lasting else None)


def _unmatched(
    words: Sequence[str], approval: AskForApproval, sandbox: SandboxPolicy, escalated: bool
) -> Decision:
    """The decision for a command without a matching rule."""
    unconfined = isinstance(sandbox, DangerFullAccessPolicy | ExternalSandboxPolicy)
    if is_dangerous(words) and not (approval == "never" and unconfined):
        return Decision.FORBIDDEN if approval == "never" else Decision.PROMPT
    match approval:
        case "never" | "on-failure":
            return Decision.ALLOW
        case "untrusted":
            return Decision.PROMPT
        case _:
            return Decision.PROMPT if escalated and not unconfined else Decision.ALLOW


def _refused(approval: AskForApproval, by_rule: bool) -> str | None:
    """Why the policy forbids asking; None if it does not."""
    if approval == "never":
        return "approval required by policy, but AskForApproval is set to Never"
    if isinstance(approval, GranularApproval):
        if by_rule and not approval.granular.rules:
            return "approval required by policy rule, but AskForApproval::Granular.rules is false"
        if not by_rule and not approval.granular.sandbox_approval:
            return "approval required by policy, but AskForApproval::Granular.sandbox_approval is false"
    return None


def _retry(approval: AskForApproval, judged: Sequence[_Judged]) -> AskUser | None:
    """The question after a denial by the sandbox; None if the policy forbids it."""
    if not retries(approval):
        return None
    return AskUser(RETRY, _amendment(judged, Decision.ALLOW), False)


def retries(approval: AskForApproval) -> bool:
    """Whether a denied command may run again without the sandbox, if the user agrees or has agreed."""
    if isinstance(approval, GranularApproval):
        return approval.granular.sandbox_approval
    return approval in ("untrusted", "on-failure")


def asks(approval: AskForApproval) -> bool:
    """Whether the user may be asked to run a command without a sandbox, on a machine that has none."""
    if isinstance(approval, GranularApproval):
        return approval.granular.sandbox_approval
    return approval != "never"


def _amendment(judged: Sequence[_Judged], decision: Decision) -> Sequence[str] | None:
    """The rule that would avoid the question: for the first unmatched command that led to `decision`."""
    rules = [match.rule for part in judged for match in part.matches]
    if any(decision is Decision.ALLOW or rule.decision is Decision.PROMPT for rule in rules):
        return None
    return next((part.rule for part in judged if not part.matches and part.otherwise is decision), None)


def _requested(
    prefix: Sequence[str] | None, judged: Sequence[_Judged], rules: Rules, programs: Mapping[str, Program]
) -> Sequence[str] | None:
    """The rule that the model proposes, if it is not too wide and would allow every command."""
    if not prefix or tuple(prefix) in _TOO_WIDE or any(part.matches for part in judged):
        return None
    wider = rules.with_prefix(prefix)
    return (
        list(prefix)
        if all(part.otherwise is Decision.ALLOW or wider.allowing(part.command.exact, programs) for part in judged)
        else None
    )


def _most_specific(judged: Sequence[_Judged], decision: Decision) -> RuleMatch | None:
    matches = [match for part in judged for match in part.matches if match.rule.decision is decision]
    return max(reversed(matches), key=lambda match: len(match.prefix), default=None)


def _prompt_reason(argv: Sequence[str], judged: Sequence[_Judged]) -> str | None:
    match = _most_specific(judged, Decision.PROMPT)
    if match is None:
        return None
    if match.rule.justification is None:
        return f"`{quoting.join(argv)}` requires approval by policy"
    return f"`{quoting.join(argv)}` requires approval: {match.rule.justification}"


def _forbidden(argv: Sequence[str], judged: Sequence[_Judged]) -> str:
    match = _most_specific(judged, Decision.FORBIDDEN)
    if match is None:
        return f"`{quoting.join(argv)}` rejected: blocked by policy"
    why = match.rule.justification or f"policy forbids commands starting with `{quoting.join(match.prefix)}`"
    return f"`{quoting.join(argv)}` rejected: {why}"
