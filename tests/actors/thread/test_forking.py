"""Forks: what they take over, how they continue, and that a failed fork leaves nothing."""

from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import spindle
from spindle.actors.thread.loading import fork as forking
from spindle.rpc.protocol.errors import RpcError
from spindle.storage.config import ConfigError
from spindle.storage.threads.archive import archive
from spindle.storage.threads.listing import list_threads
from spindle.storage.threads.query import ThreadQuery


def texts(turns):
    return [part.text for turn in turns for item in turn.items if item.type == "userMessage" for part in item.content]


def files(home):
    return sorted(path.name for path in home.path.rglob("*rollout*"))


def listed(home):
    return {row.id: row for row in list_threads(home, ThreadQuery(model_providers=())).data}


async def test_a_fork_has_the_turns_and_then_its_own(opened, scripted, lines):
    model = scripted()
    async with opened(model) as runtime, runtime.start_thread() as thread:
        await thread.run("one")
        await thread.run("two")
        async with runtime.fork_thread(thread.id) as fork:
            info = fork.info.thread
            assert (info.forked_from_id, info.preview, info.name) == (thread.id, "one", None)
            assert [turn.id for turn in info.turns] == [turn.id for turn in (await thread.read(include_turns=True)).turns]
            await fork.run("three")
            assert model.conversation() == ["one", "ok", "two", "ok", "three"]
            await thread.run("four")
            assert model.conversation() == ["one", "ok", "two", "ok", "four"]
            first, second = lines(fork)[:2]
            assert (first["id"], first["forked_from_id"], second["id"]) == (fork.id, thread.id, thread.id)
            assert "forked_from_id" not in second
        async with runtime.resume_thread(fork.id) as again:
            assert texts(again.info.thread.turns) == ["one", "two", "three"]
            assert again.info.thread.forked_from_id == thread.id


async def test_a_fork_records_its_own_repository(opened, lines, tmp_path):
    await trio.run_process(["git", "init", "-q", "-b", "trunk", tmp_path])
    async with opened() as runtime, runtime.start_thread() as thread:
        await thread.run("one")
        await trio.run_process(["git", "-C", tmp_path, "checkout", "-q", "-b", "other"])
        async with runtime.fork_thread(thread.id) as fork:
            assert (thread.info.thread.git_info, fork.info.thread.git_info.branch) == (None, "other")
            assert lines(fork)[0]["git"] == {"branch": "other"}
        async with runtime.resume_thread(fork.id) as again:
            assert again.info.thread.git_info.branch == "other"


async def test_a_fork_of_a_fork_records_its_source_and_takes_no_name(opened, lines):
    async with opened() as runtime, runtime.start_thread() as thread:
        await thread.run("one")
        await thread.rename("the first")
        async with runtime.fork_thread(thread.id) as fork, runtime.fork_thread(fork.id) as second:
            assert second.info.thread.forked_from_id == fork.id
            assert [line["id"] for line in lines(second) if line["line"] == "session_meta"] == [
                second.id, fork.id, thread.id,
            ]  # fmt: skip
            assert (second.info.thread.name, (await fork.read()).name) == (None, None)
        async with runtime.resume_thread(second.id) as again:
            assert (again.info.thread.forked_from_id, again.info.thread.name) == (fork.id, None)


async def test_a_fork_is_announced_with_its_turns(opened, witness):
    async with opened() as runtime, runtime.start_thread() as thread:
        await thread.run("one")
        seen = witness(runtime)
        async with runtime.fork_thread(thread.id) as fork:
            told = (await seen.next("thread/started")).thread
            assert (told.id, texts(told.turns)) == (fork.id, ["one"])
        async with runtime.fork_thread(thread.id, exclude_turns=True) as fork:
            assert fork.info.thread.turns == ()
            assert texts((await fork.read(include_turns=True)).turns) == ["one"]


async def test_a_running_turn_is_interrupted_in_the_fork_only(opened, scripted, lines):
    go = trio.Event()
    model = scripted(["part", go])
    async with opened(model) as runtime, runtime.start_thread() as thread, thread.turn("one") as turn:
        await model.waiting.wait()
        async with runtime.fork_thread(thread.id) as fork:
            [shown] = fork.info.thread.turns
            assert (shown.id, shown.status, texts([shown])) == (turn.id, "interrupted", ["one"])
            assert lines(fork)[-1]["type"] == "turn_aborted"
            await fork.run("next")
            assert [text.splitlines()[0] for text in model.texts[1]][-3:] == ["one", "<turn_aborted>", "next"]
        with pytest.raises(RpcError, match="still in progress"):
            async with runtime.fork_thread(thread.id, last_turn_id=turn.id):
                pass
        go.set()
        async for _ in turn:
            pass
        assert turn.text == "part"


async def test_a_fork_may_end_after_a_turn_or_before_one(opened, scripted):
    model = scripted()
    async with opened(model) as runtime, runtime.start_thread() as thread:
        for text in ("one", "dropped", "two", "three"):
            await thread.run(text)
            if text == "dropped":
                dropped = (await thread.read(include_turns=True)).turns[-1].id
                await thread.roll_back()
        ids = [turn.id for turn in (await thread.read(include_turns=True)).turns]
        for cut, left in (
            ({"last_turn_id": ids[0]}, ["one"]),
            ({"last_turn_id": ids[1]}, ["one", "two"]),
            ({"last_turn_id": ids[2]}, ["one", "two", "three"]),
            ({"before_turn_id": ids[2]}, ["one", "two"]),
            ({"before_turn_id": ids[0]}, []),
        ):
            async with runtime.fork_thread(thread.id, **cut) as fork:
                assert texts(fork.info.thread.turns) == left, cut
                await fork.run("next")
                assert [text for text in model.conversation() if text != "ok"] == [*left, "next"]
        for wrong in ({"last_turn_id": dropped}, {"before_turn_id": "nobody"}):
            with pytest.raises(RpcError, match="turn not found"):
                async with runtime.fork_thread(thread.id, **wrong):
                    pass
        with pytest.raises(RpcError, match="cannot be combined"):
            async with runtime.fork_thread(thread.id, last_turn_id=ids[0], before_turn_id=ids[1]):
                pass


async def test_an_ephemeral_fork_is_in_memory_only(opened, scripted):
    model = scripted()
    async with opened(model) as runtime, runtime.start_thread() as thread:
        await thread.run("one")
        before = files(runtime._backend.home)
        async with runtime.fork_thread(thread.id, ephemeral=True) as fork:
            assert (fork.info.thread.path, fork.info.thread.ephemeral) == (None, True)
            assert texts(fork.info.thread.turns) == ["one"]
            await fork.run("two")
            assert model.conversation() == ["one", "ok", "two"]
            assert files(runtime._backend.home) == before
            with pytest.raises(RpcError, match="no rollout found"):
                async with runtime.fork_thread(fork.id):
                    pass


async def test_a_fork_may_have_its_own_settings(opened, scripted, tmp_path):
    model = scripted()
    (tmp_path / "elsewhere").mkdir()
    async with opened(model) as runtime, runtime.start_thread(model="first", developer_instructions="dev") as thread:
        await thread.run("one")
        async with runtime.fork_thread(thread.id) as same:
            assert (same.info.model, same.info.cwd) == ("first", thread.info.cwd)
        changes = {"model": "second", "cwd": tmp_path / "elsewhere", "sandbox": "workspace-write"}
        async with runtime.fork_thread(thread.id, **changes) as fork:
            assert (fork.info.model, fork.info.cwd) == ("second", str(tmp_path / "elsewhere"))
            assert fork.info.sandbox.type == "workspaceWrite"
            await fork.run("two")
            assert any("elsewhere" in text for text in model.texts[-1])


async def test_a_failed_fork_is_an_error_and_leaves_no_file(opened):
    async with opened() as runtime:
        async with runtime.start_thread() as thread:
            with pytest.raises(RpcError, match=f"no rollout found for thread id {thread.id}"):
                async with runtime.fork_thread(thread.id):
                    pass
            await thread.run("one")
        await runtime._backend.registry.all_gone()
        before = files(runtime._backend.home)
        with pytest.raises(ConfigError, match="nowhere"):
            async with runtime.fork_thread(thread.id, model_provider="nowhere"):
                pass
        assert files(runtime._backend.home) == before
        await trio.to_thread.run_sync(archive, runtime._backend.home, thread.id)
        with pytest.raises(RpcError, match="no rollout found"):
            async with runtime.fork_thread(thread.id):
                pass
        assert files(runtime._backend.home) == before


async def test_a_cancelled_fork_leaves_no_file_and_no_thread(opened, monkeypatch):
    async with opened() as runtime, runtime.start_thread() as thread:
        await thread.run("one")
        before = files(runtime._backend.home)
        loaded = runtime._backend.registry.directory.loaded()
        written, go = trio.Event(), trio.Event()
        write = forking._write

        def slow(conversation, meta, parts):
            replay = write(conversation, meta, parts)
            trio.from_thread.run_sync(written.set)
            trio.from_thread.run(go.wait)
            return replay

        monkeypatch.setattr(forking, "_write", slow)
        async with trio.open_nursery() as nursery:

            async def fork():
                async with spindle.fork_thread(runtime, thread.id):
                    pass

            nursery.start_soon(fork)
            await written.wait()
            assert len(files(runtime._backend.home)) == len(before) + 1
            [starting] = [actor for id, actor in runtime._backend.registry._actors.items() if id != thread.id]
            starting.nursery.cancel_scope.cancel()
            nursery.cancel_scope.cancel()
            go.set()
        await wait_all_tasks_blocked()
        while len(runtime._backend.registry._actors) > 1:
            await trio.lowlevel.checkpoint()
        assert files(runtime._backend.home) == before
        assert runtime._backend.registry.directory.loaded() == loaded


async def test_a_fork_is_listed_with_what_it_was_forked_from(opened):
    async with opened() as runtime, runtime.start_thread() as thread:
        await thread.run("one")
        async with runtime.fork_thread(thread.id, thread_source="automation") as fork:
            row = listed(runtime._backend.home)[fork.id]
            assert (row.forked_from_id, row.preview, row.thread_source) == (thread.id, "one", "automation")


async def test_the_outline_of_a_fork_is_stored_as_for_other_threads(opened):
    async with opened() as runtime, runtime.start_thread() as thread:
        await thread.run("one")
        async with runtime.fork_thread(thread.id) as fork:
            await fork.read(include_turns=True)
            assert Path(fork.info.thread.path) in runtime._backend.services.outliner._recent
