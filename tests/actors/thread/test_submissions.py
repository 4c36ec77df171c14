"""thread/queue/*: what becomes a turn, when, and what stays on disk."""

import pytest
import trio
from tests.actors.talks import Refused

from spindle.actors.thread.turns import queue as turn_queue
from spindle.rpc.protocol.errors import INTERNAL_ERROR, INVALID_REQUEST, OVERLOADED, RpcError
from spindle.storage.state import queue


def text(words):
    return [{"type": "text", "text": words}]


class User:
    """A client with one thread."""

    def __init__(self, client, thread_id):
        self.client, self.id = client, thread_id

    async def call(self, verb, **params):
        return await self.client.call(f"thread/queue/{verb}", threadId=self.id, **params)

    async def add(self, words):
        added = await self.call("add", input=text(words), clientUserMessageId=f"c-{words}")
        return added["queuedSubmission"]["id"]

    async def texts(self):
        return [each["input"][0]["text"] for each in (await self.call("list"))["data"]]

    async def turn(self, words):
        started = await self.client.call("turn/start", threadId=self.id, input=text(words))
        return started["turn"]["id"]

    async def ended(self, times=1):
        return (await self.client.wait_for("turn/completed", self.id, times))["turn"]

    async def interrupt(self, turn):
        await self.client.call("turn/interrupt", threadId=self.id, turnId=turn)

    async def warned(self, message):
        given = {"threadId": self.id, "message": message}
        await self.client.first(lambda each: each.get("method") == "warning" and each["params"] == given)

    async def refused(self, verb, **params):
        with pytest.raises(Refused) as refused:
            await self.call(verb, **params)
        return refused.value.code, str(refused.value)


@pytest.fixture
async def user(talk):
    """user(runtime, **params of the start) -> a client with a new thread."""

    async def begin(runtime, **params):
        client = await talk(runtime)
        return User(client, (await client.call("thread/start", **params))["thread"]["id"])

    return begin


@pytest.fixture
def held(scripted):
    """held(…) -> a model whose first answer is held, and the event that releases it."""

    def make(*others):
        event = trio.Event()
        return scripted([event, "one"], *others), event

    return make


async def test_entries_become_turns_in_order_when_the_turn_before_has_ended(opened, user, held):
    model, release = held()
    async with opened(model) as runtime:
        one = await user(runtime)
        await one.turn("first")
        await model.waiting.wait()
        ids = [await one.add(words) for words in ("a", "b", "c")]
        await one.call("reorder", queuedSubmissionIds=[ids[2], ids[0], ids[1]])
        await one.call("update", queuedSubmissionId=ids[0], input=text("A"))
        assert (await one.call("delete", queuedSubmissionId=ids[1])) == {"deleted": True}
        assert (await one.call("delete", queuedSubmissionId=ids[1])) == {"deleted": False}
        assert await one.texts() == ["c", "A"]
        release.set()
        await one.ended(3)
        assert await one.texts() == []
        assert [request.conversation[-1] for request in model.requests] == ["first", "c", "A"]
        notified = one.client.notified(one.id)
        assert notified.count("thread/queue/changed") == 3 + 3 + 2
        after_turn = notified[notified.index("turn/completed") + 1 :]
        assert after_turn.index("thread/queue/changed") < after_turn.index("turn/started")


async def test_an_idle_thread_starts_an_entry_at_once(opened, user):
    async with opened() as runtime:
        one = await user(runtime)
        await one.add("now")
        assert (await one.ended())["status"] == "completed"
        assert await one.texts() == []


async def test_a_queue_goes_on_after_a_failed_turn(opened, user, scripted):
    gate = trio.Event()
    model = scripted([gate, ValueError("broken")])
    async with opened(model) as runtime:
        one = await user(runtime)
        await one.turn("first")
        await model.waiting.wait()
        await one.add("next")
        gate.set()
        assert (await one.ended(1))["status"] == "failed"
        assert (await one.ended(2))["status"] == "completed"


async def test_an_interrupt_pauses_the_queue_until_it_is_started(opened, user, held):
    model, _ = held()
    async with opened(model) as runtime:
        one = await user(runtime)
        turn = await one.turn("first")
        await model.waiting.wait()
        await one.interrupt(turn)
        await one.ended()
        ids = [await one.add(words) for words in ("a", "b", "c")]
        assert await one.texts() == ["a", "b", "c"]
        started = (await one.call("start", queuedSubmissionId=ids[1]))["turn"]
        assert (await one.ended(2))["id"] == started["id"]
        await one.ended(4)
        assert [request.conversation[-1] for request in model.requests] == ["first", "b", "a", "c"]


async def test_a_pause_ends_with_another_turn(opened, user, held):
    model, _ = held()
    async with opened(model) as runtime:
        one = await user(runtime)
        turn = await one.turn("first")
        await model.waiting.wait()
        await one.add("queued")
        await one.interrupt(turn)
        await one.ended()
        await one.turn("second")
        await one.ended(3)
        assert await one.texts() == []


@pytest.mark.parametrize("before", [True, False], ids=["added before the interrupt", "added after it"])
async def test_a_queue_outlives_its_thread_and_its_runtime(opened, user, held, talk, before):
    model, _ = held()
    async with opened(model) as runtime:
        one = await user(runtime)
        turn = await one.turn("first")
        await model.waiting.wait()
        if before:
            await one.add("paused")
        await one.interrupt(turn)
        await one.ended()
        if not before:
            await one.add("paused")
    async with opened(model) as runtime:
        again = User(await talk(runtime), one.id)
        assert await again.texts() == ["paused"]
        assert await again.refused("start") == (
            INVALID_REQUEST,
            "resume the thread before starting a queued message",
        )
        await again.add("later")
        await again.client.call("thread/resume", threadId=one.id)
        assert await again.texts() == ["paused", "later"]  # it is paused still
        await again.call("start")
        await again.ended(2)
        assert await again.texts() == []


async def test_a_resumed_thread_goes_on_with_what_was_added_while_it_was_not_loaded(opened, user, talk):
    async with opened() as runtime:
        one = await user(runtime)
        await one.turn("first")
        await one.ended()
    async with opened() as runtime:
        again = User(await talk(runtime), one.id)
        await again.add("waits")
        assert await again.texts() == ["waits"]
        assert "thread/queue/changed" not in again.client.notified(one.id)
        await again.client.call("thread/resume", threadId=one.id)
        await again.ended()
        assert await again.texts() == []


async def test_a_thread_without_subscribers_starts_nothing(opened, user, held):
    model, release = held()
    async with opened(model) as runtime:
        one = await user(runtime)
        await one.turn("first")
        await model.waiting.wait()
        await one.add("stays")
        await one.client.call("thread/unsubscribe", threadId=one.id)
        release.set()
        await one.client.wait_for("thread/closed", one.id)
        assert await one.texts() == ["stays"]
        assert len(model.requests) == 1


@pytest.mark.parametrize("kept", [True, False], ids=["in the record", "not in the record"])
async def test_what_a_crash_left_between_the_queue_and_a_turn_runs_once(opened, user, talk, scripted, kept):
    model = scripted()
    async with opened(model) as runtime:
        one = await user(runtime)
        turn = await one.turn("first")
        await one.ended()
    async with opened(model) as runtime:
        again = User(await talk(runtime), one.id)
        id = await again.add("claimed")
        state = runtime._backend.services.state
        await state.change(lambda db: queue.claim(db, id, turn if kept else "01a22f29-0000-7000-8000-000000000000"))
        assert await again.texts() == []
        await again.client.call("thread/resume", threadId=one.id)
        if not kept:
            await again.ended()
        assert await again.texts() == []
    assert [request.conversation[-1] for request in model.requests] == ["first"] + ["claimed"] * (not kept)
    async with opened(model) as runtime:  # and nothing is left of it
        await (await talk(runtime)).call("thread/resume", threadId=one.id)
    assert len(model.requests) == 1 + (not kept)


async def test_an_entry_whose_turn_could_not_be_recorded_returns_and_pauses(opened, user, talk, actor, monkeypatch):
    async with opened() as runtime:
        one = await user(runtime)
        await one.turn("first")
        await one.ended()
        conversation = actor(runtime, one.id).core.state.conversation

        async def fails(**_):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as broken:
            broken.setattr(conversation, "begin", fails)
            await one.add("kept")
            assert (await one.ended(2))["status"] == "failed"
            assert await one.texts() == ["kept"]
        await one.call("start")
        assert (await one.ended(3))["status"] == "completed"
        assert await one.texts() == []


async def test_input_that_cannot_be_read_pauses_the_queue_and_says_so(opened, user, held, monkeypatch):
    model, release = held()
    async with opened(model) as runtime:
        one = await user(runtime)
        await one.turn("first")
        await model.waiting.wait()
        await one.add("odd")
        async def fails(*_):
            raise RpcError(INTERNAL_ERROR, "unreadable")

        with monkeypatch.context() as broken:
            broken.setattr(turn_queue, "to_response_item", fails)
            release.set()
            await one.warned("The next queued message could not be started: unreadable")
            assert [await one.texts() for _ in range(2)] == [["odd"], ["odd"]]
            assert one.client.notified(one.id).count("warning") == 1, "it was tried again"
            assert await one.refused("start") == (INTERNAL_ERROR, "unreadable")
        await one.call("start")
        await one.ended(2)


async def test_what_is_not_possible_is_refused(opened, user, held):
    model, release = held()
    async with opened(model) as runtime:
        one = await user(runtime)
        assert await one.refused("start") == (INVALID_REQUEST, "queue is empty")
        only = (INVALID_REQUEST, "only user input can be added to the user-message queue")
        assert await one.refused("add", input=[], clientUserMessageId="c") == only
        await one.turn("first")
        await model.waiting.wait()
        id = await one.add("a")
        assert await one.refused("update", queuedSubmissionId=id, input=[]) == only
        absent = (INVALID_REQUEST, "queued submission not found: nope")
        assert await one.refused("update", queuedSubmissionId="nope", input=text("x")) == absent
        assert await one.refused("start", queuedSubmissionId="nope") == absent
        assert await one.refused("start") == (INVALID_REQUEST, "thread already has an active or pending turn")
        every = (INVALID_REQUEST, "queue reorder must include every queued submission exactly once")
        assert await one.refused("reorder", queuedSubmissionIds=[id, id]) == every
        assert await one.refused("list", cursor="zz") == (INVALID_REQUEST, "invalid queue pagination cursor: zz")
        release.set()
        await one.ended(2)


async def test_a_full_queue_refuses_as_overload(opened, user, held, monkeypatch):
    monkeypatch.setattr(queue, "MOST", 1)
    model, release = held()
    async with opened(model) as runtime:
        one = await user(runtime)
        await one.turn("first")
        await model.waiting.wait()
        await one.add("a")
        code, _ = await one.refused("add", input=text("b"), clientUserMessageId="b")
        assert code == OVERLOADED
        release.set()
        await one.ended(2)


async def test_threads_without_a_queue_say_why(opened, user):
    async with opened() as runtime:
        fleeting = await user(runtime, ephemeral=True)
        for verb, params in (("list", {}), ("start", {}), ("add", {"input": text("x"), "clientUserMessageId": "c"})):
            assert await fleeting.refused(verb, **params) == (
                INVALID_REQUEST,
                f"ephemeral thread does not support queued submissions: {fleeting.id}",
            )
        unknown = User(fleeting.client, "01a22f29-0000-7000-8000-000000000000")
        assert await unknown.refused("list") == (INVALID_REQUEST, f"no rollout found for thread id {unknown.id}")
        kept = await user(runtime)
        await kept.turn("first")
        await kept.ended()
        await kept.client.call("thread/archive", threadId=kept.id)
        assert await kept.refused("list") == (INVALID_REQUEST, f"thread {kept.id} is archived; unarchive it first")


async def test_pages_of_a_queue(opened, user, held):
    model, release = held()
    async with opened(model) as runtime:
        one = await user(runtime)
        await one.turn("first")
        await model.waiting.wait()
        for words in "abc":
            await one.add(words)
        page = await one.call("list", limit=2)
        assert [len(page["data"]), page["nextCursor"]] == [2, "2"]
        rest = await one.call("list", limit=2, cursor="2")
        assert ([each["clientUserMessageId"] for each in rest["data"]], rest["nextCursor"]) == (["c-c"], None)
        assert len((await one.call("list", limit=0))["data"]) == 1
        release.set()
        await one.ended(4)


async def test_a_state_that_is_not_available_refuses_only_the_queue(opened, user, tmp_path):
    (tmp_path / "home" / "spindle" / "state.sqlite").mkdir(parents=True)
    async with opened() as runtime:
        one = await user(runtime)
        code, message = await one.refused("add", input=text("x"), clientUserMessageId="c")
        assert code == INTERNAL_ERROR
        assert "state.sqlite is not available" in message
        await one.turn("first")
        assert (await one.ended())["status"] == "completed"
