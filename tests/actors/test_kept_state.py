"""What is stored outside rollouts, changes of settings between turns, reverts, and deletions."""

from datetime import datetime

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from spindle.actors.kernel.mailbox import answer
from spindle.actors.registry.messages import ToThread
from spindle.actors.registry.relocation import Delete, Unarchive
from spindle.actors.thread.messages import RevertTurns, UpdateSettings
from spindle.actors.thread.turns import task as turn_task
from spindle.rpc.protocol.errors import RpcError
from spindle.rpc.protocol.goals import ThreadGoalSetParams
from spindle.rpc.protocol.read_states import UnreadFromTurn
from spindle.rpc.protocol.settings import CollaborationMode, CollaborationSettings, WorkspaceWritePolicy
from spindle.rpc.protocol.thread_settings import ThreadSettingsUpdateParams
from spindle.storage.state.goals import get_goal, set_goal
from spindle.storage.state.read_states import read_states
from spindle.storage.state.sections import PINNED, move_thread, placements
from spindle.storage.threads.reverting import Revert, write_segment


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """Turns wait for what is stored of them, however slow the disk is."""
    monkeypatch.setattr(turn_task, "KEEPING", 60.0)


async def run(thread, text="hi"):
    """One turn, to its end."""
    async with thread.turn(text) as turn:
        async for _ in turn:
            pass
    return turn.result


async def update(runtime, thread_id, **params):
    wanted = ThreadSettingsUpdateParams(thread_id=thread_id, **params)
    return await answer(
        lambda reply: runtime._backend.registry.route(ToThread(thread_id, UpdateSettings(reply=reply, params=wanted)))
    )


async def revert(runtime, thread_id, turn_id):
    return await answer(
        lambda reply: runtime._backend.registry.route(ToThread(thread_id, RevertTurns(reply=reply, before_turn_id=turn_id)))
    )


async def delete(runtime, thread_id):
    await answer(lambda reply: runtime._backend.registry.route(Delete(thread_id, reply)))


async def read_state(runtime, thread_id):
    return (await runtime._backend.services.state.read(lambda db: read_states(db, [thread_id]), {}))[thread_id]


# -- the ends of turns


async def test_an_ended_turn_is_unread_before_the_thread_has_handled_its_end(opened):
    async with opened() as runtime, runtime.start_thread() as thread:
        async with thread.turn("hi") as turn:
            methods = [event.METHOD async for event in turn]
        assert (await read_state(runtime, thread.id)).first_unread == UnreadFromTurn(turn.result.id)
        assert methods.count("thread/readState/changed") == 1
        assert methods[-2:] == ["thread/readState/changed", "turn/completed"]


async def test_an_interrupted_turn_is_not_unread(opened, scripted):
    model = scripted(["one", trio.Event()])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        with trio.CancelScope() as scope:
            async with thread.turn("first"):
                await model.waiting.wait()
                scope.cancel()
                await trio.sleep_forever()
        assert (await read_state(runtime, thread.id)).first_unread is None


async def test_turns_are_charged_to_an_active_goal_until_its_budget_is_spent(opened, scripted, witness):
    async with opened(scripted(tokens=10)) as runtime:
        seen = witness(runtime)
        async with runtime.start_thread() as thread:
            await run(thread, "first, for nothing")
            state = runtime._backend.services.state
            params = ThreadGoalSetParams(thread.id, objective="o", token_budget=1)
            await state.change(lambda db: set_goal(db, params, thread.id, 1))
            turn = await run(thread, "second")
            await run(thread, "third, for nothing again")
            found = await state.read(lambda db: get_goal(db, thread.id), None)
        assert found is not None
        told = [params for method, params in await seen.until("thread/closed") if method == "thread/goal/updated"]
        assert [(each.turn_id, each.goal) for each in told] == [(turn.id, found.goal)]
        assert found.goal.status == "budgetLimited"
        assert found.goal.tokens_used >= 1


async def test_turns_work_where_the_state_cannot_be_stored(opened, tmp_path):
    (tmp_path / "home" / "spindle" / "state.sqlite").mkdir(parents=True)
    async with opened() as runtime:
        async with runtime.start_thread() as thread:
            assert (await run(thread, "hi")).status == "completed"
        async with runtime.resume_thread(thread.id) as thread:
            assert thread.info.thread.section is None


# -- settings


async def test_settings_apply_from_the_next_turn_and_are_resumed(opened, recorded):
    sandbox = WorkspaceWritePolicy(writable_roots=("/w",), network_access=True, exclude_slash_tmp=True)
    async with opened() as runtime:
        async with runtime.start_thread() as thread:
            await run(thread, "hi")
            await update(
                runtime,
                thread.id,
                model="other",
                effort="low",
                sandbox_policy=sandbox,
                approvals_reviewer="auto_review",
                service_tier="flex",
                cwd="/elsewhere",
            )
        async with runtime.resume_thread(thread.id) as thread:
            info = thread.info
            assert (info.model, info.reasoning_effort, info.sandbox) == ("other", "low", sandbox)
            assert (info.approvals_reviewer, info.service_tier, info.cwd) == ("auto_review", "flex", "/elsewhere")
            await run(thread, "hi again")
        assert recorded(thread, "thread_settings_applied")[-1]["thread_settings"]["model"] == "other"


async def test_an_update_that_changes_nothing_is_neither_notified_nor_written(opened, recorded, actor):
    async with opened() as runtime, runtime.start_thread() as thread:
        await run(thread, "hi")
        before = actor(runtime, thread.id).core.state.settings
        await update(runtime, thread.id, model=before.model)
        assert actor(runtime, thread.id).core.state.settings is before
        assert recorded(thread, "thread_settings_applied") == []


async def test_a_running_turn_keeps_its_settings_while_the_change_is_written(opened, scripted, lines, recorded):
    go = trio.Event()
    model = scripted([go, "one"])
    async with opened(model) as runtime:
        async with runtime.start_thread() as thread, thread.turn("first") as turn:
            await model.waiting.wait()
            await update(runtime, thread.id, model="other")
            [change] = recorded(thread, "thread_settings_applied")
            assert change["thread_settings"]["model"] == "other"
            go.set()
            async for _ in turn:
                pass
            await run(thread, "second")
        told = [line["model"] for line in lines(thread) if line["line"] == "turn_context"]
        assert told == ["gpt-5.4", "other"]


async def test_a_collaboration_mode_brings_its_model_and_follows_later_ones(opened, actor):
    async with opened() as runtime, runtime.start_thread() as thread:
        mode = CollaborationMode("plan", CollaborationSettings("planner", "high"))
        await update(runtime, thread.id, collaboration_mode=mode)
        settings = actor(runtime, thread.id).core.state.settings
        assert (settings.model, settings.effort) == ("planner", "high")
        await update(runtime, thread.id, model="other")
        assert actor(runtime, thread.id).core.state.settings.collaboration_mode.settings.model == "other"
        with pytest.raises(RpcError, match="cannot be combined"):
            await update(runtime, thread.id, permissions=":workspace", sandbox_policy=WorkspaceWritePolicy())
        with pytest.raises(RpcError, match="unknown permission profile `x`"):
            await update(runtime, thread.id, permissions="x")


# -- reverts


async def test_reverted_turns_are_neither_sent_nor_shown(opened, scripted):
    model = scripted()
    async with opened(model) as runtime:
        async with runtime.start_thread() as thread:
            turns = [await run(thread, text) for text in ("one", "two", "three")]
            _, last = await revert(runtime, thread.id, turns[1].id)
            assert last == turns[0].id
            assert (await read_state(runtime, thread.id)).first_unread == UnreadFromTurn(turns[0].id)
            await run(thread, "four")
            assert user_texts(model) == ["one", "four"]
            with pytest.raises(RpcError, match=f"turn not found: {turns[1].id}"):
                await revert(runtime, thread.id, turns[1].id)
            await revert(runtime, thread.id, turns[0].id)
        async with runtime.resume_thread(thread.id) as thread:
            assert list(thread.info.thread.turns) == []


async def test_a_running_turn_is_interrupted_before_it_is_reverted(opened, scripted, start_turn, actor):
    model = scripted(["one", trio.Event()])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        running = await start_turn(runtime, thread.id, "first")
        await model.waiting.wait()
        _, last = await revert(runtime, thread.id, running.id)
        assert last is None
        assert actor(runtime, thread.id).core.turn is None
        assert (await run(thread, "second")).status == "completed"


async def test_a_reverted_paginated_thread_continues_in_a_file_that_refers_to_the_last(opened, scripted):
    model = scripted()
    async with opened(model) as runtime:
        async with runtime.start_thread(history_mode="paginated") as thread:
            turns = [await run(thread, text) for text in ("one", "two", "three")]
            first = stored_at(runtime, thread)
            size = first.stat().st_size
            await update(runtime, thread.id, model="another")
            shown, last = await revert(runtime, thread.id, turns[1].id)
            assert last == turns[0].id
            second = stored_at(runtime, thread)
            assert (shown.path, shown.preview) == (str(second), "one")
            assert second != first
            assert first.stat().st_size > size  # the settings were appended; nothing is removed
            assert (await read_state(runtime, thread.id)).first_unread == UnreadFromTurn(turns[0].id)
            await run(thread, "four")
            assert user_texts(model) == ["one", "four"]
            with pytest.raises(RpcError, match=f"turn not found: {turns[1].id}"):
                await revert(runtime, thread.id, turns[1].id)
        async with runtime.resume_thread(thread.id) as thread:
            assert thread.info.thread.path == str(second)
            assert thread.info.model == "another"
            assert texts_of_turns(thread.info.thread.turns) == ["one", "four"]
            await revert(runtime, thread.id, turns[0].id)
            await run(thread, "five")
            assert user_texts(model) == ["five"]
        async with runtime.resume_thread(thread.id) as thread:
            assert texts_of_turns(thread.info.thread.turns) == ["five"]


def stored_at(runtime, thread):
    """The rollout of a loaded thread."""
    return runtime._backend.registry._actors[thread.id].core.state.conversation.path


def user_texts(model):
    """The user's texts in the last request to the model."""
    return [text for text in model.texts[-1] if text in WORDS]


WORDS = ("one", "two", "three", "four", "five")


def texts_of_turns(turns):
    """The user's texts of each turn."""
    return [turn.items[0].content[0].text for turn in turns]


async def test_a_paginated_thread_that_another_program_reverted_is_not_reverted_again(opened):
    async with opened() as runtime, runtime.start_thread(history_mode="paginated") as thread:
        turn = await run(thread, "one")
        path = stored_at(runtime, thread)
        line = b'{"timestamp":"","ordinal":0,"type":"session_meta","payload":{"id":"x"}}'
        path.with_name(f"{path.stem}_{thread.id}.jsonl").write_bytes(line)
        with pytest.raises(RpcError, match="has been reverted by another program"):
            await revert(runtime, thread.id, turn.id)
        assert stored_at(runtime, thread) == path


async def test_a_loaded_thread_continues_where_another_program_has_reverted_it(opened, scripted, actor):
    model = scripted()
    async with opened(model) as runtime:
        async with runtime.start_thread(history_mode="paginated") as thread:
            turns = [await run(thread, text) for text in ("one", "two")]
            path = stored_at(runtime, thread)
            meta = dict(actor(runtime, thread.id).core.state.conversation.meta)
            other = Revert(thread.id, path, meta, turns[1].id, [])
            newer = write_segment(runtime._backend.services.home, other, datetime.now(), lambda: None)
            size = path.stat().st_size
            await run(thread, "three")
            assert user_texts(model) == ["one", "three"]
            assert stored_at(runtime, thread) == newer
            assert path.stat().st_size == size
        async with runtime.resume_thread(thread.id) as thread:
            assert texts_of_turns(thread.info.thread.turns) == ["one", "three"]


async def test_an_ephemeral_thread_cannot_be_reverted(opened):
    async with opened() as runtime, runtime.start_thread(ephemeral=True) as thread:
        turn = await run(thread, "hi")
        with pytest.raises(RpcError, match="ephemeral"):
            await revert(runtime, thread.id, turn.id)


# -- the end


async def test_a_deleted_thread_is_closed_and_leaves_nothing(opened, scripted, witness, start_turn, tmp_path):
    model = scripted(["one", trio.Event()])
    async with opened(model) as runtime:
        seen = witness(runtime)
        async with runtime.start_thread() as other, runtime.start_thread() as thread:
            await start_turn(runtime, thread.id, "first")
            await model.waiting.wait()
            state = runtime._backend.services.state
            for id in (thread.id, other.id):
                await state.change(lambda db, id=id: move_thread(db, id, PINNED, None, 1))
            await delete(runtime, thread.id)
            assert not await trio.Path(thread.info.thread.path).exists()
            await seen.until("thread/deleted")
            assert [method for method, _ in seen.notifications][-2:] == ["thread/closed", "thread/deleted"]
            assert list((await state.read(placements, None)).by_thread) == [other.id]
            with pytest.raises(RpcError, match="no rollout found"):
                await delete(runtime, thread.id)


async def test_a_thread_without_a_turn_can_be_deleted_an_ephemeral_one_not(opened):
    async with opened() as runtime:
        async with runtime.start_thread() as thread:
            await delete(runtime, thread.id)
        async with runtime.start_thread(ephemeral=True) as thread:
            with pytest.raises(RpcError, match="not persisted and cannot be deleted"):
                await delete(runtime, thread.id)
            await run(thread, "it goes on")


async def test_a_file_outside_the_home_is_not_deleted(opened, actor, tmp_path):
    async with opened() as runtime, runtime.start_thread() as thread:
        await run(thread)
        state = actor(runtime, thread.id).core.state
        inside, state.conversation.path = state.conversation.path, tmp_path / "elsewhere.jsonl"
        with pytest.raises(RpcError, match="is not in the home and cannot be deleted"):
            await delete(runtime, thread.id)
        state.conversation.path = inside
        await run(thread, "it goes on")


async def test_archived_threads_can_be_deleted_and_loaded_ones_are_not_in_the_archive(opened):
    async with opened() as runtime:
        async with runtime.start_thread() as thread:
            await run(thread, "hi")
            with pytest.raises(RpcError, match="no archived rollout found"):
                await answer(lambda reply: runtime._backend.registry.route(Unarchive(thread.id, reply)))
        await wait_all_tasks_blocked()
        await runtime.archive_thread(thread.id)
        await delete(runtime, thread.id)
        with pytest.raises(RpcError, match="no archived rollout found"):
            await answer(lambda reply: runtime._backend.registry.route(Unarchive(thread.id, reply)))
