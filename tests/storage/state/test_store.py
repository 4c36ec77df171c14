"""The state file: created when needed, shared, and failures affect only the methods that use it."""

import sqlite3

import pytest
import trio

from spindle.storage.home import Home
from spindle.storage.state import StateStore, StateUnavailable
from spindle.storage.state.database import open_database


@pytest.fixture
async def store(tmp_path):
    store = StateStore(Home(tmp_path))
    yield store
    await store.aclose()


def add(name):
    return lambda db: db.execute("INSERT INTO sections (id, name) VALUES (?, ?)", (name, name)).rowcount


def names(db):
    return [name for (name,) in db.execute("SELECT name FROM sections ORDER BY id")]


async def test_a_change_is_on_disk_when_it_is_answered(store):
    def mode(db):
        return db.execute("PRAGMA synchronous").fetchone()[0]

    full, normal = 2, 1
    assert await store.change(mode) == full
    assert await store.change(mode, durable=False) == normal
    assert await store.change(mode) == full


class Failing(sqlite3.Connection):
    """Statement number `at` fails, of all executed ones."""

    at, number = -1, 0

    def execute(self, *args):
        Failing.number += 1
        if Failing.number - 1 == Failing.at:
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(*args)


async def test_if_any_statement_fails_the_change_is_made_or_refused_and_the_next_succeeds(tmp_path, monkeypatch):
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **named: connect(*args, **named, factory=Failing))
    refused = 0
    for at in range(100):
        Failing.at, Failing.number = at, 0
        store = StateStore(Home(tmp_path / str(at)))
        try:
            await store.change(add("a"))
        except StateUnavailable:
            refused += 1
            kept = ["b"]
        else:
            kept = ["a", "b"]
        done, Failing.at = Failing.number <= at, -1
        await store.change(add("b"))
        assert {"a", "b"}.intersection(await store.read(names, [])) == set(kept)
        await store.aclose()
        if done:
            break
    assert done
    assert refused > 10


async def test_reading_creates_no_file(store):
    assert await store.read(names, ["none"]) == ["none"]
    assert not store.path.exists()


async def test_changes_are_visible_to_others_and_after_closing(store, tmp_path):
    assert await store.change(add("a")) == 1
    other = StateStore(Home(tmp_path))
    assert "a" in await other.read(names, [])
    await other.change(add("b"))
    await other.aclose()
    await store.aclose()
    assert {"a", "b"} <= set(await store.read(names, []))


async def test_a_refusal_undoes_its_own_change_alone(store):
    def refused(db):
        add("refused")(db)
        raise ValueError("no")

    outcomes = []

    async def change(work):
        try:
            outcomes.append(await store.change(work))
        except ValueError as error:
            outcomes.append(str(error))

    async with trio.open_nursery() as nursery:
        for work in (add("a"), refused, add("b"), refused, add("c")):
            nursery.start_soon(change, work)
    assert sorted(map(str, outcomes)) == ["1", "1", "1", "no", "no"]
    kept = await store.read(names, [])
    assert {"a", "b", "c"} <= set(kept)
    assert "refused" not in kept


async def test_concurrent_changes_share_a_commit(store):
    await store.change(add("first"))
    commits = []
    await store.change(
        lambda db: db.set_trace_callback(lambda said: commits.append(said) if said == "COMMIT" else None)
    )
    del commits[:]
    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(store.change, add(f"s{number}"))
    assert 1 <= len(commits) <= 3
    assert len(await store.read(names, [])) == 52


async def test_a_change_that_is_cancelled_before_its_commit_is_not_made(store):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.change, add("made"))
        with trio.CancelScope() as scope:
            scope.cancel()
            await store.change(add("cancelled"))
    assert "made" in await store.read(names, [])
    assert "cancelled" not in await store.read(names, [])


@pytest.mark.parametrize("content", [b"this is not a database, and has never been one" * 100, b"\0" * 5000])
async def test_a_damaged_file_is_unavailable_and_unchanged(store, content):
    store.path.parent.mkdir()
    store.path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(StateUnavailable, match=r"state\.sqlite"):
            await store.change(add("a"))
        with pytest.raises(StateUnavailable):
            await store.read(names, [])
    assert await store.read_or(names, ["none"]) == ["none"]
    assert store.path.read_bytes() == content


async def test_a_file_of_a_newer_version_is_unchanged(store):
    open_database(store.path).close()
    with sqlite3.connect(store.path) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(StateUnavailable, match="newer version"):
        await store.change(add("a"))


async def test_a_failure_is_temporary(store, tmp_path):
    store.path.mkdir(parents=True)
    with pytest.raises(StateUnavailable):
        await store.change(add("a"))
    store.path.rmdir()
    assert await store.change(add("a")) == 1
