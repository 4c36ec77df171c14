"""Listing, searching, naming, archiving and deleting the threads of a home, and forking and reverting them at a turn."""

from typing import assert_type

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import spindle
from spindle.actors.embedding import listing
from spindle.rpc.protocol.threads import IdleStatus, Thread

MISSING = "00000000-0000-7000-8000-000000000001"


@pytest.fixture
def told(opened):
    """told(runtime, *texts) -> the ids of new threads, each with one turn that begins with a text."""

    async def tell(runtime, *texts, **options):
        ids = []
        for text in texts:
            async with runtime.start_thread(**options) as thread:
                await thread.run(text)
                ids.append(thread.id)
        return ids

    return tell


async def ids(threads):
    return [thread.id async for thread in threads]


async def test_all_threads_are_listed_the_latest_first(opened, told):
    async with opened() as runtime:
        assert await ids(runtime.threads()) == []
        one, two, three = await told(runtime, "one", "two", "three")
        assert await ids(runtime.threads(sort="created")) == [three, two, one]
        assert await ids(runtime.threads(sort="created", descending=False)) == [one, two, three]
        assert await ids(runtime.threads(page_size=1)) == [three, two, one]
        first = await anext(aiter(runtime.threads()))
    assert (first.preview, first.status.type, first.turns) == ("three", "notLoaded", ())


async def test_pages_follow_each_other(opened, told):
    async with opened() as runtime:
        one, two, three = await told(runtime, "one", "two", "three")
        threads = runtime.threads(page_size=2, sort="created")
        page = await threads.page()
        assert [thread.id for thread in page.threads] == [three, two]
        last = await threads.page(page.next_cursor)
        assert ([thread.id for thread in last.threads], last.next_cursor) == ([one], None)
        with pytest.raises(spindle.RpcError, match="invalid cursor"):
            await threads.page("nonsense")


async def test_the_filters_of_a_list(opened, told, tmp_path):
    (tmp_path / "folder").mkdir()
    async with opened() as runtime:
        [plain] = await told(runtime, "plain")
        [inside] = await told(runtime, "inside", cwd="folder")
        assert await ids(runtime.threads(cwd="folder")) == await ids(runtime.threads(cwd=tmp_path / "folder")) == [inside]
        assert await ids(runtime.threads(cwd="./nowhere/../")) == [plain]
        assert await ids(runtime.threads(model_provider="openai")) == [inside, plain]
        assert await ids(runtime.threads(model_provider="other")) == []
        await runtime.archive_thread(plain)
        assert await ids(runtime.threads()) == [inside]
        assert await ids(runtime.threads(archived=True)) == [plain]


async def test_a_search_finds_what_the_user_and_the_agent_have_said(opened, scripted, told):
    model = scripted(["Oslo is sunny"], ["nothing"], ["also nothing"])
    async with opened(model) as runtime:
        first, second, third = await told(runtime, "weather?", "what of OSLO?", "else")
        assert await ids(runtime.threads(search="oslo", sort="created")) == [second, first]
        assert await ids(runtime.threads(search=" oslo ", sort="created", page_size=1)) == [second, first]
        assert await ids(runtime.threads(search="nowhere")) == []
        await runtime.archive_thread(third)
        assert await ids(runtime.threads(search="else", archived=True)) == [third]


async def test_a_loaded_thread_has_its_present_status(opened, scripted):
    go = trio.Event()
    model = scripted(["one"], ["two", go])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        await thread.run("first")
        assert [each.status.type async for each in runtime.threads()] == ["idle"]
        turn = await thread.start_turn("second")
        await model.waiting.wait()
        for search in (None, "first"):
            assert [each.status.type async for each in runtime.threads(search=search)] == ["active"]
        go.set()
        await turn.wait()


@pytest.mark.parametrize("sort", ["created", "updated"])
async def test_a_list_stays_whole_while_threads_are_created(opened, told, sort):
    async with opened() as runtime:
        known = await told(runtime, *"abcde")
        found: list[str] = []
        async for thread in runtime.threads(sort=sort, page_size=2):
            if len(found) < 3:
                await told(runtime, "new")
            found.append(thread.id)
    assert len(found) == len(set(found))
    assert set(known) <= set(found)


async def test_a_thread_that_moves_ahead_of_the_place_read_is_not_missed():
    pages = [
        listing.ThreadPage([a_thread("e", 5), a_thread("d", 4)], "1"),
        listing.ThreadPage([a_thread("c", 3)], "2"),  # b is used now
        listing.ThreadPage([a_thread("a", 1)], None),
        listing.ThreadPage([a_thread("b", 6), a_thread("e", 5), a_thread("d", 4)], "3"),
    ]
    threads = Pages(pages)
    assert await ids(listing.ThreadIterator(threads, rereads=True)) == ["e", "d", "c", "a", "b"]
    assert threads.cursors == [None, "1", "2", None]  # and it stops where nothing can have changed


async def test_a_thread_that_moves_to_the_end_comes_once():
    pages = [listing.ThreadPage([a_thread("a", 1), a_thread("b", 2)], "1"), listing.ThreadPage([a_thread("a", 9)], None)]
    assert await ids(listing.ThreadIterator(Pages(pages), rereads=False)) == ["a", "b"]


async def test_a_list_of_one_page_is_read_once():
    for page in (listing.ThreadPage([], None), listing.ThreadPage([a_thread("a", 1)], None)):
        threads = Pages([page])
        assert await ids(listing.ThreadIterator(threads, rereads=True)) == [thread.id for thread in page.threads]
        assert threads.cursors == [None]


class Pages:
    """A list whose pages are given."""

    def __init__(self, pages):
        self._pages, self.cursors = pages, []

    async def page(self, cursor=None):
        self.cursors.append(cursor)
        return self._pages[len(self.cursors) - 1]


def a_thread(id, updated_at):
    known = {"id": id, "updated_at": updated_at, "status": IdleStatus()}
    return Thread(session_id=id, model_provider="", created_at=0, cwd="", cli_version="", **known)


async def test_an_iteration_that_is_left_costs_nothing(opened, told):
    async with opened() as runtime:
        await told(runtime, "one", "two")
        async for _ in runtime.threads(page_size=1):
            break
        with trio.move_on_after(0):
            await anext(aiter(runtime.threads()))
        assert len(await ids(runtime.threads())) == 2


async def test_options_of_a_list_are_checked_at_the_call(opened):
    async with opened() as runtime:
        for option, value, allowed in (
            ("sort", "name", "updated, created"),
            ("page_size", 0, "between 1 and 100"),
            ("page_size", 101, "between 1 and 100"),
            ("page_size", "5", "between 1 and 100"),
            ("search", "  ", "empty"),
            ("search", 5, "a text"),
            ("cwd", 5, "a path"),
            ("model_provider", 5, "a text"),
        ):
            with pytest.raises(spindle.InvalidOption, match=allowed) as caught:
                runtime.threads(**{option: value})
            assert caught.value.option == option


# -- by id


async def test_a_stored_and_a_loaded_thread_are_renamed(opened, told):
    async with opened() as runtime:
        [stored] = await told(runtime, "one")
        await runtime.rename_thread(stored, " stored ")
        async with runtime.start_thread() as thread:
            await thread.run("two")
            await runtime.rename_thread(thread.id.upper(), "loaded")
            assert (await thread.read()).name == "loaded"
            with pytest.raises(spindle.RpcError, match="must not be empty"):
                await runtime.rename_thread(thread.id, " ")
        assert [each.name async for each in runtime.threads(sort="created")] == ["loaded", "stored"]


async def test_an_id_in_another_form_names_the_same_thread(opened):
    async with opened() as runtime, runtime.start_thread() as thread:
        await thread.run("one")
        async with runtime.resume_thread(f"urn:uuid:{thread.id.upper()}") as again:
            assert again.id == thread.id
            assert runtime._backend.loaded() == [thread.id]
        async with runtime.fork_thread(thread.id.upper()) as fork:
            assert fork.info.thread.forked_from_id == thread.id


async def test_a_thread_is_archived_unarchived_and_deleted(opened, told, tmp_path):
    async with opened() as runtime:
        [id] = await told(runtime, "one")
        await runtime.archive_thread(id)
        with pytest.raises(spindle.ThreadNotFound):
            await runtime.archive_thread(id)
        back = await runtime.unarchive_thread(id)
        assert (back.id, back.preview, back.status.type) == (id, "one", "notLoaded")
        with pytest.raises(spindle.ThreadNotFound):
            await runtime.unarchive_thread(id)
        assert await ids(runtime.threads()) == [id]
        async with runtime.resume_thread(id) as thread:
            await runtime.delete_thread(id)
            with pytest.raises(spindle.ThreadClosed):
                await thread.run("again")
        with pytest.raises(spindle.ThreadNotFound):
            await runtime.delete_thread(id)
        assert await ids(runtime.threads()) == []
    assert not list(tmp_path.glob("home/**/*.jsonl"))


async def test_a_handle_archives_its_thread(opened):
    async with opened() as runtime:
        async with runtime.start_thread() as thread:
            with pytest.raises(spindle.RpcError):
                await thread.archive()  # nothing is stored yet
            await thread.run("one")
            await thread.archive()
            with pytest.raises(spindle.ThreadClosed):
                await thread.archive()
        assert await ids(runtime.threads(archived=True)) == [thread.id]


@pytest.mark.parametrize("id", [MISSING, "*", "../../etc/passwd", ""])
async def test_what_is_no_thread_is_not_found(opened, told, id):
    async with opened() as runtime:
        kept = await told(runtime, "one")
        for use in (
            lambda: runtime.rename_thread(id, "name"),
            lambda: runtime.archive_thread(id),
            lambda: runtime.unarchive_thread(id),
            lambda: runtime.delete_thread(id),
            lambda: runtime.resume_thread(id).__aenter__(),
            lambda: runtime.fork_thread(id).__aenter__(),
        ):
            with pytest.raises(spindle.ThreadNotFound):
                await use()
        assert await ids(runtime.threads()) == kept


# -- at a turn


async def test_a_thread_is_forked_after_a_turn(opened, scripted):
    async with opened(scripted(["one"], ["two"], ["three"])) as runtime, runtime.start_thread() as thread:
        first = await thread.run("first")
        second = await thread.run("second")
        async with thread.fork(after_turn=first.id) as fork:
            assert len(fork.info.thread.turns) == 1
            assert fork.info.thread.forked_from_id == thread.id
            await fork.run("third")
        async with thread.fork() as whole, runtime.fork_thread(thread.id, last_turn_id=first.id) as part:
            assert [len(each.info.thread.turns) for each in (whole, part)] == [2, 1]
        with pytest.raises(spindle.RpcError, match="nowhere"):
            async with thread.fork(after_turn="nowhere"):
                raise AssertionError("forked")
        with pytest.raises(TypeError, match="same option"):
            thread.fork(after_turn=first.id, last_turn_id=second.id)
        with pytest.raises(TypeError, match="modle"):
            thread.fork(modle="x")
        assert [turn.id for turn in (await thread.read(include_turns=True)).turns] == [first.id, second.id]
    with pytest.raises(spindle.ThreadClosed):
        thread.fork()


async def test_a_thread_is_not_forked_after_a_turn_that_runs(opened, scripted):
    model = scripted(["one", trio.Event()])
    async with opened(model) as runtime, runtime.start_thread() as thread, thread.turn("first") as turn:
        await model.waiting.wait()
        with pytest.raises(spindle.RpcError, match="still in progress"):
            async with thread.fork(after_turn=turn.id):
                raise AssertionError("forked")


async def test_a_thread_is_reverted_before_a_turn(opened, scripted):
    model = scripted(["one"], ["two"], ["three", trio.Event()], ["four"])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        first = await thread.run("first")
        second = await thread.run("second")
        running = await thread.start_turn("third")
        await model.waiting.wait()
        assert (await thread.revert(second.id)).id == thread.id
        with trio.fail_after(10):
            assert (await running.wait()).status == "interrupted"
        assert [turn.id for turn in (await thread.read(include_turns=True)).turns] == [first.id]
        await thread.run("fourth")
        assert model.conversation() == ["first", "one", "fourth"]
        with pytest.raises(spindle.RpcError, match="turn not found"):
            await thread.revert(second.id)
    with pytest.raises(spindle.ThreadClosed):
        await thread.revert(first.id)


async def test_nothing_is_left_when_a_relocation_is_no_longer_waited_for(opened, told):
    async with opened() as runtime:
        [id] = await told(runtime, "one")
        with trio.move_on_after(0):
            await runtime.archive_thread(id)
        await wait_all_tasks_blocked()
        with trio.fail_after(10):
            assert (await runtime.unarchive_thread(id)).id == id


async def typed(runtime: spindle.Runtime, thread: spindle.ThreadHandle) -> None:
    """Not run: what type checkers know of lists, and what they refuse."""
    threads = runtime.threads(search="x", sort="created")
    assert_type(threads, spindle.ThreadList)
    async for each in threads:
        assert_type(each, Thread)
    assert_type(await threads.page(), spindle.ThreadPage)
    runtime.threads(sort="name")  # type: ignore[arg-type]
    runtime.threads(serach="x")  # type: ignore[call-arg]
    await thread.revert()  # type: ignore[call-arg]
    thread.fork(after_turn=7)  # type: ignore[arg-type]
    thread.fork(ephemral=True)  # type: ignore[call-arg]
