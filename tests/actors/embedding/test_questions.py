"""Questions to the application: a callback answers them, or `run` raises ApprovalRequired."""

import contextvars
import json

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from spindle import (
    ApprovalRequired,
    CommandApproval,
    DynamicToolCall,
    FileApproval,
)
from spindle.rpc.protocol.items import TextOutput
from spindle.rpc.protocol.settings import DynamicToolSpec

from .asking import ASKING, add, call, output, touch


async def accept(question):
    question.accept()


async def test_a_callback_answers(opened, scripted, tmp_path):
    asked = []

    async def answer(question):
        asked.append(question)
        match question:
            case CommandApproval():
                question.accept()
            case _:
                question.decline()

    model = scripted([touch("made")], [add("patched")], ["done"])
    async with opened(model, config=ASKING) as runtime, runtime.start_thread(on_question=answer) as thread:
        with trio.fail_after(10):
            assert (await thread.run("go")).text == "done"
    command, files = asked
    assert isinstance(command, CommandApproval)
    assert (command.thread_id, command.item_id, command.cwd) == (thread.id, "c", str(tmp_path))
    assert "touch made" in command.command
    assert isinstance(files, FileApproval)
    assert files.files == [str(tmp_path / "patched")]
    assert "+new" in files.changes[0].diff or files.changes[0].diff == "new\n"
    assert (command.settled, files.settled) == (True, True)
    assert ((tmp_path / "made").exists(), (tmp_path / "patched").exists()) == (True, False)


async def test_a_callback_answers_for_a_thread_that_is_resumed_or_forked(opened, scripted, tmp_path):
    model = scripted(["hi"], [touch("resumed")], ["one"], [touch("forked")], ["two"], [touch("again")], ["three"])
    async with opened(model, config=ASKING) as runtime, runtime.start_thread() as first:
        with trio.fail_after(10):
            await first.run("hi")
            async with runtime.resume_thread(first.id, on_question=accept) as again:
                assert (await again.run("go")).text == "one"
            async with runtime.fork_thread(first.id, on_question=accept) as fork:
                assert (await fork.run("go")).text == "two"
                async with fork.fork() as last:  # answered as its source is
                    assert (await last.run("go")).text == "three"
    for name in ("resumed", "forked", "again"):
        assert (tmp_path / name).exists()


async def test_a_callback_answers_for_agents(opened, scripted, tmp_path):
    asked = []

    async def answer(question):
        asked.append(question.thread_id)
        question.accept()

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

    async with opened(Both(), config=ASKING) as runtime, runtime.start_thread(on_question=answer) as thread:
        with trio.fail_after(10):
            assert (await thread.run("go")).text == "done"
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
            assert subject in str(caught.value.question)
            assert caught.value.question.thread_id == thread.id
            assert caught.value.question.settled
            assert len(recorded(thread, "turn_aborted")) == 1
            model.answers.clear()
            assert (await thread.run("and now?")).text == "ok"
    assert not (tmp_path / "made").exists()


async def test_a_turn_that_is_iterated_has_the_questions_among_its_events(opened, scripted, tmp_path):
    model = scripted([touch("made")], ["done"])
    async with opened(model, config=ASKING) as runtime, runtime.start_thread() as thread, thread.turn("go") as turn:
        with trio.fail_after(10):
            async for event in turn:
                if isinstance(event, CommandApproval):
                    event.accept()
        assert turn.text == "done"
    assert (tmp_path / "made").exists()


async def test_a_callback_that_fails_declines_and_ends_the_block(opened, scripted, tmp_path, recorded):
    async def fail(question):
        raise ZeroDivisionError

    thread = None
    async with opened(scripted([touch("made")], [trio.Event()]), config=ASKING) as runtime:

        async def use():
            nonlocal thread
            async with runtime.start_thread(on_question=fail) as thread:
                await thread.run("go")
                raise AssertionError("the callback has failed")

        with trio.fail_after(10), pytest.raises(ZeroDivisionError):
            await use()
    assert not (tmp_path / "made").exists()
    assert len(recorded(thread, "turn_aborted")) == 1


async def test_a_callback_is_cancelled_when_its_question_is_settled_elsewhere(opened, scripted, tmp_path):
    ended = []

    async def wait(question):
        try:
            await trio.sleep_forever()
        finally:
            ended.append(question.item_id)

    model = scripted([touch("made")], ["one"], [touch("other", "d")], ["two"])
    async with opened(model, config=ASKING) as runtime, runtime.start_thread(on_question=wait) as thread:
        with trio.fail_after(10):
            async with thread.turn("go") as turn:
                async for event in turn:
                    if isinstance(event, CommandApproval):
                        await wait_all_tasks_blocked()
                        event.accept()
            assert ended == ["c"]
            async with thread.turn("go") as turn:
                async for event in turn:
                    if isinstance(event, CommandApproval):
                        await wait_all_tasks_blocked()
                        await turn.interrupt()
            await wait_all_tasks_blocked()
            assert ended == ["c", "d"]
    assert (tmp_path / "made").exists()


async def test_a_callback_is_cancelled_with_its_block(opened, scripted):
    called, ended = trio.Event(), []

    async def wait(question):
        called.set()
        try:
            await trio.sleep_forever()
        finally:
            ended.append(question.item_id)

    async with opened(scripted([touch("made")]), config=ASKING) as runtime:
        with trio.fail_after(10):
            async with runtime.start_thread(on_question=wait) as thread, trio.open_nursery() as nursery:
                nursery.start_soon(thread.run, "go")
                await called.wait()
                nursery.cancel_scope.cancel()
        assert ended == ["c"]


async def test_a_callback_runs_in_the_context_of_the_application(opened, scripted):
    variable = contextvars.ContextVar("variable", default="of the thread")
    seen = []

    async def wait(question):
        seen.append(variable.get())

    async with opened(scripted([touch("made")]), config=ASKING) as runtime:
        variable.set("of the application")
        async with runtime.start_thread(on_question=wait) as thread:
            await thread.run("go")
    assert seen == ["of the application"]


async def test_leaving_a_block_cancels_its_callback_and_leaves_the_question_to_others(opened, scripted, tmp_path):
    called, ended = trio.Event(), []

    async def wait(question):
        called.set()
        try:
            await trio.sleep_forever()
        finally:
            ended.append(question.item_id)

    model = scripted([touch("made")], ["done"])
    async with opened(model, config=ASKING) as runtime, runtime.start_thread() as thread, thread.turn("go") as turn:
        with trio.fail_after(10):
            async for event in turn:
                if isinstance(event, CommandApproval):
                    async with runtime.resume_thread(thread.id, on_question=wait):
                        await called.wait()
                    assert ended == ["c"]
                    assert not event.settled
                    event.accept()
        assert turn.text == "done"
    assert (tmp_path / "made").exists()


async def test_the_callback_of_the_runtime_is_for_threads_without_one(opened, scripted, tmp_path):
    asked = []

    async def of_the_runtime(question):
        asked.append("runtime")

    async def of_the_thread(question):
        asked.append("thread")

    model = scripted([touch("made")], ["one"], [touch("made")], ["two"])
    async with opened(model, config=ASKING, on_question=of_the_runtime) as runtime:
        async with runtime.start_thread() as thread:
            await thread.run("go")
        async with runtime.start_thread(on_question=of_the_thread) as thread:
            await thread.run("go")
    assert asked == ["runtime", "thread"]


async def test_a_callback_that_returns_without_an_answer_declines(opened, scripted, tmp_path, recorded):
    async def look(question):
        await trio.lowlevel.checkpoint()

    model = scripted([touch("made")], ["done"])
    async with opened(model, config=ASKING) as runtime, runtime.start_thread(on_question=look) as thread:
        assert (await thread.run("go")).text == "done"
    assert output(model).endswith("rejected by user")
    assert not (tmp_path / "made").exists()


async def test_handles_that_share_a_callback_ask_once_and_the_next_one_goes_on(opened, scripted, tmp_path):
    handle: contextvars.ContextVar[str] = contextvars.ContextVar("handle")
    calls, called = [], trio.Event()
    leave = {"one": trio.Event(), "two": trio.Event()}

    async def ask(question):
        calls.append((handle.get(), question))
        called.set()
        if len(calls) == 1:
            await trio.sleep_forever()
        question.accept()

    async def wait(question):
        await trio.sleep_forever()

    async def hold(name, *, task_status):
        handle.set(name)
        async with runtime.resume_thread(thread.id):
            task_status.started()
            await leave[name].wait()

    model = scripted([touch("made")], ["done"])
    async with (
        opened(model, config=ASKING, on_question=ask) as runtime,
        runtime.start_thread(on_question=wait) as thread,
        trio.open_nursery() as nursery,
    ):
        with trio.fail_after(10):
            for name in leave:
                await nursery.start(hold, name)
            nursery.start_soon(thread.run, "go")
            await called.wait()
            await wait_all_tasks_blocked()
            [(first, question)] = calls
            leave[first].set()
            await question.wait_settled()
        for each in leave.values():
            each.set()
    assert {name for name, _ in calls} == set(leave)
    assert calls[0][1] is calls[1][1]
    assert (tmp_path / "made").exists()


async def test_every_stream_has_the_same_object_for_a_question(opened, scripted):
    model = scripted([touch("made")], ["done"])
    async with (
        opened(model, config=ASKING) as runtime,
        runtime.start_thread() as thread,
        runtime.resume_thread(thread.id) as other,
        thread.turn("go") as turn,
    ):
        events = other.events()
        with trio.fail_after(10):
            async for event in turn:
                if isinstance(event, CommandApproval):
                    async for same in events:
                        if isinstance(same, CommandApproval):
                            break
                    assert same is event
                    event.decline()
                    assert same.settled
                    await same.wait_settled()
                    same.accept()  # does nothing
    assert output(model).endswith("rejected by user")


DYNAMIC = [DynamicToolSpec("lookup", "Looks up.", {"type": "object"})]


async def test_a_dynamic_tools_call_is_an_event_that_the_application_answers(opened, scripted):
    async def never(question):
        raise AssertionError("it is no question")

    model = scripted(
        [call("a", "lookup", word="x")], [call("b", "lookup", word="y")], [call("c", "lookup", word="z")], ["done"]
    )
    async with (
        opened(model) as runtime,
        runtime.start_thread(dynamic_tools=DYNAMIC, on_question=never) as thread,
        thread.turn("go") as turn,
    ):
        async for event in turn:
            if isinstance(event, DynamicToolCall):
                assert (event.tool, event.namespace, event.thread_id) == ("lookup", None, thread.id)
                if event.call_id == "a":
                    assert event.arguments == {"word": "x"}
                    event.answer("found")
                elif event.call_id == "b":
                    event.answer([TextOutput("one"), TextOutput("two")])
                else:
                    event.fail("no such word")
    outputs = [item["output"] for item in map(json.loads, model.requests[-1].input) if "output" in item]
    two = [{"type": "input_text", "text": "one"}, {"type": "input_text", "text": "two"}]
    assert outputs == ["found", two, "no such word"]


async def test_run_fails_a_dynamic_tools_call_that_no_stream_can_answer(opened, scripted):
    model = scripted([call("a", "lookup", word="x")], ["one"], [call("b", "lookup", word="y")], ["two"])
    async with opened(model) as runtime, runtime.start_thread(dynamic_tools=DYNAMIC) as thread:
        with trio.fail_after(10):
            assert (await thread.run("go")).text == "one"
            assert output(model) == "the application does not answer calls of its dynamic tools here"
            async with trio.open_nursery() as nursery:

                @nursery.start_soon
                async def _():
                    async for event in events:
                        if isinstance(event, DynamicToolCall):
                            event.answer("found")
                            break

                events = thread.events()
                assert (await thread.run("go")).text == "two"
    assert output(model) == "found"


async def test_two_runs_of_one_turn_do_not_wait_for_each_other_to_answer(opened, scripted):
    go = trio.Event()
    model = scripted(["one", go], [call("a", "lookup", word="x")], ["two"])
    async with opened(model) as runtime, runtime.start_thread(dynamic_tools=DYNAMIC) as thread:
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(thread.run, "first")
                await model.waiting.wait()
                nursery.start_soon(thread.run, "second")
                await wait_all_tasks_blocked()
                go.set()
    assert output(model) == "the application does not answer calls of its dynamic tools here"
