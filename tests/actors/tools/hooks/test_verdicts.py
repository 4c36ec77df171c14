"""The meaning of exit codes and output for each event, as observed in Codex."""

import json

import pytest

from spindle.actors.tools.hooks.verdicts import DENIED, STOPPED, ProgramEnd, verdict

EVENTS = ("preToolUse", "permissionRequest", "postToolUse", "sessionStart", "userPromptSubmit", "stop")
INVALID = {
    "preToolUse": "pre-tool-use",
    "permissionRequest": "permission-request",
    "postToolUse": "post-tool-use",
    "sessionStart": "session start",
    "userPromptSubmit": "user prompt submit",
    "stop": "stop hook",
}


def answered(event, **members):
    return verdict(event, ProgramEnd(code=0, out=json.dumps(members)))


def specific(name, **members):
    return {"hookSpecificOutput": {"hookEventName": name, **members}}


def entries(of):
    return [(entry.kind, entry.text) for entry in of.entries]


def fails(of, why):
    assert (of.status, entries(of)) == ("failed", [("error", why)])
    assert (of.reason, of.context, of.feedback, of.allowed) == (None, None, None, False)


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize(
    ("ended", "why"),
    [
        (ProgramEnd(failure="hook timed out after 5s"), "hook timed out after 5s"),
        (ProgramEnd(code=None), "hook exited without a status code"),
        (ProgramEnd(code=1, out="{}", err="no"), "hook exited with code 1"),
        (ProgramEnd(code=127), "hook exited with code 127"),
    ],
)
def test_a_program_that_does_not_end_well_has_failed(event, ended, why):
    fails(verdict(event, ended), why)


@pytest.mark.parametrize("event", EVENTS)
def test_no_output_agrees(event):
    for out in ("", " \n", "{}"):
        of = verdict(event, ProgramEnd(code=0, out=out, err="chatter"))
        assert (of.status, of.entries, of.reason, of.allowed) == ("completed", (), None, False)


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize(
    "out",
    [
        "{",
        "[1]",
        '{"unknown": 1}',
        '{"continue": "no"}',
        '{"decision": "maybe"}',
        '{"hookSpecificOutput": {"additionalContext": "x"}}',
        '{"hookSpecificOutput": {"hookEventName": "Stop", "unknown": 1}}',
    ],
)
def test_json_in_another_form_is_a_failure(event, out):
    fails(verdict(event, ProgramEnd(code=0, out=out)), f"hook returned invalid {INVALID[event]} JSON output")


@pytest.mark.parametrize("out", ["plain text\n", '"abc"'])
def test_plain_text(out):
    for of in (verdict("sessionStart", ProgramEnd(code=0, out=out)), verdict("userPromptSubmit", ProgramEnd(code=0, out=out))):
        assert (of.context, entries(of)) == (out.strip(), [("context", out.strip())])
    fails(verdict("stop", ProgramEnd(code=0, out=out)), "hook returned invalid stop hook JSON output")


@pytest.mark.parametrize("event", ["preToolUse", "postToolUse", "permissionRequest"])
def test_plain_text_around_a_tool_is_ignored(event):
    of = verdict(event, ProgramEnd(code=0, out="chatter"))
    assert (of.status, of.context, of.entries) == ("completed", None, ())


@pytest.mark.parametrize("event", ["preToolUse", "permissionRequest", "userPromptSubmit", "stop"])
def test_exit_code_2_refuses_with_standard_error_as_the_reason(event):
    of = verdict(event, ProgramEnd(code=2, out="ignored", err=" because \n"))
    assert (of.status, of.reason, entries(of)) == ("blocked", "because", [("feedback", "because")])


def test_exit_code_2_after_a_tool_replaces_its_output():
    of = verdict("postToolUse", ProgramEnd(code=2, err=" because \n"))
    assert (of.status, of.feedback, entries(of)) == ("completed", "because", [("feedback", "because")])


@pytest.mark.parametrize(
    ("event", "why"),
    [
        ("preToolUse", "PreToolUse hook exited with code 2 but did not write a blocking reason to stderr"),
        ("permissionRequest", "PermissionRequest hook exited with code 2 but did not write a denial reason to stderr"),
        ("postToolUse", "PostToolUse hook exited with code 2 but did not write feedback to stderr"),
        ("userPromptSubmit", "UserPromptSubmit hook exited with code 2 but did not write a blocking reason to stderr"),
        ("stop", "Stop hook exited with code 2 but did not write a continuation prompt to stderr"),
        ("sessionStart", "hook exited with code 2"),
    ],
)
def test_exit_code_2_without_a_reason(event, why):
    fails(verdict(event, ProgramEnd(code=2, err=" \n")), why)


@pytest.mark.parametrize("event", EVENTS)
def test_a_message_for_the_user_is_a_warning(event):
    assert entries(answered(event, systemMessage="look")) == [("warning", "look")]


@pytest.mark.parametrize("event", ["sessionStart", "userPromptSubmit", "stop"])
def test_continue_false_stops(event):
    of = answered(event, **{"continue": False})
    assert (of.status, of.stopped, of.entries) == ("stopped", True, ())
    assert entries(answered(event, **{"continue": False}, stopReason="enough")) == [("stop", "enough")]
    assert answered(event, stopReason="enough").status == "completed"
    assert answered(event, suppressOutput=True).status == "completed"


@pytest.mark.parametrize("name", ["PreToolUse", "PermissionRequest"])
@pytest.mark.parametrize(
    ("members", "what"),
    [
        ({"continue": False}, "continue:false"),
        ({"stopReason": "x"}, "stopReason"),
        ({"suppressOutput": True}, "suppressOutput"),
    ],
)
def test_an_unsupported_member_before_a_tool_is_a_failure(name, members, what):
    fails(answered(name[0].lower() + name[1:], **members), f"{name} hook returned unsupported {what}")


@pytest.mark.parametrize(
    ("name", "event"), [("UserPromptSubmit", "userPromptSubmit"), ("Stop", "stop"), ("PreToolUse", "preToolUse")]
)
def test_block(name, event):
    of = answered(event, decision="block", reason="no", systemMessage="look")
    assert (of.status, of.reason, entries(of)) == ("blocked", "no", [("warning", "look"), ("feedback", "no")])
    for reason in ({}, {"reason": " "}):
        fails(
            answered(event, decision="block", **reason), f"{name} hook returned decision:block without a non-empty reason"
        )


def test_stopping_overrides_blocking():
    for event in ("userPromptSubmit", "stop"):
        of = answered(event, decision="block", reason="no", **{"continue": False}, stopReason="enough")
        assert (of.status, of.reason, entries(of)) == ("stopped", None, [("stop", "enough")])


@pytest.mark.parametrize("event", ["sessionStart", "userPromptSubmit", "postToolUse"])
def test_context_for_the_model(event):
    of = answered(event, **specific("SessionStart", additionalContext=" kept as it is "))
    assert (of.status, of.context, entries(of)) == (
        "completed",
        " kept as it is ",
        [("context", " kept as it is ")],
    )
    stopped = answered(event, **{"continue": False}, stopReason="enough", **specific("Stop", additionalContext="c"))
    assert (stopped.context, entries(stopped)) == ("c", [("context", "c"), ("stop", "enough")])


def test_context_of_a_refused_prompt():
    of = answered("userPromptSubmit", decision="block", reason="no", **specific("UserPromptSubmit", additionalContext="c"))
    assert (of.status, of.context, entries(of)) == ("blocked", "c", [("context", "c"), ("feedback", "no")])


def before(**members):
    return answered("preToolUse", **specific("PreToolUse", **members))


def test_a_call_is_denied():
    of = before(permissionDecision="deny", permissionDecisionReason=" no way ")
    assert (of.status, of.reason, entries(of)) == ("blocked", "no way", [("feedback", "no way")])


@pytest.mark.parametrize(
    ("members", "why"),
    [
        (
            {"permissionDecision": "deny"},
            "PreToolUse hook returned permissionDecision:deny without a non-empty permissionDecisionReason",
        ),
        ({"permissionDecision": "allow"}, "PreToolUse hook returned unsupported permissionDecision:allow"),
        ({"permissionDecision": "ask"}, "PreToolUse hook returned unsupported permissionDecision:ask"),
        (
            {"permissionDecisionReason": "x"},
            "PreToolUse hook returned permissionDecisionReason without permissionDecision",
        ),
        ({"updatedInput": {}, "permissionDecision": "allow"}, "PreToolUse hook returned unsupported updatedInput"),
        ({"additionalContext": "c"}, "PreToolUse hook returned unsupported additionalContext"),
        (
            {"additionalContext": "c", "permissionDecision": "deny", "permissionDecisionReason": "no"},
            "PreToolUse hook returned unsupported additionalContext",
        ),
    ],
)
def test_unsupported_answers_before_a_tool(members, why):
    fails(before(**members), why)


def test_the_older_form_before_a_tool():
    fails(answered("preToolUse", decision="approve"), "PreToolUse hook returned unsupported decision:approve")
    fails(answered("preToolUse", reason="x"), "PreToolUse hook returned reason without decision")


def permission(**decision):
    return answered("permissionRequest", **specific("PermissionRequest", decision=decision))


def test_a_permission_is_given_or_denied():
    assert permission(behavior="allow").allowed
    assert permission(behavior="allow", updatedInput=None, message="m").allowed
    of = permission(behavior="deny", message=" not here ")
    assert (of.status, of.allowed, of.reason, entries(of)) == ("blocked", False, "not here", [("feedback", "not here")])
    for message in ({}, {"message": " "}, {"interrupt": False}):
        assert permission(behavior="deny", **message).reason == DENIED
    assert answered("permissionRequest", **specific("PermissionRequest")).status == "completed"


@pytest.mark.parametrize(
    ("members", "what"),
    [
        ({"updatedInput": {}}, "updatedInput"),
        ({"updatedPermissions": []}, "updatedPermissions"),
        ({"interrupt": True}, "interrupt:true"),
    ],
)
def test_unsupported_members_of_a_permission(members, what):
    fails(permission(behavior="allow", **members), f"PermissionRequest hook returned unsupported {what}")


def test_feedback_after_a_tool():
    of = answered("postToolUse", decision="block", reason=" as it is ")
    assert (of.status, of.feedback, entries(of)) == ("blocked", " as it is ", [("feedback", " as it is ")])
    of = answered("postToolUse", **{"continue": False})
    assert (of.status, of.feedback, entries(of)) == ("stopped", STOPPED, [("stop", STOPPED)])
    of = answered("postToolUse", **{"continue": False}, stopReason="enough", decision="block", reason="better")
    assert (of.status, of.feedback, entries(of)) == ("stopped", "better", [("stop", "enough")])


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"reason": "x"}, "PostToolUse hook returned reason without decision"),
        ({"decision": "block"}, "PostToolUse hook returned decision:block without a non-empty reason"),
        ({"suppressOutput": True}, "PostToolUse hook returned unsupported suppressOutput"),
        (
            specific("PostToolUse", additionalContext="c", updatedMCPToolOutput=1),
            "PostToolUse hook returned unsupported updatedMCPToolOutput",
        ),
    ],
)
def test_unsupported_answers_after_a_tool(members, why):
    fails(answered("postToolUse", **members), why)
