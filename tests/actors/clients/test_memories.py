"""memory/* and thread/memory/read, over the files and databases of Codex."""

import sqlite3
from contextlib import closing

import pytest
from tests.actors.talks import Refused

from spindle.rpc.protocol.errors import INTERNAL_ERROR, INVALID_PARAMS

UNKNOWN = "01a22f29-0000-7000-8000-000000000000"


@pytest.fixture
def home(tmp_path):
    """A home with memories of both forms."""
    home = tmp_path / "home"
    (home / "memories" / "sub").mkdir(parents=True)
    (home / "memories_v2").mkdir()
    (home / "memories" / "memory_summary.md").write_text("They like tea.\n")
    (home / "memories" / "sub" / "one.md").write_text("x")
    (home / "memories_v2" / "two.md").write_text("x")
    for name in ("memories_1", "memories_v2_1", "state_5"):
        with closing(sqlite3.connect(home / f"{name}.sqlite")) as database, database:
            if name != "state_5":
                database.execute("CREATE TABLE stage1_outputs (thread_id TEXT)")
                database.execute("INSERT INTO stage1_outputs VALUES ('t')")
                database.execute("CREATE TABLE consolidation_progress (singleton INTEGER, max_thread_count INTEGER)")
                database.execute("INSERT INTO consolidation_progress VALUES (1, 7)")
    return home


def rows(home, name):
    with closing(sqlite3.connect(home / f"{name}.sqlite")) as database:
        return database.execute("SELECT count(*) FROM stage1_outputs").fetchone()[0]


async def refused(client, method, **params):
    with pytest.raises(Refused) as error:
        await client.call(method, **params)
    return error.value.code, str(error.value)


async def test_a_reset_removes_files_and_rows_and_keeps_the_folders(opened, talk, home):
    async with opened() as runtime:
        client = await talk(runtime)
        assert await client.call("memory/reset") == {}
        assert [list((home / name).iterdir()) for name in ("memories", "memories_v2")] == [[], []]
        assert [rows(home, name) for name in ("memories_1", "memories_v2_1")] == [0, 0]
        assert await client.call("memory/reset") == {}


async def test_a_folder_that_is_a_link_is_not_cleared(opened, talk, home, tmp_path):
    other = tmp_path / "other"
    (home / "memories").rename(other)
    (home / "memories").symlink_to(other)
    async with opened() as runtime:
        code, why = await refused(await talk(runtime), "memory/reset")
    assert code == INTERNAL_ERROR
    assert f"refusing to clear symlinked memory root {home / 'memories'}" in why
    assert (other / "memory_summary.md").exists()
    assert rows(home, "memories_1") == 1


async def test_the_status_counts_threads_of_the_second_form(opened, talk, home):
    async with opened() as runtime:
        client = await talk(runtime)
        for params, ready in (({}, False), ({"minConsolidatedThreads": 7}, True), ({"minConsolidatedThreads": 8}, False)):
            status = await client.call("memory/status", **params)
            assert status == {"v2ConsolidatedThreads": 7, "v2Ready": ready}
        await client.call("memory/reset")
        assert (await client.call("memory/status"))["v2Ready"] is True
        for wrong in (0, 4097):
            text = "minConsolidatedThreads must be between 1 and 4096"
            assert await refused(client, "memory/status", minConsolidatedThreads=wrong) == (INVALID_PARAMS, text)


async def test_a_home_without_memories_is_ready(opened, talk):
    async with opened() as runtime:
        client = await talk(runtime)
        assert await client.call("memory/status") == {"v2ConsolidatedThreads": 0, "v2Ready": True}
        assert await client.call("memory/reset") == {}


@pytest.mark.parametrize(
    ("config", "shown"),
    [
        ({}, None),
        ({"features.memories": True}, "They like tea.\n"),
        ({"features.memories": True, "memories.use_memories": False}, None),
    ],
)
async def test_a_thread_that_uses_memories_shows_their_summary(opened, talk, home, config, shown):
    async with opened() as runtime:
        client = await talk(runtime)
        id = (await client.call("thread/start", config=config))["thread"]["id"]
        assert await client.call("thread/memory/read", threadId=id) == {"summary": shown}
        (home / "memories" / "memory_summary.md").write_text(" \n")
        assert await client.call("thread/memory/read", threadId=id) == {"summary": None}
        assert (await refused(client, "thread/memory/read", threadId=UNKNOWN))[1] == f"thread not found: {UNKNOWN}"
