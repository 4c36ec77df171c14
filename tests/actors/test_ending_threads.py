"""A request to a thread that is ending is answered as if it had come when the thread had ended."""

import pytest
import trio
from attrs import frozen
from trio.testing import wait_all_tasks_blocked

from spindle.actors.clients import connection
from spindle.actors.clients.methods import RELEASING
from spindle.actors.delivery.snapshot import Snapshot
from spindle.actors.kernel.mailbox import CAPACITY, Urgent
from spindle.actors.registry import registry as registry_module
from spindle.actors.registry.messages import LoadedOrStored
from spindle.actors.thread.actor import ThreadActor
from spindle.actors.thread.messages import Settle

from .talks import Heard, Refused

PAGES = ("thread/turns/list", "thread/items/list")


async def stored(client, text="hi"):
    """A thread with one turn, loaded; its id."""
    thread = (await client.call("thread/start"))["thread"]["id"]
    await client.call("turn/start", threadId=thread, input=[{"type": "text", "text": text}])
    await client.wait_for("turn/completed", thread)
    return thread


@frozen
class Hold:
    """Ending threads stop at `stopped` until `go` is set."""

    reached: trio.Event
    go: trio.Event


@pytest.fixture
def releasing(monkeypatch):
    """Have threads wait when they begin to release what they hold."""
    hold, stopped = Hold(trio.Event(), trio.Event()), ThreadActor.stopped

    async def slowly(self):
        hold.reached.set()
        await hold.go.wait()
        await stopped(self)

    monkeypatch.setattr(ThreadActor, "stopped", slowly)
    return hold


@pytest.mark.parametrize("method", PAGES)
async def test_a_page_requested_right_after_the_unsubscribe_comes_from_the_file(opened, talk, releasing, method):
    async with opened() as runtime:
        client = await talk(runtime)
        thread = await stored(client)
        leave = client.ask("thread/unsubscribe", threadId=thread)
        await releasing.reached.wait()
        page, read = client.ask(method, threadId=thread), client.ask("thread/read", threadId=thread, includeTurns=True)
        await wait_all_tasks_blocked()
        releasing.go.set()
        assert (await client.answer(leave))["status"] == "unsubscribed"
        assert len((await client.answer(page))["data"]) >= 1
        shown = (await client.answer(read))["thread"]
        assert (shown["status"], len(shown["turns"])) == ({"type": "notLoaded"}, 1)
        client.hang_up()


async def test_a_resume_with_a_history_or_a_path_means_the_same_a_moment_later(opened, talk, releasing):
    message = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "given"}]}
    async with opened() as runtime:
        client = await talk(runtime)
        thread = await stored(client)
        path = (await client.call("thread/read", threadId=thread))["thread"]["path"]
        client.ask("thread/unsubscribe", threadId=thread)
        await releasing.reached.wait()
        given = client.ask("thread/resume", threadId=thread, history=[message])
        named = client.ask("thread/resume", threadId=thread, path=path)
        await wait_all_tasks_blocked()
        releasing.go.set()
        assert (await client.answer(given))["thread"]["id"] != thread
        assert (await client.answer(named))["thread"]["id"] == thread
        client.hang_up()


async def test_held_requests_of_a_lost_client_cause_no_error(opened, talk, releasing, caplog):
    async with opened() as runtime:
        client, other = await talk(runtime), await talk(runtime)
        thread = await stored(client)
        client.ask("thread/unsubscribe", threadId=thread)
        await releasing.reached.wait()
        for method in (*PAGES, "thread/read", "thread/goal/get"):
            client.ask(method, threadId=thread)
        await wait_all_tasks_blocked()
        client.hang_up()
        await client.ended.wait()
        releasing.go.set()
        await other.wait_for("thread/closed", thread)
        assert await stored(other)
        other.hang_up()
    assert "failed" not in caplog.text


async def test_changes_outside_a_rollout_wait_for_the_threads_deletion(opened, talk):
    async with opened() as runtime:
        client = await talk(runtime)
        thread = await stored(client)
        deleted = client.ask("thread/delete", threadId=thread)
        goal = client.ask("thread/goal/set", threadId=thread, objective="none")
        found = client.ask("thread/searchOccurrences", threadId=thread, searchTerm="hi")
        await client.answer(deleted)
        for id in (goal, found):
            with pytest.raises(Refused, match="thread not found"):
                await client.answer(id)
        client.hang_up()


async def test_a_request_that_comes_while_a_crashed_thread_ends_gets_the_next_one(
    opened, talk, releasing, actor, crash, caplog
):
    async with opened() as runtime:
        client = await talk(runtime)
        thread = await stored(client)
        crash(actor(runtime, thread))
        await releasing.reached.wait()
        resumed, turn = (
            client.ask("thread/resume", threadId=thread),
            client.ask("turn/start", threadId=thread, input=[{"type": "text", "text": "on"}]),
        )
        await wait_all_tasks_blocked()
        releasing.go.set()
        assert len((await client.answer(resumed))["thread"]["turns"]) == 1
        assert (await client.answer(turn))["turn"]["id"]
        await client.wait_for("turn/completed", thread, times=2)
        client.hang_up()
    assert "crashed" in caplog.text


async def test_an_exception_in_a_held_request_fails_only_that(opened, talk, releasing, monkeypatch, caplog):
    """It is the answer to that request, and the requests held behind it are handled."""

    absent = registry_module.Registry._absent

    def broken(registry, message):
        if isinstance(message, LoadedOrStored):
            raise ZeroDivisionError
        return absent(registry, message)

    async with opened() as runtime:
        client = await talk(runtime)
        thread = await stored(client)
        client.ask("thread/unsubscribe", threadId=thread)
        await releasing.reached.wait()
        one, other = client.ask("thread/read", threadId=thread), client.ask("thread/resume", threadId=thread)
        await wait_all_tasks_blocked()
        monkeypatch.setattr(registry_module.Registry, "_absent", broken)
        releasing.go.set()
        with pytest.raises(Refused, match="internal error"):
            await client.answer(one)
        assert (await client.answer(other))["thread"]["id"] == thread
        client.hang_up()
    assert "the registry failed to handle LoadedOrStored" in caplog.text


async def test_a_snapshot_for_a_lost_client_is_closed(opened, talk, actor, monkeypatch):
    taken: list[Snapshot] = []
    take = Snapshot.stored

    def taking(rollout, live_turn_id=None):
        taken.append(take(rollout, live_turn_id))
        return taken[-1]

    closed: list[Snapshot] = []
    monkeypatch.setattr(Snapshot, "stored", taking)
    monkeypatch.setattr(Snapshot, "close", lambda snapshot: closed.append(snapshot))
    async with opened() as runtime:
        client, other = await talk(runtime), await talk(runtime)
        thread = await stored(client)
        await other.call("thread/resume", threadId=thread)
        gate = Gate()
        actor(runtime, thread).mailbox.post(gate)
        await gate.reached.wait()
        taken.clear()
        for method in (*PAGES, "thread/read"):
            client.ask(method, threadId=thread, includeTurns=True)
        await wait_all_tasks_blocked()
        client.hang_up()
        await client.ended.wait()
        gate.go.set()
        await other.call("thread/read", threadId=thread)
        assert len(taken) == 3
        assert all(snapshot in closed for snapshot in taken)
        other.hang_up()


# -- room


async def test_a_lost_client_is_unsubscribed_even_if_the_mailbox_is_full(opened, talk, actor, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text("thread_unload_delay_secs = 0\n")
    async with opened() as runtime:
        client, other = await talk(runtime), await talk(runtime)
        thread = await stored(client)
        gate = Gate()
        actor(runtime, thread).mailbox.post(gate)
        await gate.reached.wait()
        for _ in range(CAPACITY):
            actor(runtime, thread).mailbox.post(gate)
        for _ in range(2500):
            client.ask("thread/read", threadId=thread)
        client.hang_up()
        await client.ended.wait()
        gate.go.set()
        await other.wait_for("thread/closed", thread)
        other.hang_up()


class Gate:
    """A message that blocks its thread."""

    def __init__(self):
        self.reached, self.go = trio.Event(), trio.Event()


@pytest.fixture(autouse=True)
def gates(monkeypatch):
    """Have threads handle a Gate."""
    dispatch = ThreadActor._dispatch

    async def held(self, message):
        if isinstance(message, Gate):
            message.reached.set()
            await message.go.wait()
        else:
            await dispatch(self, message)

    monkeypatch.setattr(ThreadActor, "_dispatch", held)


async def test_one_client_does_not_fill_a_mailbox_and_its_releases_are_accepted(opened, talk, actor, monkeypatch):
    assert connection.IN_FLIGHT <= CAPACITY // 2
    monkeypatch.setattr(connection, "IN_FLIGHT", 100)
    monkeypatch.setattr(connection, "PATIENCE", 0)
    async with opened() as runtime:
        client, other = await talk(runtime), await talk(runtime)
        thread = await stored(client)
        gate = Gate()
        actor(runtime, thread).mailbox.post(gate)
        await gate.reached.wait()
        reads = [client.ask("thread/read", threadId=thread) for _ in range(300)]
        leave = client.ask("thread/unsubscribe", threadId=thread)
        resumed = other.ask("thread/resume", threadId=thread)
        await wait_all_tasks_blocked()
        answered = {entry.message["id"]: entry.message for entry in client.history if is_answer(entry, client)}
        refused = [id for id in reads if id in answered]
        assert refused == reads[100:]
        assert {answered[id]["error"]["code"] for id in refused} == {-32001}
        gate.go.set()
        assert (await client.answer(leave))["status"] == "unsubscribed"
        assert (await other.answer(resumed))["thread"]["id"] == thread
        for id in reads[:100]:
            await client.answer(id)
        assert runtime._backend.loaded() == [thread]
        for each in (client, other):
            each.hang_up()


def is_answer(entry, client):
    return isinstance(entry, Heard) and entry.client == client.number and "id" in entry.message


async def test_releases_beyond_the_limit_are_read_as_others_are_answered(opened, talk, actor, monkeypatch):
    monkeypatch.setattr(connection, "MOST_IN_FLIGHT", 200)
    async with opened() as runtime:
        client = await talk(runtime)
        thread = await stored(client)
        gate = Gate()
        actor(runtime, thread).mailbox.post(gate)
        await gate.reached.wait()
        leaves = [client.ask("thread/unsubscribe", threadId=thread) for _ in range(500)]
        await wait_all_tasks_blocked()
        assert client.connection._in_flight == 200
        gate.go.set()
        statuses = [(await client.answer(id))["status"] for id in leaves]
        assert statuses[0] == "unsubscribed"
        assert set(statuses[1:]) <= {"notSubscribed", "notLoaded"}
        client.hang_up()


async def test_a_release_is_held_even_if_the_limit_of_held_requests_is_reached(opened, talk, releasing):
    async with opened() as runtime:
        client = await talk(runtime)
        thread = await stored(client)
        client.ask("thread/unsubscribe", threadId=thread)
        await releasing.reached.wait()
        reads = [client.ask("thread/read", threadId=thread) for _ in range(300)]
        leave = client.ask("thread/unsubscribe", threadId=thread)
        await wait_all_tasks_blocked()
        releasing.go.set()
        assert (await client.answer(leave))["status"] == "notLoaded"
        overloaded = 0
        for id in reads:
            try:
                await client.answer(id)
            except Refused as refused:
                overloaded += refused.code == -32001
        assert overloaded == 300 - 256
        client.hang_up()


def test_every_method_that_releases_sends_an_urgent_message():
    from spindle.actors.clients.methods import HANDLERS
    from spindle.actors.thread import messages

    sent = {
        "thread/unsubscribe": messages.Detach,
        "turn/interrupt": messages.InterruptTurn,
        "thread/backgroundTerminals/clean": messages.EndTerminals,
        "thread/backgroundTerminals/terminate": messages.EndTerminal,
    }
    of_the_connection = {
        *("command/exec/terminate", "process/kill", "fs/unwatch", "fuzzyFileSearch/sessionStop"),
        *("thread/search/cancel", "thread/search/stream/cancel", "thread/sample/cancel"),
    }
    assert sent.keys() | of_the_connection == RELEASING
    assert set(HANDLERS) >= RELEASING
    ends = (messages.Release, messages.StopThread, messages.LeaveNow, messages.TurnEnded, Settle)
    assert all(issubclass(kind, Urgent) for kind in (*sent.values(), *ends))
