"""What a caller that watches a turn gets when it ends: the turn as the thread knows it, whatever streams were read."""

import trio
from trio.testing import wait_all_tasks_blocked

from spindle.actors.embedding import streams
from spindle.actors.kernel.mailbox import answer
from spindle.actors.registry.messages import ToThread
from spindle.actors.thread.messages import InterruptTurn, StartTurn
from spindle.actors.thread.turns.watch import TurnWatch
from spindle.actors.turn.life import TurnState
from spindle.rpc.model.interface import ModelError, Usage
from spindle.rpc.protocol.items import (
    AgentMessageItem,
    CommandExecutionItem,
    FileChangeItem,
    UserMessageItem,
)
from spindle.rpc.protocol.turns import TurnStartParams
from spindle.rpc.protocol.user_input import TextInput

FREE = [("sandbox_mode", "danger-full-access"), ("approval_policy", "never"), ("features.apply_patch_freeform", True)]


def execute(command):
    return {"type": "function_call", "call_id": "c", "name": "exec_command", "arguments": f'{{"cmd": "{command}"}}'}


def patch(name):
    text = f"*** Begin Patch\n*** Add File: {name}\n+new\n*** End Patch\n"
    return {"type": "custom_tool_call", "call_id": name, "name": "apply_patch", "input": text}


async def watched(runtime, thread, text, **callbacks):
    """Start or join a turn. Returns (its id, its watch)."""
    watch, params = TurnWatch(**callbacks), TurnStartParams(thread_id=thread.id, input=[TextInput(text)])

    def send(reply):
        runtime._backend.registry.route(ToThread(thread.id, StartTurn(reply=reply, params=params, watch=watch)))

    return (await answer(send)).id, watch


async def test_a_turn_is_finished_with_its_items_usage_and_diff(opened, scripted, tmp_path):
    first, second = Usage(10, 4, 3, 1, 13), Usage(20, 8, 5, 2, 25)
    model = scripted(["I look", execute("echo hi"), patch("a.txt"), first], [patch("b.txt"), second], ["done"])
    async with opened(model, config=FREE) as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        with trio.fail_after(20):
            id, watch = await watched(runtime, thread, "go")
            finished = await watch.wait()
    assert (finished.turn.id, finished.turn.status) == (id, "completed")
    assert finished.turn.completed_at >= finished.turn.started_at
    kinds = [UserMessageItem, AgentMessageItem, CommandExecutionItem, FileChangeItem, FileChangeItem, AgentMessageItem]
    assert [type(item) for item in finished.items] == kinds
    assert (finished.items[2].status, finished.items[2].aggregated_output) == ("completed", "hi\n")
    assert finished.usage == Usage(30, 12, 8, 3, 38)
    assert finished.diff.count("diff --git") == 2
    assert finished.provider is None


async def test_the_result_needs_no_reader_and_no_room_in_a_stream(opened, scripted, monkeypatch):
    monkeypatch.setattr(streams, "CAPACITY", 4)
    model = scripted([str(number) for number in range(200)])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        slow = thread.events()
        _, watch = await watched(runtime, thread, "go")
        with trio.fail_after(20):
            finished = await watch.wait()
        assert slow._outbox.overflowed
    assert finished.items[-1].text == "".join(map(str, range(200)))


async def test_a_caller_that_joins_late_gets_all_items(opened, scripted, start_turn, tmp_path):
    go = trio.Event()
    model = scripted([execute("echo hi"), patch("a.txt"), Usage(1, 0, 1, 0, 2)], [go, "one"], ["two"])
    async with opened(model, config=FREE) as runtime, runtime.start_thread(cwd=tmp_path) as thread:
        with trio.fail_after(20):
            turn = await start_turn(runtime, thread.id, "first")
            await model.waiting.wait()
            id, watch = await watched(runtime, thread, "second")
            go.set()
            finished = await watch.wait()
        shown = (await thread.read(include_turns=True)).turns
    assert id == turn.id
    assert [item.type for item in finished.items] == [item.type for item in shown[0].items]
    kinds = ["userMessage", "commandExecution", "fileChange", "agentMessage", "userMessage", "agentMessage"]
    assert [item.type for item in finished.items] == kinds
    assert finished.usage.total_tokens == 2
    assert "a.txt" in finished.diff


async def test_an_ephemeral_turn_that_is_joined_late_has_all_items(opened, scripted, start_turn):
    go = trio.Event()
    model = scripted(["zero", execute("true")], [go, "one"], ["two"])
    async with opened(model, config=FREE) as runtime, runtime.start_thread(ephemeral=True) as thread:
        with trio.fail_after(20):
            await start_turn(runtime, thread.id, "first")
            await model.waiting.wait()
            _, watch = await watched(runtime, thread, "second")
            go.set()
            finished = await watch.wait()
    said = [item.text for item in finished.items if item.type == "agentMessage"]
    assert said == ["zero", "one", "two"]


async def test_two_callers_of_one_turn_get_the_same(opened, scripted):
    go = trio.Event()
    model = scripted(["zero", execute("true")], [go, "one"], ["two"])
    async with opened(model, config=FREE) as runtime, runtime.start_thread() as thread:
        with trio.fail_after(20):
            _, first = await watched(runtime, thread, "first")
            await model.waiting.wait()
            _, second = await watched(runtime, thread, "second")
            go.set()
            assert await second.wait() is await first.wait()
    assert first.finished.items[1].id.startswith("msg_")  # as in the notifications: the record need not be read
    assert [item.text for item in first.finished.items if item.type == "agentMessage"] == ["zero", "one", "two"]


async def test_nothing_is_gathered_for_a_client(opened, scripted, start_turn, actor):
    model = scripted([trio.Event()])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        await start_turn(runtime, thread.id, "go")
        await model.waiting.wait()
        assert actor(runtime, thread.id).core.turn.gathered is None


async def test_a_turn_says_how_the_provider_failed(opened, scripted):
    model = scripted([ModelError("no luck", "serverOverloaded", status=503, retry_after=7.5)])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        _, watch = await watched(runtime, thread, "go")
        finished = await watch.wait()
    assert (finished.turn.status, finished.turn.error.codex_error_info) == ("failed", "serverOverloaded")
    assert (finished.provider.status, finished.provider.retry_after) == (503, 7.5)
    assert finished.usage is None


async def test_a_watch_begins_before_the_first_event_and_ends_after_the_last(opened, scripted, actor, monkeypatch):
    said = []
    async with opened(scripted(["one"])) as runtime, runtime.start_thread() as thread:
        [subscriber] = actor(runtime, thread.id).core.subscribers
        put = subscriber.outbox.put

        def noted(message):
            said.append(message.method)
            put(message)

        monkeypatch.setattr(subscriber.outbox, "put", noted)
        begun, ended = (lambda word=word: said.append(word) for word in ("begun", "ended"))
        _, watch = await watched(runtime, thread, "go", begun=begun, ended=ended)
        await watch.wait()
    assert said[:2] == ["begun", "turn/started"]
    assert said[said.index("ended") - 1] == "turn/completed"


async def test_several_tasks_wait_for_one_watch(opened, scripted):
    go, ended = trio.Event(), []
    async with opened(scripted([go, "one"])) as runtime, runtime.start_thread() as thread:
        _, watch = await watched(runtime, thread, "go")

        async def wait():
            ended.append(await watch.wait())

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(wait)
            await wait_all_tasks_blocked()
            assert not ended
            go.set()
    assert len(set(map(id, ended))) == 1
    assert len(ended) == 3


async def test_a_caller_that_withdraws_leaves_the_turn_of_a_client_alone(opened, scripted, start_turn, actor):
    go = trio.Event()
    model = scripted(["one", go], ["two"])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        turn = await start_turn(runtime, thread.id, "first")
        await model.waiting.wait()
        _, watch = await watched(runtime, thread, "second")
        assert not watch.withdraw()
        assert actor(runtime, thread.id).core.turn.state is TurnState.RUNNING

        def send(reply):
            runtime._backend.registry.route(ToThread(thread.id, InterruptTurn(reply=reply, turn_id=turn.id)))

        await answer(send)
        assert (await watch.wait()).turn.status == "interrupted"


async def test_items_that_cannot_be_read_are_those_that_were_seen(opened, scripted, start_turn, actor, caplog):
    async def snapshot(live, **options):
        raise OSError("no disk")

    go = trio.Event()
    model = scripted([execute("true")], [go, "one"], ["two"])
    async with opened(model, config=FREE) as runtime, runtime.start_thread() as thread:
        with trio.fail_after(20):
            await start_turn(runtime, thread.id, "first")
            await model.waiting.wait()
            _, watch = await watched(runtime, thread, "second")
            actor(runtime, thread.id).core.state.conversation.snapshot = snapshot
            go.set()
            finished = await watch.wait()
    assert finished.turn.status == "completed"
    assert [item.type for item in finished.items] == ["agentMessage", "userMessage", "agentMessage"]
    assert "cannot be read: no disk" in caplog.text
