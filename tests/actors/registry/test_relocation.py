"""Archiving, unarchiving and deleting: a refused request changes nothing, and there is one writer at a time."""

import subprocess
import sys
from pathlib import Path

import pytest
import trio
import trio.testing

from spindle.actors.kernel.mailbox import answer
from spindle.actors.registry.messages import LoadedOrStored, Occupying, ToThread
from spindle.actors.registry.relocation import Archive, Delete, Unarchive
from spindle.actors.thread.messages import SetName
from spindle.rpc.protocol.errors import RpcError
from spindle.storage.home import Home
from spindle.storage.rollout.writer_lock import WriterLock
from spindle.storage.threads.archive import archive
from spindle.storage.threads.metadata import append_to_stored

HOLDER = """
import sys
from pathlib import Path
from spindle.storage.rollout.writer_lock import WriterLock
lock = WriterLock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def another_writer():
    """another_writer(lock file) -> the pid of a process that holds it until the end of the test."""
    held = []

    def hold(path):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        held.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process.pid

    yield hold
    for process in held:
        process.communicate()


async def relocated(runtime, kind, thread_id):
    return await answer(lambda reply: runtime._backend.registry.route(kind(thread_id, reply)))


async def refused(runtime, kind, thread_id, match):
    with pytest.raises(RpcError, match=match):
        await relocated(runtime, kind, thread_id)


def rollout(thread):
    return Path(thread.info.thread.path)


async def alive(runtime, thread):
    """The thread is the same incarnation, with its subscriber, and goes on."""
    assert runtime._backend.loaded() == [thread.id]
    assert (await thread.run("still here?")).text == "ok"


@pytest.mark.parametrize("kind", [Archive, Delete, Unarchive])
@pytest.mark.parametrize("turns", [0, 1])
async def test_an_ephemeral_thread_is_refused_and_lives(opened, kind, turns):
    async with opened() as runtime, runtime.start_thread(ephemeral=True) as thread:
        for _ in range(turns):
            await thread.run("hi")
        await refused(runtime, kind, thread.id, "no rollout found|no archived rollout|not persisted")
        await alive(runtime, thread)


async def test_a_thread_that_still_loads_is_asked_first(opened):
    """Of one that is being started nothing is known yet; what comes behind waits with it."""
    async with opened() as runtime:
        outcomes = []

        async def ask(kind, thread_id):
            with pytest.raises(RpcError) as caught:
                await relocated(runtime, kind, thread_id)
            outcomes.append(str(caught.value))

        start = runtime._backend.registry.start
        async with trio.open_nursery() as nursery:

            def started(opening, message):
                id = start(opening, message)
                for kind in (Archive, Unarchive, Archive):
                    nursery.start_soon(ask, kind, id)
                return id

            runtime._backend.registry.start = started
            async with runtime.start_thread() as thread:
                await alive(runtime, thread)
        assert len(outcomes) == 3
        assert all("rollout found for thread id" in each for each in outcomes)


async def test_a_place_that_is_taken_in_the_archive_ends_no_thread(opened):
    async with opened() as runtime, runtime.start_thread() as thread:
        await thread.run("hi")
        place = runtime._backend.home.archived_sessions / rollout(thread).name
        place.parent.mkdir()
        place.touch()
        await refused(runtime, Archive, thread.id, "refusing to replace")
        await alive(runtime, thread)


async def test_a_rollout_that_is_elsewhere_ends_no_thread(opened):
    async with opened() as runtime, runtime.start_thread() as thread:
        await thread.run("hi")
        path = rollout(thread)
        path.rename(path.with_name("elsewhere"))
        await refused(runtime, Archive, thread.id, "no rollout found")
        path.with_name("elsewhere").rename(path)
        await alive(runtime, thread)


@pytest.mark.skipif(sys.platform != "linux", reason="the table of locks is Linux's")
@pytest.mark.parametrize("kind", [Archive, Delete])
async def test_another_writer_is_named_and_ends_no_thread(opened, another_writer, kind):
    async with opened() as runtime, runtime.start_thread() as thread:
        await thread.run("hi")
        pid = another_writer(runtime._backend.home.lock_file(thread.id))
        await refused(runtime, kind, thread.id, f"already has an active writer: pid {pid}")
        assert runtime._backend.loaded() == [thread.id]
        assert rollout(thread).exists()


@pytest.mark.parametrize("kind", [Archive, Unarchive, Delete])
async def test_another_writer_keeps_the_file_of_a_thread_that_is_not_loaded(opened, another_writer, kind):
    async with opened() as runtime:
        async with runtime.start_thread() as thread:
            await thread.run("hi")
        path = rollout(thread)
        if kind is Unarchive:
            path = archive(runtime._backend.home, thread.id)
        pid = another_writer(runtime._backend.home.lock_file(thread.id))
        await refused(runtime, kind, thread.id, f"already has an active writer: pid {pid}")
        assert path.exists()


async def test_a_thread_that_others_refer_to_is_not_ended_for_its_deletion(opened, monkeypatch):
    from spindle.actors.registry import relocation
    from spindle.storage.threads.lineage import Lineage

    monkeypatch.setattr(relocation, "lineage", lambda home, id: Lineage((), ("another",)))
    async with opened() as runtime, runtime.start_thread() as thread:
        await thread.run("hi")
        await refused(runtime, Delete, thread.id, "still references it")
        await alive(runtime, thread)


async def test_an_archiving_waits_for_no_turn_of_ours_and_what_comes_behind_waits_for_it(opened, scripted):
    model = scripted(["one", trio.Event()])
    async with opened(model) as runtime, runtime.start_thread() as thread, thread.turn("hi"):
        await model.waiting.wait()
        named = []
        async with trio.open_nursery() as nursery:

            async def name():
                with pytest.raises(RpcError) as caught:
                    await answer(
                        lambda reply: runtime._backend.registry.route(
                            ToThread(thread.id, SetName(reply=reply, name="too late"))
                        )
                    )
                named.append(str(caught.value))

            await trio.lowlevel.checkpoint()
            nursery.start_soon(relocated, runtime, Archive, thread.id)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(name)
        assert named == [f"thread not found: {thread.id}"]
        assert (runtime._backend.home.archived_sessions / rollout(thread).name).exists()


def test_a_rollout_that_is_moved_away_is_not_begun_again(tmp_path, monkeypatch):
    """By a line that is to be appended to it; another process may archive the thread in between."""
    from spindle.storage.rollout import journal

    home = Home(tmp_path)
    path = tmp_path / "rollout.jsonl"
    path.write_text('{"type":"session_meta","payload":{}}\n')
    acquire = WriterLock.acquire

    def moved(lock):
        path.rename(tmp_path / "moved")
        acquire(lock)

    monkeypatch.setattr(WriterLock, "acquire", moved)
    with pytest.raises(journal.JournalError, match="is gone"):
        append_to_stored(home, path, "id", [("event_msg", {})])
    assert not path.exists()


async def test_work_on_a_file_that_fails_is_its_own(opened, caplog):
    async with opened() as runtime, runtime.start_thread() as other:

        async def broken():
            raise ZeroDivisionError

        work, registry = Occupying(broken), runtime._backend.registry
        with pytest.raises(ZeroDivisionError):
            await answer(lambda reply: registry.route(LoadedOrStored("absent", SetName(reply=reply, name="x"), work)))
        assert (await other.run("hi")).text == "ok"
