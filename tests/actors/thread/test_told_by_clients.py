"""What a client tells the model beside the user's input: additional context, and outputs that answer no call."""

import orjson
import pytest

from spindle.actors.kernel.mailbox import answer
from spindle.actors.registry.messages import ToThread
from spindle.actors.thread.messages import StartTurn
from spindle.rpc.model.interface import Completed, Created, ItemDone, ModelEvent, ResponseMetadata
from spindle.rpc.model.playing import Raw
from spindle.rpc.protocol.converter import structure
from spindle.rpc.protocol.items import FunctionCallOutputItem
from spindle.rpc.protocol.turns import (
    ModelReroutedNotification,
    ModelVerificationNotification,
    TurnModerationMetadataNotification,
    TurnStartParams,
    WarningNotification,
)


@pytest.fixture
def say(scripted):
    """say(runtime, thread, **members of turn/start) -> the input of the turn's last request, without context of ours."""

    async def start(runtime, thread, model, **members):
        params = structure({"threadId": thread.id, "input": [{"type": "text", "text": "hi"}], **members}, TurnStartParams)
        events = thread.events()
        await answer(
            lambda reply: runtime._backend.registry.route(ToThread(thread.id, StartTurn(reply=reply, params=params)))
        )
        seen = []
        async for event in events:
            if event.METHOD == "item/completed":
                seen.append(event.item)
            if event.METHOD == "turn/completed":
                break
        return seen, [orjson.loads(item) for item in model.requests[-1].input]

    return start


def told(items):
    """Outputs, and developer messages with the mark of a key."""
    found = []
    for item in items:
        if item["type"] == "function_call_output":
            found.append((item.get("namespace"), item["name"], item["output"]))
        elif item["role"] == "developer" and item["content"][0]["text"].startswith("<k"):
            found.append(item["content"][0]["text"])
    return found


async def test_context_is_told_when_it_is_new(opened, scripted, say):
    model = scripted()
    entries = {
        "k1": {"value": "one", "kind": "untrusted"},
        "k2": {"value": "two", "kind": "application"},
        "k 3": {"value": "three", "kind": "untrusted"},
        "k4": {"value": "four", "kind": "untrusted", "name": "label"},
    }
    first = [("agent", "k_3", "three"), ("agent", "k1", "one"), "<k2>two</k2>", ("agent", "label", "four")]
    async with opened(model) as runtime, runtime.start_thread() as thread:
        _, items = await say(runtime, thread, model, additionalContext=entries)
        assert told(items) == first
        assert items[-1]["role"] == "user"
        changed = entries | {"k2": {"value": "2", "kind": "application"}}
        _, items = await say(runtime, thread, model, additionalContext=changed)
        assert told(items) == [*first, "<k2>2</k2>"]
        await say(runtime, thread, model)
        _, items = await say(runtime, thread, model, additionalContext={"k1": entries["k1"]})
        assert told(items) == [*first, "<k2>2</k2>", ("agent", "k1", "one")]
    async with opened(model) as runtime, runtime.resume_thread(thread.id) as thread:
        _, items = await say(runtime, thread, model)
        assert len(told(items)) == len(first) + 2


async def test_a_long_entry_is_cut(opened, scripted, say):
    model = scripted()
    async with opened(model) as runtime, runtime.start_thread() as thread:
        _, items = await say(
            runtime, thread, model, additionalContext={"k": {"value": "x" * 9000, "kind": "untrusted"}}
        )
        assert told(items)[0][2] == "x" * 2000 + "…1250 tokens truncated…" + "x" * 2000


async def test_an_output_that_answers_no_call(opened, scripted, say, stored_turns):
    model = scripted()
    content = [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "data:,", "detail": "low"}]
    async with opened(model) as runtime, runtime.start_thread() as thread:
        (item, _), items = await say(
            runtime, thread, model, input=[], toolOutput={"name": "f", "namespace": "n", "output": "out"}
        )
        assert isinstance(item, FunctionCallOutputItem)
        assert (item.name, item.namespace, item.output) == ("f", "n", "out")
        assert told(items) == [("n", "f", "out")]
        await say(runtime, thread, model, input=[], toolOutput={"name": "g", "output": content})
    async with opened(model) as runtime:
        turns = await stored_turns(runtime, thread.id)
        assert turns[0].items[0] == item
        assert turns[1].items[0].output[1].detail == "low"
        async with runtime.resume_thread(thread.id) as again:
            _, items = await say(runtime, again, model)
            assert told(items) == [("n", "f", "out"), (None, "g", content)]


@pytest.mark.parametrize(
    ("members", "refusal"),
    [
        ({"toolOutput": {"name": "f", "output": ""}}, "`toolOutput` cannot be combined with nonempty `input`"),
        ({"input": [], "toolOutput": {"name": "", "output": ""}}, "`toolOutput.name` must not be empty"),
        ({"input": []}, "input must not be empty"),
        ({"rootTurnId": "x" * 257}, "rootTurnId must have at most 256 characters"),
        ({"responsesapiClientMetadata": {"a": "x" * 8192}}, "responsesapiClientMetadata must have at most 8192 characters"),
        (
            {"additionalContext": {"k": {"value": "", "kind": "untrusted", "name": "No"}}},
            "additional context name must match [a-z][a-z0-9_]{0,63}",
        ),
        (
            {"additionalContext": {str(n): {"value": "", "kind": "untrusted"} for n in range(257)}},
            "additionalContext must have at most 256 entries",
        ),
        (
            {"input": [{"type": "audio"}]},
            "Invalid request: data did not match any variant of untagged enum AudioReference",
        ),
        (
            {"input": [{"type": "image", "detail": "low"}]},
            "Invalid request: data did not match any variant of untagged enum ImageReference",
        ),
    ],
)
async def test_refusals(opened, talk, members, refusal):
    async with opened() as runtime:
        client = await talk(runtime)
        thread = await client.call("thread/start")
        given = {"input": [{"type": "text", "text": "hi"}], **members}
        id = client.ask("turn/start", threadId=thread["thread"]["id"], **given)
        answer = await client.settled(id)
        assert answer["error"] == {"code": -32600, "message": refusal}


async def test_what_the_provider_is_told_of_a_turn(opened, scripted, say):
    model = scripted()
    async with opened(model) as runtime, runtime.start_thread() as thread:
        members = {"responsesapiClientMetadata": {"a": "1", "turn_id": "x"}, "responsesapiClientMetadataPatch": {"b": "2"}}
        await say(runtime, thread, model, **members, rootTurnId="r", parentTurnId="p", turnTrigger="clock")
        await say(runtime, thread, model)
    first, second = (request.raw.client_metadata for request in model.requests)
    whole = orjson.loads(first["x-codex-turn-metadata"])
    assert whole["turn_id"] == first["turn_id"] != "x"
    assert (whole["a"], whole["b"]) == ("1", "2")
    assert (whole["root_turn_id"], whole["parent_turn_id"], whole["turn_trigger"]) == ("r", "p", "clock")
    assert (first["root_turn_id"], first["parent_turn_id"], first["thread_id"]) == ("r", "p", thread.id)
    assert second["root_turn_id"] == second["turn_id"]
    assert "a" not in orjson.loads(second["x-codex-turn-metadata"])


async def test_turns_name_the_turn_that_their_work_began_with_and_say_which_items_they_have(opened, talk):
    async with opened() as runtime:
        client = await talk(runtime)
        id = (await client.call("thread/start"))["thread"]["id"]
        given = {"threadId": id, "input": [{"type": "text", "text": "hi"}]}
        shown, roots = [], ["r"]
        for number, root in enumerate(({"rootTurnId": "r"}, {}), 1):
            turn = (await client.call("turn/start", **given, **root))["turn"]
            notes = [(await client.wait_for(name, id, number))["turn"] for name in ("turn/started", "turn/completed")]
            shown.append([(one["rootTurnId"], one["itemsView"]) for one in (turn, *notes)])
        roots.append(turn["id"])
        assert shown == [[(root, "notLoaded")] * 3 for root in roots]
        resumed = await client.call("thread/resume", threadId=id)
    async with opened() as runtime:
        client = await talk(runtime)
        read = await client.call("thread/read", threadId=id, includeTurns=True)
        for stored in (resumed["thread"]["turns"], read["thread"]["turns"]):
            assert [(turn["rootTurnId"], turn["itemsView"]) for turn in stored] == [(root, "full") for root in roots]


@pytest.mark.parametrize("raw", [False, True])
async def test_each_answer_is_notified_to_clients_that_want_raw_events(opened, scripted, raw):
    model = scripted("one", tokens=7)
    async with opened(model) as runtime, runtime.start_thread(experimental_raw_events=raw) as thread, thread.turn("hi") as turn:
        seen = [event async for event in turn if event.METHOD in ("rawResponse/completed", "thread/tokenUsage/updated")]
    assert [event.METHOD for event in seen] == ["rawResponse/completed"] * raw + ["thread/tokenUsage/updated"]
    if raw:
        assert (seen[0].turn_id, seen[0].usage.input_tokens, seen[0].usage.total_tokens) == (turn.id, 7, 7)
        assert seen[0].response_id


async def test_what_the_provider_says_of_its_answers_is_notified(opened, scripted):
    message = {"type": "message", "role": "assistant", "id": "m", "content": [{"type": "output_text", "text": "x"}]}
    answer: list[ModelEvent] = [
        Created("r", "Other"),
        ResponseMetadata("other"),
        ResponseMetadata("GPT-5.2", ["trusted_access_for_cyber", "unknown"], {"a": 1}),
        ItemDone(message),
        Completed("r", None),
    ]
    model = scripted([Raw(answer)], [Raw([Created("r", "Gpt-5.2"), ItemDone(message), Completed("r", None)])])
    methods = ("model/rerouted", "warning", "model/verification", "turn/moderationMetadata")
    async with opened(model) as runtime, runtime.start_thread(model="gpt-5.2") as thread:
        async with thread.turn("hi") as turn:
            seen = [event async for event in turn if event.METHOD in methods]
        assert seen == [
            ModelReroutedNotification(thread.id, turn.id, "gpt-5.2", "Other"),
            WarningNotification(thread.id, "The provider answered with the model Other instead of gpt-5.2."),
            ModelVerificationNotification(thread.id, turn.id, ["trustedAccessForCyber"]),
            TurnModerationMetadataNotification(thread.id, turn.id, {"a": 1}),
        ]
        async with thread.turn("hi") as turn:
            assert [event async for event in turn if event.METHOD in methods] == []
