"""Plan mode: its instructions for the model, and `<proposed_plan>` blocks as items apart from the message."""

import itertools

import pytest

from spindle.actors.settings.modes import PRESETS, filled
from spindle.actors.turn.proposed_plan import PlanSplitter
from spindle.rpc.protocol.converter import unstructure
from spindle.rpc.protocol.settings import CollaborationMode, CollaborationSettings

PLAN = CollaborationMode("plan", CollaborationSettings("offline"))
WORDS = "Intro\n<proposed_plan>\n# Plan\n- one\n</proposed_plan>\nOutro"


def pieces(*texts):
    splitter = PlanSplitter()
    found = [piece for text in texts for piece in splitter.feed(text)] + list(splitter.finish())
    return {
        kind: "".join(text for _, text in group)
        for kind, group in itertools.groupby(sorted(found, key=lambda piece: piece[0]), key=lambda piece: piece[0])
    }


@pytest.mark.parametrize(
    ("text", "said", "planned"),
    [
        (WORDS, "Intro\nOutro", "# Plan\n- one\n"),
        ("a <proposed_plan> b\n", "a <proposed_plan> b\n", None),
        ("  <proposed_plan> \n- x\n  </proposed_plan>", "", "- x\n"),
        ("<proposed_plan>\n- one\n", "", "- one\n"),
        ("<proposed", "<proposed", None),
        ("<proposed_plan>", "", ""),
        ("</proposed_plan>\n", "</proposed_plan>\n", None),
        ("<proposed_plan>\na\n</proposed_plan>\nmid\n<proposed_plan>\nb\n</proposed_plan>\n", "mid\n", "a\nb\n"),
    ],
)
def test_the_plan_does_not_depend_on_where_the_text_is_cut(text, said, planned):
    for at in range(len(text) + 1):
        found = pieces(text[:at], text[at:])
        assert found.get("said", "") == said
        assert found.get("planned", "" if "opens" in found else None) == planned
    assert pieces(*text) == pieces(text)


def test_only_a_possible_tag_is_held_back():
    splitter = PlanSplitter()
    assert list(splitter.feed("Hel")) == [("said", "Hel")]
    assert list(splitter.feed("lo <")) == [("said", "lo <")]
    assert list(splitter.feed("\n <pro")) == [("said", "\n")]
    assert list(splitter.feed("se")) == [("said", " <prose")]


async def shown(thread, text="go", **overrides):
    async with thread.turn(text, **overrides) as turn:
        events = [event async for event in turn]
    return [
        (event.METHOD.removeprefix("item/"), getattr(event, "item", None) or event.delta)
        for event in events
        if event.METHOD.startswith("item/") and getattr(getattr(event, "item", None), "type", "") != "userMessage"
    ]


async def test_a_plan_is_an_item_apart_from_the_message(opened, scripted, lines):
    model = scripted(["Intro\n<propo", "sed_plan>\n# Plan\n", "- one\n</proposed_plan>\nOutro"])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        seen = await shown(thread, collaboration_mode=PLAN)
        assert [(method, getattr(item, "text", item)) for method, item in seen] == [
            ("started", ""),
            ("agentMessage/delta", "Intro\n"),
            ("started", ""),
            ("plan/delta", "# Plan\n"),
            ("plan/delta", "- one\n"),
            ("agentMessage/delta", "Outro"),
            ("completed", "# Plan\n- one\n"),
            ("completed", "Intro\nOutro"),
        ]
        turn = (await thread.read(include_turns=True)).turns[-1]
        assert [(item.type, getattr(item, "text", None)) for item in turn.items][1:] == [
            ("plan", "# Plan\n- one\n"),
            ("agentMessage", "Intro\nOutro"),
        ]
        assert turn.items[1].id == f"{turn.id}-plan"
        # the model is sent what it said
        (said,) = [line for line in lines(thread) if line.get("role") == "assistant"]
        assert said["content"][0]["text"] == WORDS


async def test_a_message_that_is_only_a_plan_is_not_shown(opened, scripted):
    model = scripted([scripted.message("<proposed_plan>\n- x\n</proposed_plan>")])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        seen = await shown(thread, collaboration_mode=PLAN)
        assert [(method, item.type, item.text) for method, item in seen] == [
            ("started", "plan", ""),
            ("completed", "plan", "- x\n"),
        ]


async def test_in_the_default_mode_a_block_is_text(opened, scripted):
    async with opened(scripted([WORDS])) as runtime, runtime.start_thread() as thread:
        seen = await shown(thread)
        assert seen[-1][1].text == WORDS


async def test_the_model_gets_the_instructions_of_the_mode_once(opened, scripted):
    model = scripted()
    async with opened(model) as runtime, runtime.start_thread() as thread:
        for mode in (None, PLAN, None, CollaborationMode("default", CollaborationSettings("other", "high"))):
            await thread.run("x", **({} if mode is None else {"collaboration_mode": mode}))
    told = [sum("<collaboration_mode>" in text for text in texts) for texts in model.texts]
    assert told == [0, 1, 1, 2]
    assert "# Default mode" in [text for text in model.texts[-1] if "<collaboration_mode>" in text][-1]
    assert [request.model for request in model.requests][2:] == ["offline", "other"]


def test_the_clients_own_instructions_are_kept():
    own = CollaborationMode("plan", CollaborationSettings("m", None, "OWN"))
    assert filled(own) == own
    assert "<proposed_plan>" in (filled(PLAN).settings.developer_instructions or "")


def test_the_presets_are_plan_and_default():
    assert unstructure(PRESETS) == [
        {"name": "Plan", "mode": "plan", "model": None, "reasoning_effort": "medium"},
        {"name": "Default", "mode": "default", "model": None, "reasoning_effort": None},
    ]


async def test_an_image_is_an_item(opened, scripted, lines):
    image = {
        "type": "image_generation_call",
        "id": "ig",
        "status": "completed",
        "revised_prompt": "A cat",
        "result": "AAAA",
    }
    model = scripted([image, "done"], ["ok"])
    async with opened(model) as runtime, runtime.start_thread() as thread:
        seen = await shown(thread)
        assert [(method, item.status, item.result) for method, item in seen[:2]] == [
            ("started", "in_progress", ""),
            ("completed", "completed", "AAAA"),
        ]
        assert [line["call_id"] for line in lines(thread) if line.get("type") == "image_generation_end"] == ["ig"]
        turn = (await thread.read(include_turns=True)).turns[-1]
        assert turn.items[1] == seen[1][1]
