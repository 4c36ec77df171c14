"""How uses of the interface end: a run that is not completed, a handle after its block, a runtime that ends."""

import os

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import spindle
from spindle import open_runtime
from spindle.actors.runtime import CLOSING
from spindle.rpc.model.interface import ModelError


async def meanwhile(model, thread, act):
    """Run a turn, and `act` once the model is waiting."""
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def _():
            await model.waiting.wait()
            await act()

        return await thread.run("go")


async def test_a_run_that_is_interrupted_raises(opened, scripted, actor):
    model = scripted(["one", trio.Event()])
    async with opened(model) as runtime, runtime.start_thread() as thread:

        async def act():
            actor(runtime, thread.id).core.turn.interrupt()

        with trio.fail_after(10), pytest.RaisesGroup(spindle.TurnInterrupted) as caught:
            await meanwhile(model, thread, act)
        [error] = caught.value.exceptions
        assert isinstance(error, spindle.TurnInterrupted)
        assert error.result.status == "interrupted"


async def test_a_run_that_fails_raises(opened, scripted):
    model = scripted([ModelError("no luck", "other", retryable=False)])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        with pytest.raises(spindle.TurnFailed, match="no luck"):
            await thread.run("go")


async def fail():
    raise ValueError("the thread cannot go on without this task")


async def test_a_run_whose_thread_is_archived_or_crashes_raises(opened, scripted, actor):
    model = scripted(["one", trio.Event()], ["one", trio.Event()])
    async with opened(model) as runtime:
        async with runtime.start_thread() as thread:

            async def archive():
                await runtime.archive_thread(thread.id)

            with trio.fail_after(10), pytest.RaisesGroup(spindle.TurnInterrupted):
                await meanwhile(model, thread, archive)
        model.waiting = trio.Event()
        async with runtime.start_thread() as thread:

            async def crash():
                actor(runtime, thread.id).nursery.start_soon(fail)

            with trio.fail_after(10), pytest.RaisesGroup(spindle.TurnInterrupted):
                await meanwhile(model, thread, crash)


async def test_a_turn_whose_thread_ends_without_an_event_raises(opened, scripted, actor):
    model = scripted(["one", trio.Event()])
    async with opened(model) as runtime, runtime.start_thread() as thread, thread.turn("go") as turn:
        await model.waiting.wait()
        actor(runtime, thread.id).core.subscribers.popitem()[0].outbox.close()
        with trio.fail_after(10):
            events = aiter(turn)
            while (await anext(events)).METHOD != "item/agentMessage/delta":
                pass
            with pytest.raises(spindle.ThreadClosed):
                await anext(events)


METHODS = {
    "read": lambda thread: thread.read(),
    "rename": lambda thread: thread.rename(""),
    "roll_back": lambda thread: thread.roll_back(0),
    "inject": lambda thread: thread.inject([{"no": "item"}]),
    "compact": lambda thread: thread.compact(),
    "turn": lambda thread: thread.turn("go").__aenter__(),
    "run": lambda thread: thread.run("go"),
}


@pytest.mark.parametrize("name", METHODS)
async def test_a_handle_raises_thread_closed_after_its_block(opened, name):
    async with opened() as runtime:
        async with runtime.start_thread() as thread:
            async with thread.turn("go") as turn:
                pass
            async with runtime.resume_thread(thread.id) as second:
                pass
            for handle in (second, thread):
                with trio.fail_after(10):
                    if handle is second:
                        with pytest.raises(spindle.ThreadClosed):
                            await METHODS[name](handle)
                        with pytest.raises(spindle.ThreadClosed):
                            handle.events()
        for use in (turn.interrupt, lambda: turn.steer("more"), lambda: METHODS[name](thread)):
            with trio.fail_after(10), pytest.raises(spindle.ThreadClosed):
                await use()


async def test_a_handle_raises_thread_closed_when_its_thread_is_archived(opened):
    async with opened() as runtime, runtime.start_thread() as thread:
        await thread.run("go")
        await runtime.archive_thread(thread.id)
        with pytest.raises(spindle.ThreadClosed):
            await thread.run("again")


async def test_a_missing_thread_is_not_found(opened):
    missing = "00000000-0000-7000-8000-000000000001"
    async with opened() as runtime:
        for use in (runtime.resume_thread(missing).__aenter__, runtime.fork_thread(missing).__aenter__):
            with pytest.raises(spindle.ThreadNotFound, match="no rollout found"):
                await use()
        with pytest.raises(spindle.ThreadNotFound):
            await runtime.archive_thread(missing)


def test_all_errors_of_the_interface_have_one_base_class():
    for name in (
        *("RpcError", "ThreadNotFound", "ThreadClosed", "TurnFailed", "TurnInterrupted"),
        *("SubscriberLagged", "ApprovalRequired"),
    ):
        assert issubclass(getattr(spindle, name), spindle.Error)


async def test_an_exception_of_the_application_leaves_the_blocks_unchanged(opened):
    error = ZeroDivisionError()

    async def use():
        async with opened() as runtime, runtime.start_thread() as thread:
            await thread.run("go")
            raise error

    with pytest.raises(ZeroDivisionError) as caught:
        await use()
    assert caught.value is error
    assert error.__cause__ is None
    assert error.__context__ is None


async def test_several_exceptions_leave_the_blocks_as_the_group_they_were(opened):
    group = ExceptionGroup("two", [ZeroDivisionError(), KeyError()])
    with pytest.raises(ExceptionGroup) as caught:
        async with opened():
            raise group
    assert caught.value.message == "two"
    assert caught.value.exceptions == group.exceptions


async def test_a_cancelled_runtime_ends_within_its_limit(opened, scripted, mock_clock, caplog):
    async def stuck():
        closing.set()
        await trio.sleep_forever()

    model, closing, left = scripted(), trio.Event(), trio.Event()
    model.aclose = stuck

    async def use():
        async with opened(model) as runtime, runtime.start_thread() as thread:
            await thread.run("go")
            used.set()
            await trio.sleep_forever()

    async def cancelled():
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as inner:
                inner.start_soon(use)
                await used.wait()
                scope.cancel()
        left.set()

    used = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cancelled)
        await closing.wait()
        await wait_all_tasks_blocked()
        assert not left.is_set()
        mock_clock.jump(CLOSING)
        await left.wait()
    assert "has not ended" in caplog.text


@pytest.mark.parametrize("named", ["home", "CODEX_HOME"])
async def test_a_relative_path_counts_from_the_directory_at_the_start(tmp_path, scripted, monkeypatch, named):
    (tmp_path / "here" / "home").mkdir(parents=True)
    (tmp_path / "there").mkdir()
    (tmp_path / "here" / "script.json").write_text('["from the script"]')
    (tmp_path / "here" / "home" / "config.toml").write_text('model_provider = "offline"\noffline_script = "script.json"\n')
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("CODEX_HOME", "home")
    async with open_runtime(cwd=".", home="home" if named == "home" else None) as runtime:
        os.chdir(tmp_path / "there")
        async with runtime.start_thread(cwd=".") as thread:
            assert thread.info.cwd == str(tmp_path / "here")
            assert (await thread.run("go")).text == "from the script"
            assert str(thread.info.thread.path).startswith(str(tmp_path / "here" / "home" / "sessions"))
    assert list((tmp_path / "there").iterdir()) == []
