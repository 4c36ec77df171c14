"""Messages with an id of their client: each is taken once."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from spindle.actors.kernel.mailbox import answer
from spindle.actors.registry.messages import ToThread
from spindle.actors.thread.messages import StartTurn, SteerTurn
from spindle.actors.turn.user_input import MAX_CLIENT_ID, check_input
from spindle.rpc.protocol.errors import RpcError
from spindle.rpc.protocol.turns import TurnStartParams
from spindle.rpc.protocol.user_input import TextInput
from spindle.storage.rollout.writer_lock import WriterLock


@pytest.fixture
def say():
    """say(runtime, thread id, text, client id) -> the turn in the answer to a turn/start."""

    async def start(runtime, thread_id, text, client_id):
        params = TurnStartParams(thread_id=thread_id, client_user_message_id=client_id, input=[TextInput(text)])
        return await _sent(runtime, thread_id, lambda reply: StartTurn(reply=reply, params=params))

    return start


async def steer(runtime, thread_id, text, client_id):
    """The turn in the answer to a turn/steer."""
    content = [TextInput(text)]
    make = lambda reply: SteerTurn(reply=reply, content=content, expected_turn_id=None, client_id=client_id)  # noqa: E731
    return await _sent(runtime, thread_id, make)


async def _sent(runtime, thread_id, make):
    return await answer(lambda reply: runtime._backend.registry.route(ToThread(thread_id, make(reply))))


async def ended(events):
    """The next turn that ends."""
    async for event in events:
        if event.METHOD == "turn/completed":
            return event.turn.id
    raise AssertionError("the thread has ended")


@pytest.mark.parametrize("ephemeral", [False, True])
async def test_a_message_is_taken_once(opened, scripted, say, ephemeral):
    model = scripted()
    async with opened(model) as runtime, runtime.start_thread(ephemeral=ephemeral) as thread:
        events = thread.events()
        turn = await say(runtime, thread.id, "hi", "one")
        assert await ended(events) == turn.id
        again = await say(runtime, thread.id, "hi", "one")
        assert (again.id, again.status, again.items) == (turn.id, "completed", ())
        assert await steer(runtime, thread.id, "hi", "one") == turn.id
        assert len(model.requests) == 1
        other = await say(runtime, thread.id, "hi", "two")
        assert await ended(events) == other.id
        assert (await say(runtime, thread.id, "hi", "one")).id == turn.id
        assert len(model.requests) == 2


async def test_a_steered_message_is_taken_once(opened, scripted, say):
    release = trio.Event()
    model = scripted([release, "one"], "two")
    async with opened(model) as runtime, runtime.start_thread() as thread:
        events = thread.events()
        turn = await say(runtime, thread.id, "first", "one")
        await wait_all_tasks_blocked()
        for _ in range(2):
            assert await steer(runtime, thread.id, "second", "two") == turn.id
        assert (await say(runtime, thread.id, "second", "two")).id == turn.id
        release.set()
        assert await ended(events) == turn.id
        assert model.conversation().count("second") == 1
    async with opened(model) as runtime, runtime.resume_thread(thread.id) as thread:
        items = thread.info.thread.turns[0].items
        assert [(item.client_id, item.content[0].text) for item in items if item.type == "userMessage"] == [
            ("one", "first"),
            ("two", "second"),
        ]


async def test_a_message_of_a_reverted_turn_is_taken_again(opened, scripted, say, talk):
    model = scripted()
    async with opened(model) as runtime, runtime.start_thread() as thread:
        events = thread.events()
        turn = await say(runtime, thread.id, "hi", "one")
        assert await ended(events) == turn.id
        client = await talk(runtime)
        await client.answer(client.ask("thread/rollback", threadId=thread.id, numTurns=1))
        again = await say(runtime, thread.id, "hi", "one")
        assert again.id != turn.id
        assert await ended(events) == again.id


async def test_a_message_that_another_process_took_is_not_taken_again(opened, scripted, say):
    model = scripted()
    async with opened(model) as runtime, runtime.start_thread() as thread:
        events = thread.events()
        await say(runtime, thread.id, "hi", "one")
        await ended(events)
        async with opened(model) as other, other.resume_thread(thread.id) as theirs:
            their_events = theirs.events()
            turn = await say(other, thread.id, "hi", "two")
            assert await ended(their_events) == turn.id
        requests = len(model.requests)
        assert (await say(runtime, thread.id, "hi", "two")).id == turn.id
        assert len(model.requests) == requests


async def test_a_message_of_a_turn_without_a_record_is_taken_again(opened, scripted, say, tmp_path):
    model = scripted()
    async with opened(model) as runtime, runtime.start_thread() as thread:
        events = thread.events()
        await thread.run("hi")
        await ended(events)
        lock = WriterLock(tmp_path / "home" / "thread-writer-locks" / f"{thread.id}.lock")
        lock.acquire()
        refused = await say(runtime, thread.id, "hi", "one")
        assert await ended(events) == refused.id
        lock.release()
        taken = await say(runtime, thread.id, "hi", "one")
        assert taken.id != refused.id
        assert await ended(events) == taken.id
        assert len(model.requests) == 2


@pytest.mark.parametrize(("length", "refused"), [(MAX_CLIENT_ID, False), (MAX_CLIENT_ID + 1, True)])
def test_the_length_of_a_clients_id(length, refused):
    if refused:
        with pytest.raises(RpcError, match="clientUserMessageId must have at most 256 characters"):
            check_input([TextInput("hi")], "x" * length)
    else:
        check_input([TextInput("hi")], "x" * length)
