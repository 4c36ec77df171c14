"""A failing task ends alone: not the runtime and not other threads; and its waiting callers are answered."""

import threading
from contextlib import suppress
from typing import Any

import pytest
import trio
from tests.actors.talks import Refused
from trio.testing import wait_all_tasks_blocked

from spindle.actors.delivery.outbox import Overflow
from spindle.actors.delivery.subscribers import Subscriber
from spindle.actors.kernel.mailbox import ActorExited, answer
from spindle.actors.registry import registry as registry_module
from spindle.actors.registry.messages import LoadedOrStored, Occupying, ToThread
from spindle.actors.registry.relocation import Archive
from spindle.actors.services import bookkeeping
from spindle.actors.services.model_lists import ModelLists
from spindle.actors.services.skills import SkillCatalog
from spindle.actors.settings.client import ClientName
from spindle.actors.tasks.boundary import start_apart
from spindle.actors.thread import actor as thread_module
from spindle.actors.thread.actor import ThreadActor
from spindle.actors.thread.loading import loading as opening
from spindle.actors.thread.loading.openings import NewThread
from spindle.actors.thread.messages import Attach, SetName
from spindle.actors.thread.turns import task as turn_task
from spindle.actors.tools.hooks.notify import Notices
from spindle.rpc.model.interface import Usage
from spindle.rpc.protocol.errors import RpcError
from spindle.rpc.protocol.goals import ThreadGoalSetParams
from spindle.rpc.protocol.threads import ThreadStartParams
from spindle.storage.index import ThreadIndex
from spindle.storage.rollout.flusher import Flusher
from spindle.storage.rollout.journal import Journal, JournalError
from spindle.storage.state import StateUnavailable
from spindle.storage.state.goals import get_goal, set_goal
from spindle.storage.state.store import StateStore


class Fault(Exception):
    """An exception that no code expects."""


@pytest.fixture
def once(monkeypatch):
    """once(owner, name) -> the method raises a Fault the next time it is called, and only then."""

    def break_(owner, name):
        whole, lock, left = getattr(owner, name), threading.Lock(), [Fault()]

        def broken(*args, **kwargs):
            with lock:
                fault = left.pop() if left else None
            if fault is not None:
                raise fault
            return whole(*args, **kwargs)

        static = isinstance(owner.__dict__[name], staticmethod)
        monkeypatch.setattr(owner, name, staticmethod(broken) if static else broken)
        return left

    return break_


# -- the mechanism


async def test_a_failing_task_is_logged_by_name_and_the_others_go_on(caplog):
    done = []

    async def fail():
        raise Fault

    async def fail_in_a_group():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)
            await trio.sleep_forever()

    async def other():
        await wait_all_tasks_blocked()
        done.append("other")

    async with trio.open_nursery() as nursery:
        start_apart(nursery, "the first", fail)
        start_apart(nursery, "the second", fail_in_a_group)
        start_apart(nursery, "the third", other)
    assert done == ["other"]
    assert "the first failed" in caplog.text
    assert "the second failed" in caplog.text


async def test_cancellation_passes_through():
    async with trio.open_nursery() as nursery:
        start_apart(nursery, "a task", trio.sleep_forever)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert nursery.cancel_scope.cancelled_caught


async def test_an_interrupt_from_the_keyboard_passes_through():
    async def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(BaseExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            start_apart(nursery, "a task", interrupted)
    assert caught.value.split(KeyboardInterrupt)[1] is None


# -- the ends of turns


async def test_a_number_of_tokens_that_cannot_be_kept_ends_a_goal_and_no_thread(opened, scripted):
    model = scripted(["ok", Usage(2**63, 0, 0, 0, 2**63)])
    async with opened(model) as runtime, runtime.start_thread() as other, runtime.start_thread() as thread:
        state = runtime._backend.services.state
        params = ThreadGoalSetParams(thread.id, objective="o", token_budget=1)
        await state.change(lambda db: set_goal(db, params, thread.id, 1))
        await thread.run("hi")
        assert (await other.run("hi")).text == "ok"
        assert (await thread.run("again")).text == "ok"
        found = await state.read(lambda db: get_goal(db, thread.id), None)
    assert found.goal.tokens_used == 2**63 - 1
    assert found.goal.status == "budgetLimited"


async def test_a_turn_that_the_state_store_cannot_take_is_only_logged(opened, monkeypatch, caplog):
    def overflow(*args):
        raise OverflowError("Python int too large to convert to SQLite INTEGER")

    monkeypatch.setattr(bookkeeping, "spend", overflow)
    async with opened() as runtime, runtime.start_thread() as other, runtime.start_thread() as thread:
        assert (await thread.run("hi")).text == "ok"
        assert (await other.run("hi")).text == "ok"
    assert f"keeping the end of a turn of thread {thread.id} failed" in caplog.text


@pytest.fixture
def late(monkeypatch):
    """The ends of turns are not written to the state store before this is set; turns do not wait for that."""
    go, whole = trio.Event(), bookkeeping.keep

    async def keep(services, turn):
        await go.wait()
        await whole(services, turn)

    monkeypatch.setattr(bookkeeping, "keep", keep)
    monkeypatch.setattr(turn_task, "KEEPING", 0)
    return go


async def test_no_notification_about_a_thread_follows_its_closing(opened, talk, late):
    async with opened() as runtime:
        client = await talk(runtime)
        thread = (await client.call("thread/start"))["thread"]["id"]
        await client.call("thread/goal/set", threadId=thread, objective="o")
        await client.call("turn/start", threadId=thread, input=[{"type": "text", "text": "hi"}])
        await client.wait_for("turn/completed", thread)
        archived = client.ask("thread/archive", threadId=thread)
        with trio.move_on_after(0.2):
            await client.wait_for("thread/closed", thread)
        assert "thread/closed" not in client.notified(thread)
        late.set()
        await client.answer(archived)
        await client.wait_for("thread/archived", thread)
        ends = ["thread/readState/changed", "thread/goal/updated", "thread/status/changed", "thread/closed"]
        assert client.notified(thread)[-5:] == [*ends, "thread/archived"]
        client.hang_up()


async def test_a_late_write_to_the_state_store_is_not_notified(opened, talk, late, monkeypatch, caplog):
    monkeypatch.setattr("spindle.actors.thread.recording.KEEP_TIMEOUT", 0)
    async with opened() as runtime:
        client = await talk(runtime)
        thread = (await client.call("thread/start"))["thread"]["id"]
        await client.call("thread/goal/set", threadId=thread, objective="o")
        await client.call("turn/start", threadId=thread, input=[{"type": "text", "text": "hi"}])
        await client.wait_for("turn/completed", thread)
        await client.call("thread/unsubscribe", threadId=thread)
        await client.wait_for("thread/closed", thread)
        late.set()
        with trio.move_on_after(0.1):
            await client.wait_for("thread/readState/changed", thread)
        await runtime._backend.services.state.read(lambda _: None, None)
        await wait_all_tasks_blocked()
        assert client.notified(thread)[-1] == "thread/closed"
        client.hang_up()
    assert "ends before the end of a turn is stored" in caplog.text


# -- services that raise once


async def test_a_failing_flusher_fails_the_waiting_syncs_and_goes_on(nursery, monkeypatch):
    class Synced:
        times = 0

        def sync(self):
            self.times += 1

    flusher, journal = Flusher(), Synced()
    await nursery.start(flusher.run)
    run_sync, refusals = trio.to_thread.run_sync, [RuntimeError("can't start new thread")]

    async def no_thread(*args, **kwargs):
        if refusals:
            raise refusals.pop()
        return await run_sync(*args, **kwargs)

    monkeypatch.setattr(trio.to_thread, "run_sync", no_thread)
    with pytest.raises(JournalError, match="can't start new thread"):
        await flusher.sync(journal)
    await flusher.sync(journal)
    assert journal.times == 1
    nursery.cancel_scope.cancel()


async def test_a_failing_sync_fails_only_its_turn(opened, once):
    async with opened() as runtime, runtime.start_thread() as other, runtime.start_thread() as thread:
        once(Journal, "sync")
        async with thread.turn("hi") as turn:
            with pytest.raises(Exception, match="could not be saved"):
                async for _ in turn:
                    pass
        assert (await other.run("hi")).text == "ok"
        assert (await thread.run("again")).text == "ok"


async def test_changes_of_one_commit_all_fail_when_it_fails(tmp_path, once, monkeypatch):
    """And none of them is answered as if it were written."""
    from spindle.storage.home import Home

    store = StateStore(Home(tmp_path))
    outcomes: list[Any] = []
    await store.change(lambda db: None)

    async def change():
        try:
            outcomes.append(await store.change(lambda db: "made"))
        except Exception as error:
            outcomes.append(type(error))

    once(StateStore, "_run")
    async with store._turn, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(change)
        await wait_all_tasks_blocked()
        store._turn.release()
        try:
            while len(outcomes) < 3:
                await wait_all_tasks_blocked()
                await trio.lowlevel.checkpoint()
        finally:
            await store._turn.acquire()
    assert outcomes == [StateUnavailable] * 3
    assert await store.change(lambda db: "made") == "made"
    await store.aclose()


SERVICES: dict[str, tuple[Any, str, str | None, dict[str, Any]]] = {
    "index": (ThreadIndex, "page", "thread/list", {}),
    "index that catches up": (ThreadIndex, "catch_up", None, {}),
    "state store": (StateStore, "_change", "thread/goal/set", {"objective": "o"}),
    "state store that is read": (StateStore, "_read", "thread/goal/get", {}),
    "skills": (SkillCatalog, "mentioned", "turn/start", {"input": [{"type": "text", "text": "$skill"}]}),
    "skills that are listed": (SkillCatalog, "find", "skills/list", {}),
    "model lists": (ModelLists, "entries", "model/list", {}),
    "notices": (Notices, "run", None, {}),
}


@pytest.mark.parametrize("service", list(SERVICES))
async def test_a_service_that_raises_once_fails_one_request_at_most(opened, talk, once, service, tmp_path, caplog):
    owner, name, method, params = SERVICES[service]
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text('notify = ["true"]\n')
    async with opened() as runtime:
        client = await talk(runtime)
        thread = (await client.call("thread/start"))["thread"]["id"]
        caught_up = runtime._backend.indexing._round
        if service == "index":  # before it has caught up once, lists are read from the files
            await client.call("thread/list")
            await caught_up.wait()
        left = once(owner, name)
        if method is not None:
            params = {"threadId": thread, **params} if method.startswith(("thread/goal", "turn")) else params
            with suppress(Refused):
                await client.call(method, **params)
            await client.call(method, **params)
        for number in (1, 2):
            await client.call("thread/list")
            await client.call("turn/start", threadId=thread, input=[{"type": "text", "text": "hi"}])
            await client.wait_for("turn/completed", thread, times=number)
        await caught_up.wait()
        await wait_all_tasks_blocked()
        assert left == [] or service == "model lists"
        assert runtime._backend.loaded() == [thread]
        assert "thread/closed" not in client.notified(thread)
        client.hang_up()


# -- the end of the runtime


class Slow:
    """Work that lasts until `go`."""

    def __init__(self):
        self.reached, self.go = trio.Event(), trio.Event()

    async def wait(self, *args):
        self.reached.set()
        await self.go.wait()

    async def let_go(self):
        """Set `go` when all tasks are blocked."""
        await wait_all_tasks_blocked()
        self.go.set()


@pytest.fixture
def slow():
    return Slow()


@pytest.fixture(params=["ends by itself", "hangs"])
def hangs(request, monkeypatch):
    """Whether the work ends only by cancellation, which does not wait for it."""
    if request.param == "hangs":
        monkeypatch.setattr(registry_module, "PATIENCE", 0)
    return request.param == "hangs"




async def subscribed(block, outcomes):
    """Stay in the block until it is cancelled. An exception is an outcome."""
    try:
        async with block as thread:
            outcomes.append(thread.id)
            await trio.sleep_forever()
    except (RpcError, ActorExited) as error:
        outcomes.append(type(error))


async def routed(runtime, message, outcomes):
    """Send a request. The error that refuses it is an outcome."""
    try:
        await answer(lambda reply: runtime._backend.registry.route(message(reply)))
    except (RpcError, ActorExited) as error:
        outcomes.append(type(error))


# Who asks is outside of the runtime, and leaving its block is the end: what hangs would be seen by the test's time limit.


async def test_the_runtime_ends_while_a_thread_starts(opened, monkeypatch, slow, hangs):
    whole = opening.open_thread

    async def slowly(*args):
        await slow.wait()
        return await whole(*args)

    monkeypatch.setattr(thread_module, "open_thread", slowly)
    outcomes: list[Any] = []
    async with trio.open_nursery() as outside:
        async with opened() as runtime:
            outside.start_soon(subscribed, runtime.start_thread(), outcomes)
            await slow.reached.wait()
            if not hangs:
                outside.start_soon(slow.let_go)
        await wait_all_tasks_blocked()
        assert len(outcomes) == 1
        assert (outcomes == [ActorExited]) == hangs
        outside.cancel_scope.cancel()


async def test_the_runtime_ends_while_work_occupies_an_id(opened, slow, hangs):
    outcomes: list[Any] = []

    def work(reply):
        return LoadedOrStored("absent", SetName(reply=reply, name="x"), Occupying(slow.wait))

    async with trio.open_nursery() as outside, opened() as runtime:
        outside.start_soon(routed, runtime, work, outcomes)
        await slow.reached.wait()
        if not hangs:
            outside.start_soon(slow.let_go)
    assert outcomes == [ActorExited]


@pytest.mark.parametrize("crashed", [False, True])
async def test_the_runtime_ends_while_a_thread_ends(opened, monkeypatch, actor, slow, crash, crashed):
    stopped = ThreadActor.stopped

    async def slowly(self):
        await slow.wait()
        await stopped(self)

    monkeypatch.setattr(ThreadActor, "stopped", slowly)
    held: list[Any] = []
    async with trio.open_nursery() as outside, opened() as runtime, runtime.start_thread() as thread:
        if crashed:
            crash(actor(runtime, thread.id))
        else:
            runtime._backend.registry.end(thread.id)
        await slow.reached.wait()
        outside.start_soon(subscribed, runtime.resume_thread(thread.id), held)
        with trio.CancelScope() as end:
            outside.start_soon(shut_down, runtime, end)
            outside.start_soon(slow.let_go)
            await trio.sleep_forever()
    assert held == [RpcError]  # the server is shutting down


async def shut_down(runtime, end):
    """As the runtime's end does it."""
    await runtime._backend.close()
    end.cancel()


async def test_the_runtime_ends_while_a_thread_is_stuck_in_a_message(opened, monkeypatch, slow):
    monkeypatch.setattr(registry_module, "PATIENCE", 0)
    outcomes: list[Any] = []

    async def stuck(self, message):
        await slow.wait()

    def rename(id):
        return lambda reply: ToThread(id, SetName(reply=reply, name="x"))

    async with trio.open_nursery() as outside, opened() as runtime:
        client = Subscriber(Overflow.CLOSE)
        new = NewThread(params=ThreadStartParams(), client=ClientName("t", "t"))

        def start(reply):
            runtime._backend.registry.start(new, Attach(reply=reply, subscriber=client))

        id = (await answer(start)).thread.id
        monkeypatch.setattr(ThreadActor, "_dispatch", stuck)
        outside.start_soon(routed, runtime, rename(id), outcomes)
        await slow.reached.wait()
    assert outcomes == [ActorExited]


async def test_the_runtime_ends_while_an_archiving_is_checked(opened, monkeypatch, slow, hangs):
    async def check(self, services):
        await slow.wait()

    monkeypatch.setattr(Archive, "check", check)
    outcomes: list[Any] = []
    async with trio.open_nursery() as outside, opened() as runtime, runtime.start_thread() as thread:
        await thread.run("hi")
        outside.start_soon(routed, runtime, lambda reply: Archive(thread.id, reply), outcomes)
        await slow.reached.wait()
        with trio.CancelScope() as end:
            outside.start_soon(shut_down, runtime, end)
            if not hangs:
                outside.start_soon(slow.let_go)
            await trio.sleep_forever()
    assert outcomes == [RpcError]
