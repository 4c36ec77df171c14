"""Compaction: what the model sees before, during and after, and that nothing is lost when it fails."""

import orjson
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from spindle import TurnFailed
from spindle.actors.kernel.mailbox import answer
from spindle.actors.registry.messages import ToThread
from spindle.actors.thread.messages import Compact, SteerTurn
from spindle.actors.turn.compaction import KEPT_TOKENS, PROMPT, SUMMARY_OPENING, user_messages
from spindle.actors.turn.host import BYTES_PER_TOKEN
from spindle.rpc.model.interface import ModelError, Usage
from spindle.rpc.protocol.converter import unstructure
from spindle.rpc.protocol.errors import RpcError
from spindle.rpc.protocol.user_input import TextInput
from spindle.storage.rollout.history import user_text_item

SUMMARY = f"{SUMMARY_OPENING}\nSUMMARY"


async def start_compaction(runtime, thread_id, turn_id="compaction"):
    await answer(lambda reply: runtime._backend.registry.route(ToThread(thread_id, Compact(reply=reply, turn_id=turn_id))))


async def test_the_model_summarises_the_history_and_then_sees_the_summary_instead(opened, scripted):
    model = scripted(["answer"], ["SUMMARY"])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        await thread.run("question")
        await thread.compact()
        assert model.conversation(1) == ["question", "answer", PROMPT]
        assert model.requests[1].instructions == model.requests[0].instructions
        await thread.run("next")
        assert model.conversation() == ["question", SUMMARY, "next"]
        context = [place for place, text in enumerate(model.texts[2]) if "<environment_context>" in text]
        assert context == [3]  # sent again, after the summary


async def test_instructions_of_files_are_sent_again_and_are_no_user_messages(opened, scripted, tmp_path):
    (tmp_path / "AGENTS.md").write_text("Be brief.")
    model = scripted(["answer"], ["SUMMARY"])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        await thread.run("question")
        await thread.compact()
        await thread.run("next")
        told = f"# AGENTS.md instructions for {tmp_path}\n\n<INSTRUCTIONS>\nBe brief.\n</INSTRUCTIONS>"
        assert [text for text in model.texts[0] if "Be brief." in text] == [told]
        assert [text for text in model.texts[2] if "Be brief." in text] == [told]


async def test_a_compaction_is_a_turn_with_one_item(opened, scripted, lines, events_of):
    model = scripted(["answer"], ["SUMMARY"], tokens=100)
    async with opened(model) as runtime, runtime.start_thread() as thread:
        await thread.run("question")
        stream = thread.events()
        await start_compaction(runtime, thread.id)
        events = await events_of(stream, "compaction")
        assert [event.METHOD for event in events if event.METHOD != "thread/tokenUsage/updated"] == [
            "turn/started", "item/started", "item/completed", "turn/completed",
        ]  # fmt: skip
        assert {event.item.type for event in events if hasattr(event, "item")} == {"contextCompaction"}
        # the last usage is that of the new history
        usage = [event.token_usage for event in events if event.METHOD == "thread/tokenUsage/updated"]
        assert (usage[-2].total.total_tokens, usage[-1].total.total_tokens) == (200, 200)
        assert 0 < usage[-1].last.total_tokens != 100
        kinds = [line.get("type", line["line"]) for line in lines(thread)]
        assert kinds[kinds.index("task_complete") + 1 :] == [
            "task_started", "token_count", "compacted", "token_count", "context_compacted", "task_complete",
        ]  # fmt: skip
        shown = (await thread.read(include_turns=True)).turns
        assert [item.type for turn in shown for item in turn.items] == ["userMessage", "agentMessage", "contextCompaction"]


async def test_only_a_turn_with_input_warns_of_an_unknown_model(opened, scripted, start_turn):
    async def methods(events):
        found = []
        async for event in events:
            found.append(event.METHOD)
            if event.METHOD == "turn/completed":
                return found
        raise AssertionError("the thread has ended")

    async with opened(scripted()) as runtime, runtime.start_thread(model="unknown") as thread:
        events = thread.events()
        await start_turn(runtime, thread.id, "question")
        assert "warning" in await methods(events)
        await start_compaction(runtime, thread.id)
        assert "warning" not in await methods(events)


async def test_a_compaction_is_resumed(opened, scripted):
    async with opened(scripted(["answer"], ["SUMMARY"])) as runtime, runtime.start_thread() as thread:
        await thread.run("question")
        await thread.compact()
    model = scripted()
    async with opened(model) as runtime, runtime.resume_thread(thread.id) as again:
        await again.run("next")
        assert model.conversation() == ["question", SUMMARY, "next"]
        assert any("<environment_context>" in text for text in model.texts[0])
        assert again.info.model == thread.info.model


async def test_a_second_compaction_does_not_keep_the_first_summary_as_a_users_message(opened, scripted):
    model = scripted(["answer"], ["FIRST"], ["more"], ["SUMMARY"])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        await thread.run("question")
        await thread.compact()
        await thread.run("second question")
        await thread.compact()
        await thread.run("next")
        assert model.conversation() == ["question", "second question", SUMMARY, "next"]


@pytest.mark.parametrize("failure", [ModelError("the model is gone"), None])
async def test_a_failed_or_interrupted_compaction_leaves_the_history_as_it_was(opened, scripted, lines, failure, events_of):
    model = scripted(["answer"], ["half", trio.Event() if failure is None else failure])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        await thread.run("question")
        if failure is None:
            stream = thread.events()
            await start_compaction(runtime, thread.id)
            await model.waiting.wait()
            runtime._backend.registry._actors[thread.id].core.turn.interrupt()
            events = await events_of(stream, "compaction")
            assert events[-1].turn.status == "interrupted"
        else:
            with pytest.raises(TurnFailed, match="the model is gone"):
                await thread.compact()
        assert "compacted" not in [line["line"] for line in lines(thread)]
        await thread.run("next")
        assert model.conversation() == ["question", "answer", "next"]
        assert not any("turn_aborted" in text for text in model.texts[-1])


async def test_a_compaction_waits_for_the_running_turn_and_is_not_steered(opened, scripted):
    first, second = trio.Event(), trio.Event()
    model = scripted([first, "answer"], [second, "SUMMARY"])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        async with thread.turn("question") as turn:
            await model.waiting.wait()
            await start_compaction(runtime, thread.id)
            assert len(model.requests) == 1
            first.set()
            async for _ in turn:
                pass
        model.waiting = trio.Event()
        await model.waiting.wait()

        def steer(reply):
            message = SteerTurn(reply=reply, content=[TextInput("x")], expected_turn_id="compaction")
            runtime._backend.registry.route(ToThread(thread.id, message))

        with pytest.raises(RpcError) as refused:
            await answer(steer)
        assert unstructure(refused.value.data)["codexErrorInfo"] == {"activeTurnNotSteerable": {"turnKind": "compact"}}

        async with trio.open_nursery() as nursery:
            nursery.start_soon(thread.run, "next")  # comes after the compaction, not into it
            await wait_all_tasks_blocked()
            second.set()
        assert model.conversation() == ["question", SUMMARY, "next"]


async def test_a_history_too_long_to_be_summarised_loses_its_oldest_part(opened, scripted):
    full = ModelError("too long", "contextWindowExceeded")
    model = scripted(["answer"], [full], ["SUMMARY"])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        await thread.run("question")
        await thread.compact()
        assert len(model.requests[2].input) == len(model.requests[1].input) - 1
        assert model.texts[2][-1] == PROMPT


async def test_a_context_that_fills_up_in_the_middle_of_a_turn_is_compacted(opened, scripted):
    call = {"type": "function_call", "call_id": "c", "name": "nothing", "arguments": "{}"}
    model = scripted([call], ["SUMMARY"], ["fin"], tokens=1000)
    limit = [("model_auto_compact_token_limit", 900)]
    async with opened(model, config=limit) as runtime, runtime.start_thread() as thread:
        assert (await thread.run("question")).text == "fin"
        assert model.conversation(2) == ["question", SUMMARY]
        environment = next(place for place, text in enumerate(model.texts[2]) if "<environment_context>" in text)
        assert environment < model.texts[2].index("question")
    again = scripted()
    async with opened(again) as runtime, runtime.resume_thread(thread.id) as resumed:
        await resumed.run("next")
        assert again.conversation() == ["question", SUMMARY, "fin", "next"]
        assert sum("<environment_context>" in text for text in again.texts[0]) == 1


async def test_a_turns_input_comes_after_the_compaction_before_it(opened, scripted):
    model = scripted(["answer", Usage(1000, 0, 0, 0, 1000)], ["SUMMARY"], ["fin"])
    limit = [("model_auto_compact_token_limit", 900)]
    async with opened(model, config=limit) as runtime, runtime.start_thread() as thread:
        await thread.run("question")
        assert (await thread.run("next")).text == "fin"
        assert model.conversation(1) == ["question", "answer", PROMPT]
        assert model.conversation(2) == ["question", SUMMARY, "next"]
        told = [place for place, text in enumerate(model.texts[2]) if "<environment_context>" in text]
        assert told == [3]  # after the summary
    again = scripted()
    async with opened(again) as runtime, runtime.resume_thread(thread.id) as resumed:
        await resumed.run("more")
        assert again.conversation() == ["question", SUMMARY, "next", "fin", "more"]
        assert sum("<environment_context>" in text for text in again.texts[0]) == 1


async def test_a_turn_that_did_not_fit_is_followed_by_a_compaction(opened, scripted, lines):
    full = ModelError("too long", "contextWindowExceeded")
    model = scripted(["answer"], [full], ["SUMMARY"], ["fits"], tokens=100)
    async with opened(model) as runtime, runtime.start_thread() as thread:
        await thread.run("question")
        with pytest.raises(TurnFailed, match="too long"):
            await thread.run("much more")
        used = [line["info"] for line in lines(thread) if line.get("type") == "token_count"][-1]
        assert used["last_token_usage"]["total_tokens"] == used["model_context_window"]
        assert used["total_token_usage"]["total_tokens"] == 100
    again = scripted(["SUMMARY"], ["fits"])
    async with opened(again) as runtime, runtime.resume_thread(thread.id) as resumed:
        assert (await resumed.run("go on")).text == "fits"
        assert again.conversation(0) == ["question", "answer", "much more", PROMPT]
        assert again.conversation(1) == ["question", "much more", SUMMARY, "go on"]


async def test_a_paginated_rollout_gets_the_compaction_as_an_item(opened, scripted, lines):
    model = scripted(["answer"], ["SUMMARY"])
    async with opened(model) as runtime, runtime.start_thread(history_mode="paginated") as thread:
        await thread.run("question")
        await thread.compact()
        assert [line["item"]["type"] for line in lines(thread) if line.get("type") == "item_completed"] == [
            "UserMessage", "AgentMessage", "ContextCompaction",
        ]  # fmt: skip
        await thread.run("next")
        assert model.conversation() == ["question", SUMMARY, "next"]


def test_user_messages_are_kept_newest_first_up_to_a_limit():
    room = KEPT_TOKENS * BYTES_PER_TOKEN
    texts = ["dropped", "o" * room, "n" * (room // 2)]
    kept = user_messages([user_text_item(text).json for text in texts], None)
    assert len(kept) == 2
    assert kept[1] == user_text_item(texts[2]).json
    assert b"o" * (room // 2) in kept[0]
    assert b"o" * (room // 2 + 1) not in kept[0]


def test_only_the_text_of_user_messages_is_kept():
    image = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
    said = b'{"type":"message","role":"user","content":[{"type":"input_text","text":"look"},%s]}'
    context = user_text_item("<environment_context>here</environment_context>").json
    assert user_messages([context, said % orjson.dumps(image)], None) == [user_text_item("look").json]
