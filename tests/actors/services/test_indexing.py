"""Lists while the index catches up with the files, and the end of the task that does this."""

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from spindle.actors.services.indexing import FIRST_HEADS, HEADS, PAUSE, Indexing
from spindle.storage.home import Home
from spindle.storage.index import ThreadIndex
from spindle.storage.threads import listing
from spindle.storage.threads.query import ThreadPage, ThreadQuery
from spindle.storage.threads.summary import Head, read_head
from spindle.storage.threads.thread_errors import InvalidCursor

COUNT = HEADS + 100


@pytest.fixture
def home(tmp_path: Path) -> Home:
    for number in range(COUNT):
        id = str(uuid.uuid4())
        stamp = f"2025-01-{1 + number // 60:02}T12-{number % 60:02}-00"
        folder = tmp_path / "sessions" / stamp[:10].replace("-", "/")
        folder.mkdir(parents=True, exist_ok=True)
        lines = [
            {"type": "session_meta", "payload": {"id": id, "source": "cli", "model_provider": "openai"}},
            {"type": "event_msg", "payload": {"type": "user_message", "message": f"t{number:03}"}},
        ]
        (folder / f"rollout-{stamp}-{id}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Home(tmp_path)


class Held:
    """Blocks catching up until it is released; counts the pages from the index."""

    def __init__(self, indexing: Indexing, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = trio.Event()
        self.pages = 0
        index = indexing.index
        catch_up, page = index.catch_up, index.page

        def held(check: Callable[[], object]) -> None:
            trio.from_thread.run(self.go.wait)
            catch_up(check)

        def counted(*args: Any) -> ThreadPage | None:
            found = page(*args)
            self.pages += found is not None
            return found

        monkeypatch.setattr(index, "catch_up", held)
        monkeypatch.setattr(index, "page", counted)


def previews(page: ThreadPage) -> list[str]:
    return [thread.preview for thread in page.data]


def provider() -> str:
    return "openai"


async def test_the_first_page_does_not_wait_for_the_index(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    indexing = Indexing(home, kept=True)
    held = Held(indexing, monkeypatch)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(indexing.run)
        await trio.testing.wait_all_tasks_blocked()
        page = await indexing.page(ThreadQuery(limit=2), provider)
        assert (previews(page), held.pages) == ([f"t{COUNT - 1}", f"t{COUNT - 2}"], 0)
        held.go.set()
        met = previews(page)
        while page.next_cursor is not None:  # on the index as soon as it is there
            page = await indexing.page(ThreadQuery(limit=100, cursor=page.next_cursor), provider)
            met += previews(page)
        assert met == [f"t{number:03}" for number in reversed(range(COUNT))]
        nursery.cancel_scope.cancel()


async def test_the_first_page_in_a_new_home_does_not_make_an_index(home: Home) -> None:
    indexing = Indexing(home, kept=True)
    page = await indexing.page(ThreadQuery(limit=2), provider)
    assert previews(page) == [f"t{COUNT - 1}", f"t{COUNT - 2}"]
    page = await indexing.page(ThreadQuery(limit=2, sort_key="updated_at", sort_direction="asc"), provider)
    assert len(page.data) == 2
    assert not home.spindle.exists()


@pytest.mark.parametrize(
    ("query", "read", "from_files"),
    [
        (ThreadQuery(limit=FIRST_HEADS - 1), FIRST_HEADS, True),
        (ThreadQuery(limit=2, sort_direction="asc"), 3, True),
        (ThreadQuery(limit=2, model_providers=["other"]), FIRST_HEADS, False),
        (ThreadQuery(limit=FIRST_HEADS), 0, False),
        (ThreadQuery(limit=2, sort_key="updated_at"), 0, False),
        (ThreadQuery(limit=2, cwd=("/",)), 0, False),
        (ThreadQuery(limit=2, search_term="t"), 0, False),
        (ThreadQuery(limit=2, only_ids=frozenset()), 0, False),
        (ThreadQuery(limit=2, archived=True), 0, False),
    ],
)
async def test_after_a_restart_a_page_of_few_files_is_read_from_them(
    home: Home, monkeypatch: pytest.MonkeyPatch, query: ThreadQuery, read: int, from_files: bool
) -> None:
    before = ThreadIndex(home)
    before.catch_up()
    expected = before.page(query)
    before.close()
    indexing = Indexing(home, kept=True)
    held = Held(indexing, monkeypatch)
    heads: list[str] = []

    def counted(path: str) -> Head:
        heads.append(path)
        return read_head(path)

    monkeypatch.setattr(listing, "read_head", counted)
    assert await indexing.page(query, provider) == expected
    assert (len(heads), held.pages) == (read, 0 if from_files else 1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(indexing.run)
        held.go.set()
        caught_up = indexing._round
        await caught_up.wait()
        assert await indexing.page(query, provider) == expected
        assert held.pages == (1 if from_files else 2)
        nursery.cancel_scope.cancel()


async def test_catching_up_does_not_take_the_processor_from_the_answer(
    home: Home, monkeypatch: pytest.MonkeyPatch, mock_clock: trio.testing.MockClock
) -> None:
    indexing = Indexing(home, kept=True)
    begun = trio.Event()

    async def catch_up() -> None:
        begun.set()

    monkeypatch.setattr(indexing, "_catch_up", catch_up)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(indexing.run)
        await indexing.page(ThreadQuery(limit=2), provider)
        await trio.testing.wait_all_tasks_blocked()
        assert not begun.is_set()
        mock_clock.jump(PAUSE)
        await begun.wait()
        nursery.cancel_scope.cancel()


async def test_a_list_that_would_read_very_many_files_waits_for_the_index(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    indexing = Indexing(home, kept=True)
    held = Held(indexing, monkeypatch)
    found: list[str] = []

    async def search() -> None:
        found.extend(previews(await indexing.page(ThreadQuery(search_term="t000"), provider)))

    async with trio.open_nursery() as nursery:
        async with trio.open_nursery() as searching:
            nursery.start_soon(indexing.run)
            searching.start_soon(search)
            with trio.move_on_after(30):
                while not indexing._hurry.is_set():
                    await trio.lowlevel.checkpoint()
            assert (found, held.pages) == ([], 0)
            held.go.set()
        assert (found, held.pages) == (["t000"], 1)
        nursery.cancel_scope.cancel()


async def test_without_the_indexing_task_the_files_are_read(home: Home) -> None:
    indexing = Indexing(home)
    assert previews(await indexing.page(ThreadQuery(search_term="t000"), provider)) == ["t000"]
    indexing.index.close()


async def test_a_bad_cursor_is_refused(home: Home) -> None:
    indexing = Indexing(home)
    with pytest.raises(InvalidCursor):
        await indexing.page(ThreadQuery(cursor="x"), provider)
    indexing.index.close()


async def test_the_runtime_ends_in_the_middle_of_indexing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    indexing = Indexing(home)
    reached = trio.Event()
    index, calls = indexing.index, iter(range(100))
    catch_up = index.catch_up

    def interrupted(check: Callable[[], object]) -> None:
        def counting() -> None:
            if next(calls, None) is None:
                trio.from_thread.run_sync(reached.set)
                while True:
                    check()

        catch_up(counting)

    monkeypatch.setattr(index, "catch_up", interrupted)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(indexing.run)
        await indexing.page(ThreadQuery(), provider)
        await reached.wait()
        nursery.cancel_scope.cancel()
    again = ThreadIndex(home)
    again.catch_up()
    page = again.page(ThreadQuery(limit=1))
    assert page is not None
    assert previews(page) == [f"t{COUNT - 1}"]
    again.close()


def test_locating_needs_no_index(home: Home) -> None:
    indexing = Indexing(home)
    path = next(home.sessions.rglob("*.jsonl"))
    assert indexing.locate(path.stem[-36:]) == path
    assert indexing.locate_archived(path.stem[-36:]) is None
    indexing.index.close()
