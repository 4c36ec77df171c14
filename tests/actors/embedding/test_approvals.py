"""Questions to the application: a callback answers them, or `run` raises ApprovalRequired."""

import contextvars
import json

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from spindle import ApprovalRequired
from spindle.actors.delivery.questions import Question
from spindle.rpc.protocol.approvals import (
    CommandExecutionRequestApprovalParams,
    CommandExecutionRequestApprovalResponse,
    FileChangeRequestApprovalParams,
    ToolRequestUserInputResponse,
)

ASKING = [
    ("sandbox_mode", "danger-full-access"),
    ("approval_policy", "untrusted"),
    ("features.apply_patch_freeform", True),
]


def call(id, name, **arguments):
    return {"type": "function_call", "call_id": id, "name": name, "arguments": json.dumps(arguments)}


def touch(path, id="c"):
    return call(id, "exec_command", cmd=f"touch {path}", login=False)


def add(path):
    text = f"*** Begin Patch\n*** Add File: {path}\n+new\n*** End Patch\n"
    return {"type": "custom_tool_call", "call_id": "p", "name": "apply_patch", "input": text}


@pytest.mark.parametrize("accept", ["accept", CommandExecutionRequestApprovalResponse("accept")])
async def test_a_callback_answers(opened, scripted, tmp_path, accept):
    asked = []

    async def approve(question):
        asked.append(question)
        return accept if isinstance(question, CommandExecutionRequestApprovalParams) else "decline"

    model = scripted([touch("made")], [add("patched")], ["done"])
    async with opened(model, config=ASKING) as runtime, runtime.start_thread(approve=approve) as thread:
        with trio.fail_after(10):
            assert await thread.run("go") == "done"
    assert [type(one) for one in asked] == [CommandExecutionRequestApprovalParams, FileChangeRequestApprovalParams]
    assert ((tmp_path / "made").exists(), (tmp_path / "patched").exists()) == (True, False)


async def test_a_callback_answers_for_a_thread_that_is_resumed_or_forked(opened, scripted, tmp_path):
    async def approve(question):
        return "accept"

    model = scripted(["hi"], [touch("resumed")], ["one"], [touch("forked")], ["two"])
    async with opened(model, config=ASKING) as runtime, runtime.start_thread() as first:
        with trio.fail_after(10):
            await first.run("hi")
            async with runtime.resume_thread(first.id, approve=approve) as again:
                assert await again.run("go") == "one"
            async with runtime.fork_thread(first.id, approve=approve) as fork:
                assert await fork.run("go") == "two"
    assert (tmp_path / "resumed").exists()
    assert (tmp_path / "forked").exists()


async def test_a_callback_answers_for_agents(opened, scripted, tmp_path):
    asked = []

    async def approve(question):
        asked.append(question.thread_id)
        return "accept"

    class Both:
        stream_max_retries = 0
        root = scripted([call("s", "spawn_agent", message="look")], [], ["done"])
        agent = scripted([touch("by_agent")], ["seen"])

        def stream(self, request):
            if request.parent_thread_id is not None:
                return self.agent.stream(request)
            for item in map(json.loads, request.input):
                if item.get("call_id") == "s" and "output" in item and not self.root.answers[0]:
                    self.root.answers[0].append(call("w", "wait_agent", targets=[json.loads(item["output"])["agent_id"]]))
            return self.root.stream(request)

        async def aclose(self):
            pass

    async with opened(Both(), config=ASKING) as runtime, runtime.start_thread(approve=approve) as thread:
        with trio.fail_after(10):
            assert await thread.run("go") == "done"
        assert asked
        assert thread.id not in asked
    assert (tmp_path / "by_agent").exists()


@pytest.mark.parametrize(("made", "subject"), [(touch("made"), "touch made"), (add("made"), "made")])
async def test_run_without_a_callback_refuses_by_name(opened, scripted, tmp_path, recorded, made, subject):
    model = scripted([made], ["done"], ["next"])
    async with opened(model, config=ASKING) as runtime, runtime.start_thread() as thread:
        with trio.fail_after(10):
            with pytest.raises(ApprovalRequired, match=subject) as caught:
                await thread.run("go")
            assert subject in caught.value.subject
            assert caught.value.question.thread_id == thread.id
            assert len(recorded(thread, "turn_aborted")) == 1
            model.answers.clear()
            assert await thread.run("and now?") == "ok"
    assert not (tmp_path / "made").exists()


async def test_a_turn_that_is_iterated_has_the_questions_among_its_events(opened, scripted, tmp_path):
    model = scripted([touch("made")], ["done"])
    async with opened(model, config=ASKING) as runtime, runtime.start_thread() as thread, thread.turn("go") as turn:
        with trio.fail_after(10):
            async for event in turn:
                if isinstance(event, Question):
                    event.answer({"decision": "accept"})
        assert turn.text == "done"
    assert (tmp_path / "made").exists()


@pytest.mark.parametrize("failure", [ZeroDivisionError, "not an answer", ToolRequestUserInputResponse({})])
async def test_a_callback_that_fails_declines_and_ends_the_block(opened, scripted, tmp_path, recorded, failure):
    async def approve(question):
        if isinstance(failure, type):
            raise failure
        return failure

    thread = None
    async with opened(scripted([touch("made")], [trio.Event()]), config=ASKING) as runtime:

        async def use():
            nonlocal thread
            async with runtime.start_thread(approve=approve) as thread:
                await thread.run("go")
                raise AssertionError("the callback has failed")

        with trio.fail_after(10), pytest.raises(failure if isinstance(failure, type) else TypeError):
            await use()
    assert not (tmp_path / "made").exists()
    assert len(recorded(thread, "turn_aborted")) == 1


async def test_a_callback_is_cancelled_when_its_question_is_settled_elsewhere(opened, scripted, tmp_path):
    ended = []

    async def approve(question):
        try:
            await trio.sleep_forever()
        finally:
            ended.append(question.item_id)

    model = scripted([touch("made")], ["one"], [touch("other", "d")], ["two"])
    async with opened(model, config=ASKING) as runtime, runtime.start_thread(approve=approve) as thread:
        with trio.fail_after(10):
            async with thread.turn("go") as turn:
                async for event in turn:
                    if isinstance(event, Question):
                        await wait_all_tasks_blocked()
                        event.answer({"decision": "accept"})
            assert ended == ["c"]
            async with thread.turn("go") as turn:
                async for event in turn:
                    if isinstance(event, Question):
                        await wait_all_tasks_blocked()
                        await turn.interrupt()
            await wait_all_tasks_blocked()
            assert ended == ["c", "d"]
    assert (tmp_path / "made").exists()


async def test_a_callback_is_cancelled_with_its_block(opened, scripted):
    called, ended = trio.Event(), []

    async def approve(question):
        called.set()
        try:
            await trio.sleep_forever()
        finally:
            ended.append(question.item_id)

    async with opened(scripted([touch("made")]), config=ASKING) as runtime:
        with trio.fail_after(10):
            async with runtime.start_thread(approve=approve) as thread, trio.open_nursery() as nursery:
                nursery.start_soon(thread.run, "go")
                await called.wait()
                nursery.cancel_scope.cancel()
        assert ended == ["c"]


async def test_a_callback_runs_in_the_context_of_the_application(opened, scripted):
    variable = contextvars.ContextVar("variable", default="of the thread")
    seen = []

    async def approve(question):
        seen.append(variable.get())
        return "decline"

    async with opened(scripted([touch("made")]), config=ASKING) as runtime:
        variable.set("of the application")
        async with runtime.start_thread(approve=approve) as thread:
            await thread.run("go")
    assert seen == ["of the application"]


async def test_leaving_a_block_cancels_its_callback_and_leaves_the_question_to_others(opened, scripted, tmp_path):
    called, ended = trio.Event(), []

    async def approve(question):
        called.set()
        try:
            await trio.sleep_forever()
        finally:
            ended.append(question.item_id)

    model = scripted([touch("made")], ["done"])
    async with opened(model, config=ASKING) as runtime, runtime.start_thread() as thread, thread.turn("go") as turn:
        with trio.fail_after(10):
            async for event in turn:
                if isinstance(event, Question):
                    async with runtime.resume_thread(thread.id, approve=approve):
                        await called.wait()
                    assert ended == ["c"]
                    assert not event.settled
                    event.answer({"decision": "accept"})
        assert turn.text == "done"
    assert (tmp_path / "made").exists()
