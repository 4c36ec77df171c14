"""Reviews: what the reviewer is sent, what the thread and its clients see of it, and how it ends."""

import subprocess
from typing import Any

import orjson
import pytest
import trio

from spindle.actors.clients.methods.reviews import start
from spindle.actors.kernel.mailbox import answer
from spindle.actors.registry.messages import ToThread
from spindle.actors.thread.messages import InterruptTurn, Review, RollBack, SteerTurn
from spindle.actors.tools.git import NotARepository, merge_base
from spindle.actors.turn.review import NOT_FINISHED, checked, label, prompt
from spindle.rpc.model.interface import ModelError
from spindle.rpc.protocol.errors import RpcError
from spindle.rpc.protocol.reviews import (
    BaseBranchTarget,
    CommitTarget,
    CustomTarget,
    ReviewStartParams,
    UncommittedChangesTarget,
)
from spindle.rpc.protocol.user_input import TextInput
from spindle.storage.rollout.reviews import NO_REVIEW, review_output, review_text

COMMIT = CommitTarget("1234567deadbeef", "Tidy")
FINDING = {
    "title": "[P1] Prefer X",
    "body": "Because Y.\nAnd Z.",
    "confidence_score": 0.9,
    "priority": 1,
    "code_location": {"absolute_file_path": "/tmp/f.py", "line_range": {"start": 10, "end": 20}},
}
FOUND = {
    "findings": [FINDING, FINDING | {"title": "Second"}],
    "overall_correctness": "patch is correct",
    "overall_explanation": "Looks solid.",
    "overall_confidence_score": 0.8,
}
TEXT = (
    "Looks solid.\n\nFull review comments:\n\n- [P1] Prefer X — /tmp/f.py:10-20\n  Because Y.\n  And Z.\n\n"
    "- Second — /tmp/f.py:10-20\n  Because Y.\n  And Z."
)


async def begin(runtime, thread_id, target=COMMIT, turn_id="review"):
    message = lambda reply: Review(reply=reply, turn_id=turn_id, target=target)  # noqa: E731
    return await answer(lambda reply: runtime._backend.registry.route(ToThread(thread_id, message(reply))))


def completed(events):
    return [event.item for event in events if event.METHOD == "item/completed"]


async def test_a_review_is_its_own_turn(opened, scripted, lines, events_of):
    model = scripted(["answer"], [orjson.dumps(FOUND).decode()], tokens=100)
    async with opened(model) as runtime, runtime.start_thread() as thread:
        await thread.run("question")
        stream = thread.events()
        turn = await begin(runtime, thread.id)
        assert [item.content[0].text for item in turn.items] == ["commit 1234567: Tidy"]
        seen = await events_of(stream, "review")
        assert [(event.METHOD, event.item.type) for event in seen if hasattr(event, "item")] == [
            (method, kind)
            for kind in ("enteredReviewMode", "userMessage", "exitedReviewMode", "agentMessage")
            for method in ("item/started", "item/completed")
        ]
        assert [event.METHOD for event in seen if not hasattr(event, "item")] == ["turn/started", "turn/completed"]
        entered, asked, exited, said = completed(seen)
        assert (entered.review, exited.review, said.text) == ("commit 1234567: Tidy", TEXT, TEXT)
        assert "1234567deadbeef" in asked.content[0].text
        kinds = [line.get("type", line["line"]) for line in lines(thread)]
        assert kinds[kinds.index("task_complete") + 1 :] == [
            "task_started", "entered_review_mode", "user_message", "message", "exited_review_mode", "message",
            "agent_message", "task_complete",
        ]  # fmt: skip
        (line,) = [line for line in lines(thread) if line.get("type") == "exited_review_mode"]
        assert line["review_output"] == FOUND
        shown = (await thread.read(include_turns=True)).turns[-1]
        assert [item.type for item in shown.items] == [
            "enteredReviewMode", "userMessage", "exitedReviewMode", "agentMessage",
        ]  # fmt: skip
        assert (shown.id, shown.items[2].review) == ("review", TEXT)


async def test_the_reviewer_has_its_own_conversation(opened, scripted, events_of):
    model = scripted(["answer"], ["fine"], tokens=100)
    async with opened(model) as runtime, runtime.start_thread(approval_policy="on-request") as thread:
        await thread.run("question")
        stream = thread.events()
        await begin(runtime, thread.id)
        await events_of(stream, "review")
        first, own = model.requests
        assert own.instructions != first.instructions
        assert own.raw.prompt_cache_key != first.raw.prompt_cache_key
        assert own.thread_id == own.raw.prompt_cache_key
        assert (own.raw.subagent, first.raw.subagent) == ("review", None)
        assert [text for text in model.conversation(1) if "question" in text or "answer" in text] == []
        assert any("`never`" in text for text in model.texts[1])
        assert {tool["name"] for tool in own.raw.tools} <= {
            "exec_command", "write_stdin", "update_plan", "request_user_input", "view_image",
        }  # fmt: skip
        # the thread's context size is that of its own answers
        usage = runtime._backend.registry._actors[thread.id].core.state.conversation.usage
        assert usage["total_token_usage"]["total_tokens"] == 100


async def test_the_review_is_in_the_threads_history(opened, scripted, events_of):
    model = scripted(["answer"], ["fine"], ["next"])
    async with opened(model) as runtime, runtime.start_thread(approval_policy="on-request") as thread:
        await thread.run("question")
        stream = thread.events()
        await begin(runtime, thread.id)
        await events_of(stream, "review")
        await thread.run("thanks")
        texts = model.texts[-1]
        assert texts[-2:] == ["fine", "thanks"]
        assert texts[-3].startswith("<user_action>")
        assert "fine" in texts[-3]
        await answer(lambda reply: runtime._backend.registry.route(ToThread(thread.id, RollBack(reply=reply, count=2))))
        await thread.run("again")
        assert model.conversation() == ["question", "answer", "again"]


async def test_the_reviewers_items_are_shown(opened, scripted, lines, events_of):
    plan = {"type": "function_call", "call_id": "c", "name": "update_plan", "arguments": '{"plan": []}'}
    model = scripted([plan], ["fine"])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        stream = thread.events()
        await begin(runtime, thread.id)
        seen = await events_of(stream, "review")
        assert "turn/plan/updated" in [event.METHOD for event in seen]
        assert len(model.requests) == 2
        assert "function_call" not in [line.get("type") for line in lines(thread)]


async def test_an_interrupted_review_is_reported_as_such(opened, scripted, events_of):
    held = trio.Event()
    model = scripted([held], ["next"])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        async with trio.open_nursery() as nursery:
            seen = []

            async def watch():
                seen.extend(await events_of(stream, "review"))

            stream = thread.events()
            nursery.start_soon(watch)
            await begin(runtime, thread.id)
            await model.waiting.wait()
            steer = lambda reply: SteerTurn(reply=reply, content=[TextInput("x")], expected_turn_id="review")  # noqa: E731
            with pytest.raises(RpcError, match="cannot steer a review turn") as caught:
                await answer(lambda reply: runtime._backend.registry.route(ToThread(thread.id, steer(reply))))
            data: Any = caught.value.data
            assert data.codex_error_info == {"activeTurnNotSteerable": {"turnKind": "review"}}
            await answer(
                lambda reply: runtime._backend.registry.route(ToThread(thread.id, InterruptTurn(reply=reply, turn_id="review")))
            )
        *_, exited, said = completed(seen)
        assert (exited.review, said.text, seen[-1].turn.status) == (NO_REVIEW, NOT_FINISHED, "interrupted")
        await thread.run("next")
        assert NOT_FINISHED in model.texts[-1]


@pytest.mark.parametrize("target", [COMMIT, BaseBranchTarget("main")])
async def test_a_failed_review_is_reported_as_such(opened, scripted, target, events_of):
    """The model refuses, or there is no repository to find a branch in."""
    model = scripted([ModelError("no", "other", retryable=False)])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        stream = thread.events()
        await begin(runtime, thread.id, target)
        seen = await events_of(stream, "review")
        assert completed(seen)[-2].review == NO_REVIEW
        assert seen[-1].turn.status == "failed"
        assert len(model.requests) == (target is COMMIT)


async def test_a_review_waits_for_the_running_turn(opened, scripted, events_of):
    held = trio.Event()
    model = scripted([held], ["fine"])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        async with thread.turn("question") as turn:
            await model.waiting.wait()
            stream = thread.events()
            await begin(runtime, thread.id)
            assert len(model.requests) == 1
            held.set()
            async for _ in turn:
                pass
        await events_of(stream, "review")
        assert model.requests[1].raw.subagent == "review"


class Asking:
    """A caller, as far as review/start needs one."""

    def __init__(self, backend, subscriber, client):
        self.backend, self.subscriber, self.client = backend, subscriber, client


async def test_a_detached_review_runs_in_a_fork(opened, scripted, witness, tmp_path):
    (tmp_path / "work").mkdir()
    model = scripted(["answer"], ["fine"])
    async with opened(model) as runtime, runtime.start_thread(cwd=str(tmp_path / "work")) as thread:
        seen = witness(runtime)
        await thread.run("question")
        state = runtime._backend.registry.directory.state(thread.id)
        asking: Any = Asking(runtime._backend, seen.subscriber, state.client)
        params = ReviewStartParams(thread.id, COMMIT, "detached")
        response: Any = await answer(lambda reply: start(asking, params, reply))
        assert response.review_thread_id != thread.id
        started = (await seen.next("thread/started")).thread
        assert (started.id, started.cwd) == (response.review_thread_id, str(tmp_path / "work"))
        done = await seen.next("turn/completed")
        assert (done.thread_id, done.turn.id) == (response.review_thread_id, response.turn.id)
        runtime._backend.leave(seen.subscriber)


@pytest.mark.parametrize("delivery", ["inline", "detached"])
async def test_a_thread_that_is_not_loaded_is_not_reviewed(opened, witness, delivery):
    id = "01a20c79-7627-71e1-9656-e4eb18944c76"
    async with opened() as runtime:
        asking: Any = Asking(runtime._backend, witness(runtime).subscriber, None)
        params = ReviewStartParams(id, COMMIT, delivery)
        with pytest.raises(RpcError, match=f"thread not found: {id}"):
            await answer(lambda reply: start(asking, params, reply))


@pytest.mark.parametrize(
    ("target", "shown", "told"),
    [
        (UncommittedChangesTarget(), "current changes", "staged, unstaged, and untracked"),
        (CustomTarget(" Check the locks "), "Check the locks", "Check the locks"),
        (CommitTarget(" 1234567deadbeef ", " "), "commit 1234567", "1234567deadbeef"),
        (COMMIT, "commit 1234567: Tidy", '"Tidy"'),
    ],
)
async def test_each_target_has_its_label_and_its_prompt(target, shown, told):
    target = checked(target)
    assert label(target) == shown
    assert told in await prompt(target, "/")


@pytest.mark.parametrize(
    ("target", "word"),
    [(CustomTarget(" "), "instructions"), (CommitTarget("\t"), "sha"), (BaseBranchTarget(""), "branch")],
)
def test_a_blank_target_is_refused(target, word):
    with pytest.raises(RpcError, match=f"^{word} must not be empty$"):
        checked(target)


async def test_the_merge_base_of_a_branch(tmp_path):
    with pytest.raises(NotARepository):
        await merge_base(str(tmp_path), "main")

    def git(*words):
        line = ["git", "-c", "user.name=n", "-c", "user.email=e@x", *words]
        return subprocess.run(line, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-b", "main")
    assert await merge_base(str(tmp_path), "main") is None
    git("commit", "--allow-empty", "-m", "one")
    base = git("rev-parse", "HEAD")
    git("checkout", "-b", "work")
    git("commit", "--allow-empty", "-m", "two")
    assert await merge_base(str(tmp_path), "main") == base
    assert base in await prompt(BaseBranchTarget("main"), str(tmp_path))
    assert await merge_base(str(tmp_path), "--all") is None
    assert "git merge-base" in await prompt(BaseBranchTarget("nowhere"), str(tmp_path))


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (orjson.dumps(FOUND).decode(), TEXT),
        (f"Here: {orjson.dumps(FOUND).decode()} end", TEXT),
        ('{"findings": [], "overall_explanation": ""}', NO_REVIEW),
        (" All fine {by} me. ", "All fine {by} me."),
        ('{"no": "findings"}', '{"no": "findings"}'),
        ('{"findings": [3, {"title": 1}]}', "Full review comments:\n\n-  — :0-0\n  \n\n-  — :0-0\n  "),
    ],
)
def test_an_answer_is_read_as_findings_or_as_text(answer, text):
    assert review_text(review_output(answer)) == text
