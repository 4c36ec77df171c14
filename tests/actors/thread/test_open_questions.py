"""What becomes of a turn that waits for an answer when its clients leave, or its thread ends."""

import json
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from spindle import CommandApproval
from spindle.actors.thread.joining import LOST_CLIENT_DELAY
from spindle.actors.turn.life import TurnState
from spindle.rpc.protocol.turns import TurnCompletedNotification
from spindle.storage.state.open_turns import keep

ASKING = [("sandbox_mode", "danger-full-access"), ("approval_policy", "untrusted")]


def call(script, id="c1"):
    arguments = json.dumps({"cmd": script, "login": False})
    return {"type": "function_call", "call_id": id, "name": "exec_command", "arguments": arguments}


@pytest.fixture
def asking(opened, scripted):
    """asking() -> a runtime to enter, whose model first calls a command that clients are asked about."""
    return lambda **options: opened(scripted([call("touch made")]), **{"config": ASKING, **options})


async def rows(runtime):
    return await runtime._backend.state.read(lambda db: db.execute("SELECT * FROM open_turns").fetchall(), [])


async def lose(runtime, thread, mock_clock):
    """The connection of the thread's client is lost, and it does not come back in time."""
    [subscriber] = runtime._backend.registry._actors[thread.id].core.subscribers
    runtime._backend.registry.leave_all(subscriber)
    await thread.read()
    await wait_all_tasks_blocked()
    mock_clock.jump(LOST_CLIENT_DELAY)


@pytest.fixture
def ask(start_turn):
    """ask(runtime, thread) -> when the model's command has been asked about: the open question."""

    async def begin(runtime, thread):
        await start_turn(runtime, thread.id, "go")
        return await asked(thread)

    return begin


async def asked(thread):
    """The next question of a thread."""
    async for event in thread.events():
        if isinstance(event, CommandApproval):
            return event
    raise AssertionError("the thread has ended")


async def ended(thread):
    """How the thread's running turn ends."""
    async for event in thread.events():
        if isinstance(event, TurnCompletedNotification):
            return event.turn.status
    raise AssertionError("the thread has ended")


async def test_the_question_of_a_lost_client_goes_to_the_next_one(asking, ask, witness, lines, mock_clock, tmp_path):
    async with asking() as runtime:
        seen = witness(runtime)
        async with runtime.start_thread(cwd=tmp_path) as thread:
            await ask(runtime, thread)
            [(thread_id, turn_id, _)] = await rows(runtime)
            assert thread_id == thread.id
            await lose(runtime, thread, mock_clock)
            await seen.until("thread/closed")
        assert await rows(runtime) != []
        assert not [line for line in lines(thread) if line.get("type") in ("turn_aborted", "exec_command_end")]
        async with runtime.resume_thread(thread.id) as again:
            [turn] = again.info.thread.turns
            assert (turn.id, turn.status, again.info.thread.status.type) == (turn_id, "inProgress", "active")
            (await asked(again)).accept()
            assert await ended(again) == "completed"
            assert await rows(runtime) == []
        assert (tmp_path / "made").exists()
        assert len([line for line in lines(thread) if line.get("type") == "function_call_output"]) == 1


async def test_a_client_that_unsubscribes_interrupts_the_turn_that_waits(asking, ask, witness, recorded, tmp_path):
    async with asking() as runtime:
        seen = witness(runtime)
        async with runtime.start_thread(cwd=tmp_path) as thread:
            await ask(runtime, thread)
        await seen.until("thread/closed")
        assert await rows(runtime) == []
        assert len(recorded(thread, "turn_aborted")) == 1


async def test_the_end_of_the_runtime_leaves_the_question_open(asking, ask, recorded, tmp_path):
    async with asking() as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        await ask(runtime, thread)
        await runtime._backend.registry.shut_down()
        assert len(await rows(runtime)) == 1
    assert recorded(thread, "turn_aborted") == []


async def test_archiving_a_thread_interrupts_the_turn_that_waits(asking, ask, recorded, tmp_path):
    async with asking() as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        await ask(runtime, thread)
        path = thread.info.thread.path
        await runtime.archive_thread(thread.id)
        assert await rows(runtime) == []
    [archived] = (tmp_path / "home" / "archived_sessions").glob(f"*{thread.id}*")
    assert archived.name == Path(path).name
    assert b"turn_aborted" in archived.read_bytes()


async def test_a_client_that_comes_back_while_the_turn_is_left_is_asked_again(asking, ask, actor, tmp_path):
    """The turn ends its work, and goes on in the same incarnation of the thread."""
    async with asking() as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        await ask(runtime, thread)
        core = actor(runtime, thread.id).core
        left = core.turn
        left.leave()
        assert left.state is TurnState.SUSPENDING
        await left.done.wait()
        (await asked(thread)).accept()
        assert await ended(thread) == "completed"
        assert (tmp_path / "made").exists()


async def test_a_turn_that_another_process_has_ended_does_not_go_on(asking, ask, witness, mock_clock, tmp_path):
    async with asking() as runtime:
        seen = witness(runtime)
        async with runtime.start_thread(cwd=tmp_path) as thread:
            await ask(runtime, thread)
            await lose(runtime, thread, mock_clock)
            await seen.until("thread/closed")
        [(_, turn_id, _)] = await rows(runtime)
        line = {"timestamp": "", "type": "event_msg", "payload": {"type": "turn_aborted", "turn_id": turn_id}}
        rollout = trio.Path(thread.info.thread.path)
        await rollout.write_text(await rollout.read_text() + json.dumps(line) + "\n")
        async with runtime.resume_thread(thread.id) as again:
            assert (again.info.thread.status.type, again.info.thread.turns[-1].status) == ("idle", "interrupted")
            assert (await again.run("go on")).output == "ok"


async def test_a_stored_turn_that_cannot_be_read_is_an_interrupted_one(asking, ask, witness, mock_clock, tmp_path):
    async with asking() as runtime:
        seen = witness(runtime)
        async with runtime.start_thread(cwd=tmp_path) as thread:
            await ask(runtime, thread)
            await lose(runtime, thread, mock_clock)
            await seen.until("thread/closed")
        [(thread_id, turn_id, body)] = await rows(runtime)
        for broken in (b"", b"[]", b"{}", body.replace(b'"untrusted"', b'"unheard-of"')):
            await runtime._backend.state.change(partial(keep, thread_id=thread_id, turn_id=turn_id, body=broken))
            async with runtime.resume_thread(thread.id) as again:
                assert again.info.thread.status.type == "idle"


async def test_without_the_state_a_question_is_asked_all_the_same(asking, ask, tmp_path, caplog):
    (tmp_path / "home" / "spindle").mkdir(parents=True)
    (tmp_path / "home" / "spindle" / "state.sqlite").mkdir()
    async with asking() as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        (await ask(runtime, thread)).accept()
        assert await ended(thread) == "completed"
    assert "an open question is not kept" in caplog.text


async def test_an_ephemeral_thread_keeps_nothing(asking, ask, tmp_path):
    async with asking() as runtime, runtime.start_thread(cwd=tmp_path, ephemeral=True) as thread:
        await ask(runtime, thread)
        assert await rows(runtime) == []
