"""Input that a turn has not sent when it ends: it is shown, recorded, and sent with the next request."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from spindle import TurnFailed
from spindle.rpc.model.interface import ModelError
from spindle.rpc.protocol.user_input import TextInput

LIMIT = [("model_auto_compact_token_limit", 50)]


async def shown(turn):
    """The texts of the user's messages that start and complete before the turn ends."""
    begun, ended = list[str](), list[str]()
    with trio.fail_after(5):
        try:
            async for event in turn:
                if getattr(getattr(event, "item", None), "type", None) == "userMessage":
                    [part] = event.item.content
                    (begun if event.METHOD == "item/started" else ended).append(part.text)
        except TurnFailed:
            pass
    assert begun == ended
    return ended


def kinds(lines, thread):
    """The lines of the last turn in the rollout."""
    found = [line.get("type", line["line"]) for line in lines(thread)]
    return found[len(found) - found[::-1].index("task_started") :]


@pytest.mark.parametrize("failure", [None, ModelError("no summary")])
async def test_a_turns_input_is_kept_if_its_compaction_fails(opened, scripted, lines, failure):
    model = scripted(["answer"], [trio.Event() if failure is None else failure], tokens=100)
    async with opened(model, config=LIMIT) as runtime, runtime.start_thread() as thread:
        await thread.run("one")
        async with thread.turn("two") as turn:
            if failure is None:
                await model.waiting.wait()
                await turn.interrupt()
            assert await shown(turn) == ["two"]
        end = "task_complete" if failure else "turn_aborted"
        assert [kind for kind in kinds(lines, thread) if kind in ("user_message", end)] == ["user_message", end]
        await thread.run("three")
        compaction, answered = model.conversation(2), model.conversation(3)
        assert compaction[:3] == ["one", "answer", "two"]
        assert [answered[0], answered[1], answered[-1]] == ["one", "two", "three"]
        id = thread.id
    async with opened(model) as runtime, runtime.resume_thread(id) as thread:
        users = [[item for item in turn.items if item.type == "userMessage"] for turn in thread.info.thread.turns]
        assert [[item.content[0].text for item in items] for items in users] == [["one"], ["two"], ["three"]]


@pytest.mark.parametrize("failure", [None, ModelError("gone")])
async def test_input_that_joined_a_turn_is_kept_if_the_turn_ends(opened, scripted, failure):
    go_on = trio.Event()
    model = scripted(["partly", go_on, *([] if failure is None else [failure])])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        async with thread.turn("one") as turn:
            await model.waiting.wait()
            await turn.steer("two")
            await turn.steer([TextInput("three")])
            if failure is None:
                await turn.interrupt()
            else:
                go_on.set()
            assert await shown(turn) == ["one", "two", "three"]
        await thread.run("four")
        assert model.conversation() == ["one", "two", "three", "four"]
        assert model.texts[1].index("three") < model.texts[1].index("four")


async def test_input_that_joins_a_compacting_turn_is_sent_once_and_in_order(opened, scripted):
    summary = trio.Event()
    model = scripted(["answer"], [summary, "SUMMARY"], tokens=100)
    async with opened(model, config=LIMIT) as runtime, runtime.start_thread() as thread:
        await thread.run("one")
        model.usage = None
        async with thread.turn("two") as turn:
            await model.waiting.wait()
            await turn.steer("three")
            await wait_all_tasks_blocked()
            summary.set()
            assert await shown(turn) == ["two", "three"]
        assert model.conversation(2)[-2:] == ["two", "three"]
        assert len(model.requests) == 3
