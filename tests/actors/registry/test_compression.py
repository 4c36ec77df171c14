"""rollout/compress: old rollouts of threads that are not loaded become smaller, and stay as they were to readers."""

import os
import time
from pathlib import Path

import pytest
import trio

from spindle.storage.home import Home
from spindle.storage.rollout.compressed import deflate, open_rollout
from spindle.storage.rollout.writer_lock import WriterBusy, WriterLock
from spindle.storage.threads.compressing import UNCHANGED, compress, compressible


def age(path, seconds=UNCHANGED + 3600):
    at = time.time() - seconds
    os.utime(path, (at, at))


@pytest.fixture
async def kept(talk):
    """kept(client, archived=False) -> the id and the rollout of a thread with one turn, which is old and not loaded."""

    async def make(client, words="hi"):
        thread = (await client.call("thread/start"))["thread"]
        id = thread["id"]
        await client.call("turn/start", threadId=id, input=[{"type": "text", "text": words}])
        await client.wait_for("turn/completed", id)
        await client.call("thread/unsubscribe", threadId=id)
        await client.wait_for("thread/closed", id)
        age(thread["path"])
        return id, Path(thread["path"])

    return make


async def test_old_rollouts_are_compressed_and_read_as_before(opened, talk, kept):
    async with opened() as runtime:
        client = await talk(runtime)
        old, young, loaded, archived = [await kept(client) for _ in range(4)]
        await client.call("thread/archive", threadId=archived[0])
        age(young[1], UNCHANGED - 3600)
        await client.call("thread/resume", threadId=loaded[0])
        before = await client.call("thread/read", threadId=old[0], includeTurns=True)
        away = archived[1].parents[4] / "archived_sessions" / archived[1].name
        age(away)
        assert await client.call("rollout/compress") == {}
        assert await client.call("rollout/compress") == {}  # one pass at a time
        await runtime._backend._compression.over.wait()
        zipped = [path.with_name(path.name + ".zst").exists() for path in (old[1], young[1], loaded[1], away)]
        assert zipped == [True, False, False, True]
        assert [path.exists() for path in (old[1], young[1], loaded[1], away)] == [False, True, True, False]
        assert await client.call("thread/read", threadId=old[0], includeTurns=True) == before
        await client.call("thread/resume", threadId=old[0])
        await client.call("turn/start", threadId=old[0], input=[{"type": "text", "text": "again"}])
        await client.wait_for("turn/completed", old[0], 2)
        assert old[1].exists()


async def test_a_thread_is_not_loaded_while_it_is_compressed(opened, talk, kept, monkeypatch):
    async with opened() as runtime:
        client = await talk(runtime)
        id, path = await kept(client)
        inside, go_on = trio.Event(), trio.Event()

        def slow(home, thread_id, path, check):
            trio.from_thread.run_sync(inside.set)
            trio.from_thread.run(go_on.wait)
            return compress(home, thread_id, path, check)

        monkeypatch.setattr("spindle.actors.registry.compression.compress", slow)
        await client.call("rollout/compress")
        await inside.wait()
        resume = client.ask("thread/resume", threadId=id)
        await trio.testing.wait_all_tasks_blocked()
        assert path.exists()
        assert id not in runtime._backend.loaded()
        go_on.set()
        assert (await client.answer(resume))["thread"]["id"] == id
        assert path.exists()  # it was compressed, and then inflated for the thread
        assert not path.with_name(path.name + ".zst").exists()


async def test_the_end_of_the_runtime_leaves_a_file_whole(opened, talk, kept, monkeypatch):
    async with opened() as runtime:
        client = await talk(runtime)
        _, path = await kept(client)
        content = path.read_bytes()
        inside = trio.Event()

        def endless(home, thread_id, path, check):
            def stopped():
                trio.from_thread.run_sync(inside.set)
                while True:
                    check()
                    trio.from_thread.run(trio.lowlevel.checkpoint)

            return compress(home, thread_id, path, stopped)

        monkeypatch.setattr("spindle.actors.registry.compression.compress", endless)
        await client.call("rollout/compress")
        await inside.wait()
    assert path.read_bytes() == content
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.fixture
def old(tmp_path):
    """A home with an old rollout: (home, thread id, path)."""
    id = "01a22f29-0000-7000-8000-000000000000"
    folder = tmp_path / "sessions" / "2026" / "01" / "02"
    folder.mkdir(parents=True)
    path = folder / f"rollout-2026-01-02T03-04-05-{id}.jsonl"
    path.write_bytes(b'{"a":1}\n' * 300_000)
    age(path)
    return Home(tmp_path), id, path


def test_a_compressed_file_has_the_content_and_the_time_of_the_plain_one(old):
    home, id, path = old
    at, content = path.stat().st_mtime_ns, path.read_bytes()
    stale = path.with_name(path.name + ".zst")
    stale.write_bytes(b"left by a crash between the two steps")
    assert list(compressible(home)) == [(id, path)]
    assert compress(home, id, path, lambda: None)
    [zipped] = path.parent.iterdir()
    assert (zipped.name, zipped.stat().st_mtime_ns) == (path.name + ".zst", at)
    assert zipped.stat().st_size < len(content) / 100
    with open_rollout(zipped) as file:
        assert file.read() == content
    assert list(compressible(home)) == []


def test_a_file_that_changes_meanwhile_stays(old):
    _, _, path = old

    def append():
        with path.open("ab") as file:
            file.write(b"more\n")

    assert not deflate(path, append)
    assert path.read_bytes().endswith(b"more\n")
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_file_that_another_program_writes_to_stays(old, monkeypatch):
    home, id, path = old
    monkeypatch.setattr(WriterLock, "acquire", _busy)
    assert not compress(home, id, path, lambda: None)
    assert path.exists()


def _busy(_):
    raise WriterBusy("another program")


def test_what_has_changed_since_it_was_listed_stays(old):
    home, id, path = old
    age(path, 1)
    assert not compress(home, id, path, lambda: None)
    path.unlink()
    assert not compress(home, id, path, lambda: None)


def test_a_failure_leaves_the_plain_file(old):
    home, id, path = old

    def fails():
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        compress(home, id, path, fails)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
