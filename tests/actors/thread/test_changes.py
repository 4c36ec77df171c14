"""Changes of a thread outside of its turns, and what is left of them when it is loaded again."""

import errno
import fcntl
import os
from contextlib import contextmanager

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from spindle.actors.kernel.mailbox import answer
from spindle.actors.registry.changing import rename
from spindle.actors.registry.messages import LoadedOrStored, Occupying, ToThread
from spindle.actors.thread.messages import CountElicitation, SetMemoryMode, SetName, UpdateMetadata
from spindle.rpc.protocol.errors import INTERNAL_ERROR, RpcError
from spindle.rpc.protocol.thread_changes import ThreadMetadataGitInfoUpdateParams
from spindle.storage.rollout import journal
from spindle.storage.rollout.flusher import Flusher
from spindle.storage.rollout.reading import OpenRollout
from spindle.storage.threads.names import read_names, record_name


def user(text):
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


async def update(runtime, thread_id, **git):
    patch = ThreadMetadataGitInfoUpdateParams(**git)
    send = lambda reply: runtime._backend.registry.route(ToThread(thread_id, UpdateMetadata(reply=reply, git=patch)))  # noqa: E731
    return (await answer(send)).git_info


async def count(runtime, thread_id, step):
    send = lambda reply: runtime._backend.registry.route(ToThread(thread_id, CountElicitation(reply=reply, step=step)))  # noqa: E731
    return await answer(send)


async def rename_stored(runtime, thread_id, name):
    await answer(lambda reply: rename(runtime._backend, thread_id, name, reply))


@contextmanager
def locked(path):
    """Lock the thread as another process that writes to it does."""
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def texts(turns):
    return [part.text for turn in turns for item in turn.items if item.type == "userMessage" for part in item.content]


# -- names


async def test_a_name_is_in_the_rollout_and_the_index_and_all_clients_are_notified(opened, witness, lines):
    async with opened() as runtime, runtime.start_thread() as thread:
        seen = witness(runtime)
        await thread.run("one")
        await thread.rename("  my name ")
        told = await seen.next("thread/name/updated")
        assert (told.thread_id, told.thread_name) == (thread.id, "my name")
        assert lines(thread)[-1] == {
            "line": "event_msg", "type": "thread_name_updated", "thread_id": thread.id, "thread_name": "my name",
        }  # fmt: skip
        assert read_names(runtime._backend.home)[thread.id] == "my name"
    async with opened() as runtime, runtime.resume_thread(thread.id) as again:
        assert again.info.thread.name == "my name"


async def test_a_blank_name_is_refused(opened):
    async with opened() as runtime, runtime.start_thread() as thread:
        with pytest.raises(RpcError, match="thread name must not be empty"):
            await thread.rename("  ")


async def test_a_stored_thread_is_named_in_its_rollout(opened, witness, lines):
    async with opened() as runtime:
        async with runtime.start_thread() as thread:
            await thread.run("one")
        await runtime._backend.registry.all_gone()
        seen = witness(runtime)
        await rename_stored(runtime, thread.id, "stored")
        assert (await seen.next("thread/name/updated")).thread_name == "stored"
        assert lines(thread)[-1]["thread_name"] == "stored"
        assert runtime._backend.registry.directory.loaded() == []


async def test_a_resume_waits_for_the_change_of_a_stored_thread(opened):
    async with opened() as runtime:
        async with runtime.start_thread() as thread:
            await thread.run("one")
        await runtime._backend.registry.all_gone()
        begun, go = trio.Event(), trio.Event()
        done = []

        async def change(reply):
            begun.set()
            await go.wait()
            done.append("changed")
            reply.resolve(None)

        def send(reply):
            work = Occupying(lambda: change(reply))
            runtime._backend.registry.route(LoadedOrStored(thread.id, SetName(reply=reply, name="x"), work))

        async def resume():
            async with runtime.resume_thread(thread.id):
                done.append("resumed")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer, send)
            await begun.wait()
            nursery.start_soon(resume)
            await wait_all_tasks_blocked()
            assert thread.id not in runtime._backend.registry._actors
            go.set()
        assert done == ["changed", "resumed"]


async def test_a_change_is_refused_while_another_process_has_the_lock(opened, lines):
    async with opened() as runtime, runtime.start_thread() as thread:
        await thread.run("one")
        before = lines(thread)
        with locked(runtime._backend.home.lock_file(thread.id)):
            with pytest.raises(RpcError, match="already has an active writer"):
                await thread.rename("taken")
            with pytest.raises(RpcError, match="already has an active writer"):
                await update(runtime, thread.id, branch="b")
            with pytest.raises(RpcError, match="already has an active writer"):
                await thread.inject([user("x")])
        assert lines(thread) == before
        now = await thread.read()
        assert (now.name, now.git_info) == (None, None)
        assert thread.id not in read_names(runtime._backend.home)
        await thread.rename("free")
        assert (await thread.read()).name == "free"


async def test_a_change_that_cannot_be_written_is_refused_and_changes_nothing(opened, monkeypatch):
    async with opened() as runtime, runtime.start_thread() as thread:
        await thread.run("one")

        def full(self, lines):
            raise journal.JournalError("no space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(journal.Journal, "append", full)
            with pytest.raises(RpcError, match="history could not be saved: no space left") as refused:
                await update(runtime, thread.id, branch="b")
            assert refused.value.code == INTERNAL_ERROR
        assert (await thread.read()).git_info is None
        assert (await update(runtime, thread.id, sha="a")).branch is None


async def test_a_name_that_another_program_put_into_the_index_counts(opened):
    async with opened() as runtime:
        async with runtime.start_thread() as thread:
            await thread.run("one")
            await thread.rename("ours")
        await runtime._backend.registry.all_gone()
        record_name(runtime._backend.home, thread.id, "theirs")
        async with runtime.resume_thread(thread.id) as again:
            assert again.info.thread.name == "theirs"
            (runtime.home / "session_index.jsonl").unlink()
        await runtime._backend.registry.all_gone()
        async with runtime.resume_thread(thread.id) as again:
            assert again.info.thread.name == "ours"


# -- metadata


async def test_git_members_are_set_and_cleared_one_by_one_and_are_recorded(opened, lines):
    async with opened() as runtime:
        async with runtime.start_thread() as thread:
            await thread.run("one")
            await update(runtime, thread.id, branch="b", sha="a")
            git = await update(runtime, thread.id, sha=None, origin_url="u")
            assert (git.sha, git.branch, git.origin_url) == (None, "b", "u")
            assert lines(thread)[-1]["git"] == {"branch": "b", "repository_url": "u"}
        async with runtime.resume_thread(thread.id) as again:
            assert again.info.thread.git_info == git
            assert await update(runtime, thread.id, branch=None, origin_url=None) is None
            await again.run("two")
            assert (await again.read()).git_info is None


async def test_git_members_set_before_the_first_turn_go_over_the_repositorys(opened, lines, tmp_path):
    for words in ("init -q -b main .", "-c user.name=a -c user.email=a@b commit -q --allow-empty -m x"):
        await trio.run_process(["git", *words.split()], cwd=tmp_path)
    async with opened() as runtime, runtime.start_thread() as thread:
        assert (await update(runtime, thread.id, branch="early")).branch == "early"
        await thread.run("one")
        git = lines(thread)[0]["git"]
        assert git["branch"] == "early"
        assert len(git["commit_hash"]) == 40
        assert (await thread.read()).git_info.sha == git["commit_hash"]


async def test_an_ephemeral_thread_takes_no_metadata(opened):
    async with opened() as runtime, runtime.start_thread(ephemeral=True) as thread:
        with pytest.raises(RpcError, match="ephemeral thread does not support metadata updates"):
            await update(runtime, thread.id, branch="b")


async def test_the_memory_mode_is_in_the_rollout(opened, lines):
    async with opened() as runtime, runtime.start_thread() as thread:
        send = lambda reply: runtime._backend.registry.route(  # noqa: E731
            ToThread(thread.id, SetMemoryMode(reply=reply, mode="disabled"))
        )
        await answer(send)
        assert [line["line"] for line in lines(thread)] == ["session_meta"] * 2
        assert lines(thread)[-1]["memory_mode"] == "disabled"
        await update(runtime, thread.id, branch="b")
        assert lines(thread)[-1]["memory_mode"] == "disabled"


# -- rollback


async def test_a_rollback_removes_turns_for_clients_and_model(opened, scripted, lines):
    model = scripted()
    async with opened(model) as runtime, runtime.start_thread() as thread:
        for text in ("one", "two", "three"):
            await thread.run(text)
        left = await thread.roll_back(2)
        assert texts(left.turns) == ["one"]
        assert lines(thread)[-1] == {"line": "event_msg", "type": "thread_rolled_back", "num_turns": 2}
        await thread.run("four")
        assert model.conversation() == ["one", "ok", "four"]
        assert texts((await thread.read(include_turns=True)).turns) == ["one", "four"]


async def test_a_rollback_is_refused_during_a_turn_and_the_turn_goes_on(opened, scripted):
    go = trio.Event()
    model = scripted([go, "late"])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        async with thread.turn("one") as turn:
            await model.waiting.wait()
            with pytest.raises(RpcError, match="while a turn is in progress"):
                await thread.roll_back()
            go.set()
            async for _ in turn:
                pass
        assert turn.text == "late"
        assert (await thread.roll_back()).turns == ()


async def test_after_a_rollback_that_could_not_be_read_the_next_turn_reads_it(opened, scripted, monkeypatch):
    from spindle.actors.thread import conversation

    model = scripted()
    async with opened(model) as runtime, runtime.start_thread() as thread:
        await thread.run("one")
        await thread.run("two")

        class Unreadable(OpenRollout):
            def __init__(self, path, outliner, **_):
                raise OSError("input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(conversation, "OpenRollout", Unreadable)
            with pytest.raises(RpcError, match="input/output error"):
                await thread.roll_back()
        await thread.run("three")
        assert model.conversation() == ["one", "ok", "three"]


# -- injection


async def test_injected_items_follow_the_context_and_are_sent_once(opened, scripted, lines):
    model = scripted()
    async with opened(model) as runtime, runtime.start_thread() as thread:
        await thread.inject([user("injected"), {"type": "strange", "content": []}])
        assert [line["line"] for line in lines(thread)] == [
            "session_meta", "response_item", "response_item", "turn_context", "response_item", "response_item",
        ]  # fmt: skip
        await thread.run("one")
        assert model.conversation() == ["injected", "one"]
        assert sum("<environment_context>" in text for text in model.texts[0]) == 1
    async with opened(model) as runtime, runtime.resume_thread(thread.id) as again:
        await again.run("two")
        assert model.conversation() == ["injected", "one", "ok", "two"]
        assert sum("<environment_context>" in text for text in model.texts[1]) == 1


async def test_items_injected_during_a_turn_are_in_its_next_request(opened, scripted, lines):
    go = trio.Event()
    call = {"type": "function_call", "call_id": "c", "name": "nothing", "arguments": "{}"}
    model = scripted([call, go], ["done"])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        async with thread.turn("one") as turn:
            await model.waiting.wait()
            await thread.inject([user("injected")])
            assert lines(thread)[-1]["content"] == user("injected")["content"]
            go.set()
            async for _ in turn:
                pass
        assert "injected" in model.conversation(1)


async def test_a_change_during_a_turn_does_not_wait_for_its_end(opened, scripted, lines):
    go = trio.Event()
    model = scripted([go, "late"])
    async with opened(model) as runtime, runtime.start_thread() as thread, thread.turn("one") as turn:
        await model.waiting.wait()
        await thread.rename("in between")
        assert (await update(runtime, thread.id, branch="b")).branch == "b"
        assert [line["line"] for line in lines(thread)][-2:] == ["event_msg", "session_meta"]
        go.set()
        async for _ in turn:
            pass
        assert lines(thread)[-1]["type"] == "task_complete"


async def test_changes_while_a_turn_begins_or_ends_are_all_saved(opened, lines):
    async with opened() as runtime, runtime.start_thread() as thread:
        async with trio.open_nursery() as nursery:
            for number in range(40):
                nursery.start_soon(thread.inject, [user(f"item {number}")])
                await thread.run(f"turn {number}")
        said = [part["text"] for line in lines(thread) for part in line.get("content", [])]
        for number in range(40):
            assert said.count(f"item {number}") == 1
        assert [line.get("type") for line in lines(thread)].count("task_complete") == 40


@pytest.mark.parametrize(
    ("items", "reason"),
    [
        ([], "items must not be empty"),
        ([user("x"), 1], r"items\[1\] is not a valid response item: not an object"),
        ([{"no": 1}], r"items\[0\] is not a valid response item: missing field `type`"),
        ([{"type": "message", "content": []}], r"items\[0\] is not a valid response item: missing field `role`"),
        ([{"type": 1}], r"items\[0\] is not a valid response item: `type` is not a string"),
        ([user("x") | {"content": "x"}], r"items\[0\] is not a valid response item: `content` is not an array"),
    ],
)
async def test_an_invalid_item_is_refused_with_its_index(opened, items, reason):
    async with opened() as runtime, runtime.start_thread() as thread:
        with pytest.raises(RpcError, match=reason):
            await thread.inject(items)
        assert (await thread.read()).preview == ""


# -- elicitations


async def test_elicitations_are_counted_and_never_below_zero(opened):
    async with opened() as runtime, runtime.start_thread() as thread:
        steps = [await count(runtime, thread.id, step) for step in (1, 1, -1, -1)]
        assert [(step.count, step.paused) for step in steps] == [(1, True), (2, True), (1, True), (0, False)]
        with pytest.raises(RpcError, match="already zero"):
            await count(runtime, thread.id, -1)


@pytest.mark.parametrize("broken", [False, True])
async def test_a_change_that_meets_the_end_of_the_turn_is_synced_or_refused(opened, scripted, monkeypatch, broken):
    synced = []

    def sync_data(fd):
        if broken:
            raise OSError(errno.EIO, "the disk is broken")
        synced.append(os.fstat(fd).st_size)

    async def sync_late(self, journal):
        journal.end()  # as the turn does, after it has synced its own lines
        monkeypatch.setattr("spindle.storage.rollout.journal.sync_data", sync_data)
        await trio.to_thread.run_sync(journal.sync)

    model = scripted([trio.Event()])
    async with opened(model) as runtime, runtime.start_thread() as thread, thread.turn("held"):
        await model.waiting.wait()
        monkeypatch.setattr(Flusher, "sync", sync_late)
        if broken:
            with pytest.raises(RpcError, match=r"could not be saved: .*the disk is broken"):
                await thread.rename("late")
        else:
            await thread.rename("late")
            assert synced == [os.stat(thread.info.thread.path).st_size]
        monkeypatch.undo()
