"""May a command run, and in the sandbox or without it? Pure: settings in, a verdict out.

A script is judged by all of its plain commands and the strictest decision holds. Where no rule says anything, the approval
policy and the sandbox do. Wordings are the reference's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

from attrs import frozen

from spindle.actors.tools.commands import quoting
from spindle.actors.tools.commands.rules import Decision, Match, Rules
from spindle.actors.tools.commands.safety import is_dangerous, is_known_safe
from spindle.actors.tools.commands.script import heredoc_command, is_literal, plain_commands, shell_script
from spindle.rpc.protocol.settings import (
    AskForApproval,
    DangerFullAccessPolicy,
    ExternalSandboxPolicy,
    GranularApproval,
    SandboxPolicy,
)

SandboxPermissions: TypeAlias = Literal["use_default", "require_escalated", "with_additional_permissions"]
RETRY: Final = "command failed; retry without sandbox?"

# too wide to be offered as a rule: what follows them can do anything
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
class Ask:
    """Ask the user. `amendment` are the words of a rule that could be added; accepted, it runs `sandboxed` or not."""

    reason: str | None = None
    amendment: Sequence[str] | None = None
    sandboxed: bool = True


@frozen
class Run:
    """Run it. `on_denial` is what to ask if the sandbox stops it; None: the failure stands."""

    sandboxed: bool = True
    on_denial: Ask | None = None


@frozen
class Forbid:
    """Do not run it, and tell the model why; clients are shown it unless it was asked for in a way that cannot be."""

    reason: str
    shown: bool = True


Verdict: TypeAlias = Run | Ask | Forbid


@frozen
class _Judged:
    """One plain command: the rules for it, or what holds without any."""

    words: Sequence[str]
    matches: Sequence[Match]
    otherwise: Decision

    @property
    def decision(self) -> Decision:
        return max((match.rule.decision for match in self.matches), default=self.otherwise)


def decide(
    argv: Sequence[str],
    *,
    approval: AskForApproval,
    sandbox: SandboxPolicy,
    rules: Rules,
    permissions: SandboxPermissions = "use_default",
    justification: str | None = None,
    prefix_rule: Sequence[str] | None = None,
) -> Verdict:
    """What is to be done with `argv`; the last three are what the model asked for with it."""
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
    script = shell_script(argv)
    commands = plain_commands(script) if script is not None else None
    complex_script = False
    if commands is None and script is not None and (words := heredoc_command(script)):
        commands, complex_script = [words], True
    commands = commands or [list(argv)]
    literal = not complex_script and (script is None or is_literal(script))
    judged = [
        _Judged(
            words,
            _matches(words, rules, literal),
            _unmatched(
                words, approval, sandbox, escalated, not complex_script and is_known_safe(words, literal=literal)
            ),
        )
        for words in commands
    ]
    decision = max(part.decision for part in judged)
    if decision is Decision.FORBIDDEN:
        return Forbid(_forbidden(argv, judged))
    if decision is Decision.ALLOW:
        allowed = all(any(m.rule.decision is Decision.ALLOW for m in part.matches) for part in judged)
        return Run(
            not (allowed or escalated), None if allowed or escalated else _retry(approval, judged, complex_script)
        )
    by_rule = any(m.rule.decision is Decision.PROMPT for part in judged for m in part.matches)
    if refused := _refused(approval, by_rule):
        return Forbid(refused)
    amendment = None
    if not complex_script:
        amendment = _requested(prefix_rule, judged, rules) or _amendment(judged, Decision.PROMPT)
    return Ask(_prompt_reason(argv, judged) or justification, amendment, not escalated)


def _matches(words: Sequence[str], rules: Rules, literal: bool) -> list[Match]:
    """The rules for a command; an escape does not lead past those that restrict it."""
    found = rules.matches(words)
    if not literal:
        meant = [re.sub(r"\\(.)", r"\1", word) for word in words]
        found += [
            match for match in rules.matches(meant) if match not in found and match.rule.decision is not Decision.ALLOW
        ]
    return found


def _unmatched(
    words: Sequence[str], approval: AskForApproval, sandbox: SandboxPolicy, escalated: bool, safe: bool
) -> Decision:
    """What holds for a command that no rule mentions."""
    unconfined = isinstance(sandbox, DangerFullAccessPolicy | ExternalSandboxPolicy)
    if safe:
        return Decision.ALLOW
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
    """Why the policy does not let this question through."""
    if approval == "never":
        return "approval required by policy, but AskForApproval is set to Never"
    if isinstance(approval, GranularApproval):
        if by_rule and not approval.granular.rules:
            return "approval required by policy rule, but AskForApproval::Granular.rules is false"
        if not by_rule and not approval.granular.sandbox_approval:
            return "approval required by policy, but AskForApproval::Granular.sandbox_approval is false"
    return None


def _retry(approval: AskForApproval, judged: Sequence[_Judged], complex_script: bool) -> Ask | None:
    """The question after a denial by the sandbox, where the policy lets it be asked."""
    if not retries(approval):
        return None
    return Ask(RETRY, None if complex_script else _amendment(judged, Decision.ALLOW), False)


def retries(approval: AskForApproval) -> bool:
    """Whether what the sandbox has stopped may be tried again without it, once the user agrees or has agreed already."""
    if isinstance(approval, GranularApproval):
        return approval.granular.sandbox_approval
    return approval in ("untrusted", "on-failure")


def asks(approval: AskForApproval) -> bool:
    """Whether the user may be asked to let a command run without a sandbox that this machine does not have."""
    if isinstance(approval, GranularApproval):
        return approval.granular.sandbox_approval
    return approval != "never"


def _amendment(judged: Sequence[_Judged], decision: Decision) -> Sequence[str] | None:
    """The rule that would have spared the question: for the first command without a rule that led to `decision`."""
    rules = [match.rule for part in judged for match in part.matches]
    if any(decision is Decision.ALLOW or rule.decision is Decision.PROMPT for rule in rules):
        return None
    return next((part.words for part in judged if not part.matches and part.otherwise is decision), None)


def _requested(prefix: Sequence[str] | None, judged: Sequence[_Judged], rules: Rules) -> Sequence[str] | None:
    """The rule the model proposes, if it is not too wide and would allow all that is asked for."""
    if not prefix or tuple(prefix) in _TOO_WIDE or any(part.matches for part in judged):
        return None
    wider = rules.with_prefix(prefix)
    parts = (_Judged(part.words, wider.matches(part.words), part.otherwise) for part in judged)
    return list(prefix) if all(part.decision is Decision.ALLOW for part in parts) else None


def _most_specific(judged: Sequence[_Judged], decision: Decision) -> Match | None:
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
