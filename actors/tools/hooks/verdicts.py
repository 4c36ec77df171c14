"""The verdict of a hook, from the exit code and the output of its program.

Forms and messages are those of Codex 0.124. A program whose answer is invalid for its event has failed: the turn continues as
if it had not run.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, cast

import orjson
from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.converter import InvalidValue, structure
from spindle.rpc.protocol.hooks import CONFIGURED_AS, HookEventName, HookOutputEntry, HookRunStatus
from spindle.rpc.protocol.values import loads

STOPPED: Final = "PostToolUse hook stopped execution"
DENIED: Final = "PermissionRequest hook denied approval"

_Event = Literal["PreToolUse", "PermissionRequest", "PostToolUse", "SessionStart", "UserPromptSubmit", "Stop"]


@frozen(kw_only=True)
class ProgramEnd:
    """The end of a program. `code` is None if a signal ended it; `failure` says why it did not run to its end."""

    code: int | None = None
    out: str = ""
    err: str = ""
    failure: str | None = None


@frozen(kw_only=True)
class HookVerdict:
    """What a hook decided.

    reason: of a refused call, permission or prompt; for Stop, the prompt to continue with. context: more text for the model.
    feedback: replaces the tool's answer to the model. allowed: a permission is granted.
    """

    status: HookRunStatus = "completed"
    entries: tuple[HookOutputEntry, ...] = ()
    reason: str | None = None
    context: str | None = None
    feedback: str | None = None
    allowed: bool = False

    @property
    def stopped(self) -> bool:
        """Whether the turn stops."""
        return self.status == "stopped"


@frozen(kw_only=True)
class _Decision:
    behavior: Literal["allow", "deny"]
    message: str | None = None
    interrupt: bool = False
    updated_input: object = None
    updated_permissions: object = None


@frozen(kw_only=True)
class _Specific:
    hook_event_name: _Event
    additional_context: str | None = None
    permission_decision: Literal["allow", "deny", "ask"] | None = None
    permission_decision_reason: str | None = None
    updated_input: object = None
    updated_mcp_output: object = field(default=None, metadata={"wire": "updatedMCPToolOutput"})
    decision: _Decision | None = None


@frozen(kw_only=True)
class _Answer:
    goes_on: bool = field(default=True, metadata={"wire": "continue"})
    stop_reason: str | None = None
    suppress_output: bool = False
    system_message: str | None = None
    decision: Literal["approve", "block"] | None = None
    reason: str | None = None
    specific: _Specific | None = field(default=None, metadata={"wire": "hookSpecificOutput"})


@frozen
class _Form:
    """The members that answers to one event may have beyond `_ALWAYS`, and the words for messages."""

    name: str
    wanted: str = ""
    """What standard error means with exit code 2; empty if that code has no meaning."""
    words: frozenset[str] = frozenset()
    specific: frozenset[str] | None = None
    text: Literal["context", "ignored", "refused"] = "ignored"
    """How output that is not JSON is handled."""


_ALWAYS: Final = frozenset(("continue", "stopReason", "suppressOutput", "systemMessage"))
_DECISION: Final = frozenset(("behavior", "message", "interrupt", "updatedInput", "updatedPermissions"))
_BLOCK: Final = frozenset(("block",))
_CONTEXT: Final = frozenset(("additionalContext",))
_FORMS: Final[Mapping[HookEventName, _Form]] = {
    "sessionStart": _Form("session start", specific=_CONTEXT, text="context"),
    "userPromptSubmit": _Form("user prompt submit", "a blocking reason", _BLOCK, _CONTEXT, "context"),
    "preToolUse": _Form(
        "pre-tool-use",
        "a blocking reason",
        frozenset(("approve", "block")),
        _CONTEXT | {"permissionDecision", "permissionDecisionReason", "updatedInput"},
    ),
    "permissionRequest": _Form("permission-request", "a denial reason", specific=frozenset(("decision",))),
    "postToolUse": _Form("post-tool-use", "feedback", _BLOCK, _CONTEXT | {"updatedMCPToolOutput"}),
    "stop": _Form("stop hook", "a continuation prompt", _BLOCK, text="refused"),
}


def verdict(event: HookEventName, ended: ProgramEnd) -> HookVerdict:
    """The verdict of a hook for `event`."""
    form = _FORMS[event]
    if ended.failure is not None:
        return _failed(ended.failure)
    if ended.code is None:
        return _failed("hook exited without a status code")
    if ended.code == 2 and form.wanted:
        feedback = ended.err.strip()
        if not feedback:
            return _failed(f"{CONFIGURED_AS[event]} hook exited with code 2 but did not write {form.wanted} to stderr")
        if event == "postToolUse":
            return HookVerdict(entries=(HookOutputEntry("feedback", feedback),), feedback=feedback)
        return _blocked((), feedback)
    if ended.code != 0:
        return _failed(f"hook exited with code {ended.code}")
    out = ended.out.strip()
    if not out:
        return HookVerdict()
    answer = _answer(form, out)
    if answer is not None:
        return _READERS[event](answer)
    if out[0] in "{[" or form.text == "refused":
        return _failed(f"hook returned invalid {form.name} JSON output")
    if form.text == "context":
        return HookVerdict(entries=(HookOutputEntry("context", out),), context=out)
    return HookVerdict()


def _answer(form: _Form, out: str) -> _Answer | None:
    """The answer; None if it is not valid for the event."""
    try:
        given = loads(out)
        answer = structure(given, _Answer)
    except (orjson.JSONDecodeError, InvalidValue):
        return None
    members = cast("dict[str, Any]", given)
    allowed = _ALWAYS.union(
        ("decision", "reason") if form.words else (), ("hookSpecificOutput",) if form.specific else ()
    )
    inside: dict[str, Any] = members.get("hookSpecificOutput") or {}
    known = (
        members.keys() <= allowed
        and inside.keys() <= {"hookEventName", *(form.specific or ())}
        and (inside.get("decision") or {}).keys() <= _DECISION
        and (answer.decision is None or answer.decision in form.words)
    )
    return answer if known else None


# -- by event


def _session_start(answer: _Answer) -> HookVerdict:
    entries, context = _shown(answer)
    return _stopped(answer, entries, context) or HookVerdict(entries=entries, context=context)


def _user_prompt(answer: _Answer) -> HookVerdict:
    fault = _unexplained("UserPromptSubmit", answer)
    entries, context = _shown(answer, with_context=fault is None)
    if (stopped := _stopped(answer, entries, context)) is not None:
        return stopped
    if fault is not None:
        return _failed(fault, entries)
    if answer.decision == "block":
        return _blocked(entries, answer.reason or "", context)
    return HookVerdict(entries=entries, context=context)


def _stop(answer: _Answer) -> HookVerdict:
    entries, _ = _shown(answer)
    if (stopped := _stopped(answer, entries)) is not None:
        return stopped
    if (fault := _unexplained("Stop", answer)) is not None:
        return _failed(fault, entries)
    if answer.decision == "block":
        return _blocked(entries, (answer.reason or "").strip())
    return HookVerdict(entries=entries)


def _pre_tool_use(answer: _Answer) -> HookVerdict:
    entries, _ = _shown(answer, with_context=False)
    specific = answer.specific
    if specific is not None and (
        specific.permission_decision or specific.permission_decision_reason or specific.updated_input is not None
    ):
        decided, reason = specific.permission_decision == "deny", specific.permission_decision_reason
        fault = _unsupported_decision(specific)
    else:
        decided, reason = answer.decision == "block", answer.reason
        fault = _unexplained("PreToolUse", answer)
        if answer.decision == "approve":
            fault = "PreToolUse hook returned unsupported decision:approve"
        elif answer.decision is None and reason is not None:
            fault = "PreToolUse hook returned reason without decision"
    if specific is not None and specific.additional_context is not None and specific.updated_input is None:
        fault = "PreToolUse hook returned unsupported additionalContext"
    if (fault := _unsupported("PreToolUse", answer) or fault) is not None:
        return _failed(fault, entries)
    return _blocked(entries, (reason or "").strip()) if decided else HookVerdict(entries=entries)


def _unsupported_decision(specific: _Specific) -> str | None:
    if specific.updated_input is not None:
        return "PreToolUse hook returned unsupported updatedInput"
    match specific.permission_decision:
        case "deny":
            if (specific.permission_decision_reason or "").strip():
                return None
            return "PreToolUse hook returned permissionDecision:deny without a non-empty permissionDecisionReason"
        case None:
            return "PreToolUse hook returned permissionDecisionReason without permissionDecision"
        case word:
            return f"PreToolUse hook returned unsupported permissionDecision:{word}"


def _permission_request(answer: _Answer) -> HookVerdict:
    entries, _ = _shown(answer)
    decision = None if answer.specific is None else answer.specific.decision
    fault = _unsupported("PermissionRequest", answer)
    if decision is None:
        return HookVerdict(entries=entries) if fault is None else _failed(fault, entries)
    if fault is None:
        for name, given in (
            ("updatedInput", decision.updated_input is not None),
            ("updatedPermissions", decision.updated_permissions is not None),
            ("interrupt:true", decision.interrupt),
        ):
            if given:
                fault = f"PermissionRequest hook returned unsupported {name}"
                break
    if fault is not None:
        return _failed(fault, entries)
    if decision.behavior == "allow":
        return HookVerdict(entries=entries, allowed=True)
    return _blocked(entries, (decision.message or "").strip() or DENIED)


def _post_tool_use(answer: _Answer) -> HookVerdict:
    fault = _unexplained("PostToolUse", answer)
    if fault is None and answer.decision is None and answer.goes_on and answer.reason is not None:
        fault = "PostToolUse hook returned reason without decision"
    if answer.specific is not None and answer.specific.updated_mcp_output is not None:
        fault = "PostToolUse hook returned unsupported updatedMCPToolOutput"
    if answer.suppress_output:
        fault = "PostToolUse hook returned unsupported suppressOutput"
    entries, context = _shown(answer, with_context=fault is None)
    if not answer.goes_on:
        shown = answer.stop_reason or STOPPED
        feedback = answer.reason if (answer.reason or "").strip() else shown
        entries = (*entries, HookOutputEntry("stop", shown))
        return HookVerdict(status="stopped", entries=entries, context=context, feedback=feedback)
    if fault is not None:
        return _failed(fault, entries)
    if answer.decision == "block":
        entries = (*entries, HookOutputEntry("feedback", answer.reason or ""))
        return HookVerdict(status="blocked", entries=entries, context=context, feedback=answer.reason)
    return HookVerdict(entries=entries, context=context)


_READERS: Final[Mapping[HookEventName, Callable[[_Answer], HookVerdict]]] = {
    "sessionStart": _session_start,
    "userPromptSubmit": _user_prompt,
    "preToolUse": _pre_tool_use,
    "permissionRequest": _permission_request,
    "postToolUse": _post_tool_use,
    "stop": _stop,
}


# -- shared


def _shown(answer: _Answer, *, with_context: bool = True) -> tuple[tuple[HookOutputEntry, ...], str | None]:
    entries: list[HookOutputEntry] = []
    if answer.system_message is not None:
        entries.append(HookOutputEntry("warning", answer.system_message))
    context = answer.specific.additional_context if answer.specific is not None and with_context else None
    if context is not None:
        entries.append(HookOutputEntry("context", context))
    return tuple(entries), context


def _stopped(answer: _Answer, entries: tuple[HookOutputEntry, ...], context: str | None = None) -> HookVerdict | None:
    if answer.goes_on:
        return None
    if answer.stop_reason is not None:
        entries = (*entries, HookOutputEntry("stop", answer.stop_reason))
    return HookVerdict(status="stopped", entries=entries, context=context)


def _blocked(entries: tuple[HookOutputEntry, ...], reason: str, context: str | None = None) -> HookVerdict:
    return HookVerdict(
        status="blocked", entries=(*entries, HookOutputEntry("feedback", reason)), reason=reason, context=context
    )


def _failed(why: str, entries: tuple[HookOutputEntry, ...] = ()) -> HookVerdict:
    return HookVerdict(status="failed", entries=(*entries, HookOutputEntry("error", why)))


def _unexplained(name: str, answer: _Answer) -> str | None:
    if answer.decision == "block" and not (answer.reason or "").strip():
        return f"{name} hook returned decision:block without a non-empty reason"
    return None


def _unsupported(name: str, answer: _Answer) -> str | None:
    for what, given in (
        ("continue:false", not answer.goes_on),
        ("stopReason", answer.stop_reason is not None),
        ("suppressOutput", answer.suppress_output),
    ):
        if given:
            return f"{name} hook returned unsupported {what}"
    return None
