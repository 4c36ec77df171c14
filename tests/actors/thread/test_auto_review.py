"""Approvals that a model decides about instead of the user."""

import json

import pytest
import trio
from tests.actors.talks import Refused

from spindle import CommandApproval
from spindle.actors.turn.guardian import CONSECUTIVE, TIMEOUT
from spindle.actors.turn.transcript import APPROVED
from spindle.rpc.model.interface import ModelError
from spindle.rpc.protocol.guardian import (
    CommandGuardianApprovalReviewAction,
    GuardianWarningNotification,
    ItemGuardianApprovalReviewCompletedNotification,
    ItemGuardianApprovalReviewStartedNotification,
)

REVIEWED = [("sandbox_mode", "read-only"), ("approval_policy", "on-request"), ("approvals_reviewer", "auto_review")]


ESCALATED = {"sandbox_permissions": "require_escalated", "justification": "it has to be"}


def call(script, id="c1", **more):
    arguments = {"cmd": script, "login": False, **(more or ESCALATED)}
    return [{"type": "function_call", "call_id": id, "name": "exec_command", "arguments": json.dumps(arguments)}]


def verdict(outcome, **more):
    given = {"risk_level": "low", "user_authorization": "high", "outcome": outcome, "rationale": "so it is", **more}
    return [json.dumps(given)]


@pytest.fixture
def reviewing(opened, scripted):
    """reviewing(*answers, config) -> a runtime to enter, and its model."""

    def open_(*answers, config=REVIEWED):
        model = scripted(*answers)
        return opened(model, config=config), model

    return open_


def output(model):
    """The last output that the model got."""
    return [item["output"] for item in model.requests[-1].items if item["type"] == "function_call_output"][-1]


async def run(thread, text="please make it"):
    """Run a turn; returns its notifications about reviews."""
    reviews = []
    async with thread.turn(text) as turn:
        async for event in turn:
            assert not isinstance(event, CommandApproval)
            if type(event).__module__ == "spindle.rpc.protocol.guardian":
                reviews.append(event)
    return reviews, turn.result


async def test_what_the_model_allows_runs_without_a_question(reviewing, tmp_path):
    opening, model = reviewing(call("touch made"), verdict("allow"), "done")
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        assert thread.info.approvals_reviewer == "auto_review"
        (started, warning, ended), result = await run(thread)
    assert isinstance(started, ItemGuardianApprovalReviewStartedNotification)
    assert isinstance(ended, ItemGuardianApprovalReviewCompletedNotification)
    assert (started.review.status, started.target_item_id) == ("inProgress", "c1")
    assert started.action == ended.action
    assert isinstance(started.action, CommandGuardianApprovalReviewAction)
    assert (started.action.source, started.action.cwd) == ("unifiedExec", str(tmp_path))
    assert ended.review.status == "approved"
    assert warning.message == "Automatic approval review approved (risk: low, authorization: high): so it is"
    assert result.status == "completed"
    assert (tmp_path / "made").exists()
    review = model.requests[1]
    assert "user: please make it" in review.texts[0]
    assert "touch made" in review.texts[0]
    assert review.raw.text["format"]["schema"]["required"][2] == "outcome"
    assert review.raw.subagent == "guardian"
    assert "so it is" not in "".join(model.requests[2].texts)


async def test_what_the_model_denies_is_declined_with_its_reason(reviewing, tmp_path):
    denied = verdict("deny", risk_level="high", user_authorization="low")
    opening, model = reviewing(call("touch made"), denied, "done")
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        (_, warning, ended), result = await run(thread)
    assert (ended.review.status, ended.review.risk_level, ended.review.rationale) == ("denied", "high", "so it is")
    assert warning.message == "Automatic approval review denied (risk: high, authorization: low): so it is"
    assert result.status == "completed"
    assert "Reason: so it is" in output(model)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("odd", [["no JSON"], ['{"outcome": "perhaps"}'], ["{}"], ['{"outcome":"allow","risk_level":"no"}']])
async def test_a_review_that_cannot_be_read_is_a_refusal(reviewing, odd, tmp_path):
    opening, model = reviewing(call("touch made"), odd, odd, odd, "done")
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        (_, warning, ended), _ = await run(thread)
    assert (ended.review.status, ended.review.risk_level) == ("denied", None)
    assert warning.message.startswith("Automatic approval review failed: ")
    assert "could not be reviewed" in output(model)
    assert not (tmp_path / "made").exists()


async def test_a_review_whose_request_fails_is_a_refusal(reviewing, tmp_path):
    opening, _ = reviewing(call("touch made"), ModelError("no such model", "other"), "done")
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        (_, warning, ended), _ = await run(thread)
    assert ended.review.status == "denied"
    assert warning.message == "Automatic approval review failed: no such model"
    assert not (tmp_path / "made").exists()


async def test_a_review_that_takes_too_long_is_a_refusal(reviewing, mock_clock, tmp_path):
    opening, model = reviewing(call("touch made"), ["{", trio.Event()], "done")
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread, trio.open_nursery() as nursery:
        seen = []

        async def follow():
            seen.extend(await run(thread))

        nursery.start_soon(follow)
        await model.waiting.wait()
        mock_clock.jump(TIMEOUT)
    reviews, result = seen
    assert reviews[-1].review.status == "timedOut"
    assert result.status == "completed"
    assert "timed out" in output(model)
    assert not (tmp_path / "made").exists()


async def test_an_interrupt_aborts_the_review(reviewing, tmp_path):
    opening, model = reviewing(call("touch made"), ["{", trio.Event()])
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread, trio.open_nursery() as nursery:
        seen = []

        async def follow():
            seen.extend(await run(thread))

        nursery.start_soon(follow)
        await model.waiting.wait()
        await thread.interrupt()
    reviews, result = seen
    assert [review.review.status for review in reviews] == ["inProgress", "aborted"]
    assert result.status == "interrupted"


async def test_repeated_denials_interrupt_the_turn(reviewing, tmp_path):
    answers = [one for n in range(CONSECUTIVE + 1) for one in (call("touch made", f"c{n}"), verdict("deny"))]
    opening, model = reviewing(*answers)
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        reviews, result = await run(thread)
    assert result.status == "interrupted"
    assert len(model.requests) == 2 * CONSECUTIVE
    [last] = [one.message for one in reviews if isinstance(one, GuardianWarningNotification)][-1:]
    assert "(3 consecutive, 3 in the last 50 reviews); interrupting the turn" in last


async def test_an_approval_in_between_lets_the_turn_go_on(reviewing, tmp_path):
    outcomes = ["deny", "deny", "allow", "deny", "deny"]
    answers = [one for n, each in enumerate(outcomes) for one in (call("touch made", f"c{n}"), verdict(each))]
    opening, _ = reviewing(*answers, "done")
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        _, result = await run(thread)
    assert result.status == "completed"


@pytest.mark.parametrize(("policy", "reviewer"), [("on-request", "user"), ("untrusted", "auto_review")])
async def test_in_other_cases_the_user_is_asked(reviewing, policy, reviewer, tmp_path):
    config = [("sandbox_mode", "read-only"), ("approval_policy", policy), ("approvals_reviewer", reviewer)]
    more = {"yield_time_ms": 1000} if policy == "untrusted" else ESCALATED
    opening, model = reviewing(call("touch made", **more), "done", config=config)
    asked = []

    async def answer(question):
        asked.append(question)
        question.decline()

    async with opening as runtime, runtime.start_thread(cwd=tmp_path, on_question=answer) as thread:
        await thread.run("go")
    assert len(asked) == 1
    assert len(model.requests) == 2


async def test_the_configured_policy_replaces_ours(reviewing, tmp_path):
    config = [*REVIEWED, ("auto_review.policy", "Never on Sundays.")]
    opening, model = reviewing(call("touch made"), verdict("deny"), "done", config=config)
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        await run(thread)
    assert "Never on Sundays." in model.requests[1].instructions
    assert "High risk" not in model.requests[1].instructions


EVENT = {"id": "r", "status": "denied", "action": {"type": "command", "source": "unified_exec", "command": "touch made"}}
APPROVE = "thread/approveGuardianDeniedAction"


async def test_the_reviewer_learns_what_the_user_has_approved_since(reviewing, talk, tmp_path):
    opening, model = reviewing(call("touch made"), verdict("deny"), "no", call("touch made", "c2"), verdict("allow"))
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        await run(thread)
        client = await talk(runtime)
        assert await client.call(APPROVE, threadId=thread.id, event=EVENT | {"status": "approved"}) == {}
        assert await client.call(APPROVE, threadId=thread.id, event=EVENT) == {}
        await run(thread, "again")
    assert "approval: " not in model.requests[1].texts[0]
    assert model.requests[4].texts[0].count(APPROVED) == 1
    assert f"approval: {APPROVED}" in model.requests[4].texts[0]
    assert (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("event", "why"),
    [
        ({}, "missing field `id`"),
        (5, "invalid type: integer `5`, expected struct GuardianAssessmentEvent"),
        (EVENT | {"action": None}, "action"),
        (EVENT | {"action": {"type": "odd"}}, "unknown variant `odd`, expected one of `command`, `execve`"),
        (EVENT | {"status": "refused"}, "unknown variant `refused`"),
    ],
)
async def test_an_invalid_event_is_refused(reviewing, talk, event, why, tmp_path):
    opening, _ = reviewing("hi")
    async with opening as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        await thread.run("hi")
        client = await talk(runtime)
        with pytest.raises(Refused, match=f"^invalid Guardian denial event: .*{why}"):
            await client.call(APPROVE, threadId=thread.id, event=event)


async def test_permissions_with_a_strict_review_have_each_command_of_the_turn_reviewed(reviewing, actor, tmp_path):
    arguments = json.dumps({"permissions": {"network": {"enabled": True}}})
    asking = [{"type": "function_call", "call_id": "p", "name": "request_permissions", "arguments": arguments}]
    config = [
        ("sandbox_mode", "danger-full-access"),
        ("approval_policy", "on-request"),
        ("features.request_permissions_tool", True),
    ]
    plain = call("touch made", yield_time_ms=1000)
    opening, model = reviewing(asking, plain, verdict("deny"), "no", call("touch made", "c2", tty=False), "yes", config=config)

    async def grant(question):
        [asked] = actor(runtime, thread.id).core.questions.values()
        asked.answer({"permissions": {"network": {"enabled": True}}, "strictAutoReview": True})

    async with opening as runtime, runtime.start_thread(cwd=tmp_path, on_question=grant) as thread:
        reviews, _ = await run(thread)
        assert reviews[-1].review.status == "denied"
        assert '"strict_auto_review":true' in model.requests[1].tool_outputs["p"]
        assert not (tmp_path / "made").exists()
        reviews, _ = await run(thread)  # only that turn is strict
    assert reviews == []
    assert (tmp_path / "made").exists()
