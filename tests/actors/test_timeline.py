"""thread/timeline/list and thread/items/read."""

import pytest
from tests.actors.talks import Refused

from spindle.actors.delivery.snapshot import Snapshot
from spindle.actors.thread.timeline import timeline_page
from spindle.rpc.protocol.converter import unstructure
from spindle.rpc.protocol.errors import RpcError
from spindle.rpc.protocol.timeline import ThreadTimelineListParams


def turn(id, *items, status="completed"):
    bodies = [{"type": "agentMessage", "id": item, "text": item} for item in items]
    times = {"startedAt": 1, "completedAt": 2, "durationMs": 3}
    return {"id": id, "items": bodies, "status": status, "error": None, **times}


def read(turns, **params):
    """Pages as (what they show, the cursor)."""
    page = timeline_page(Snapshot.of(turns), ThreadTimelineListParams("t", **params))
    said = [
        (entry["type"], entry["item"]["id"] if entry["type"] == "item" else entry["turnId"])
        for entry in unstructure(page)["data"]
    ]
    return said, page.next_cursor


TURNS = [turn("a", "a1", "a2"), turn("b"), turn("c", "c1", status="inProgress")]
ALL = [
    ("turnStarted", "a"),
    ("item", "a1"),
    ("item", "a2"),
    ("turnCompleted", "a"),
    ("turnStarted", "b"),
    ("turnCompleted", "b"),
    ("turnStarted", "c"),
    ("item", "c1"),
]


@pytest.mark.parametrize("limit", [*range(1, 9), 100])
def test_pages_lead_from_the_end_to_the_beginning(limit):
    seen: list[tuple[str, str]] = []
    cursor = None
    while True:
        page, cursor = read(TURNS, limit=limit, cursor=cursor)
        assert len(page) <= limit
        seen = [*page, *seen]
        if cursor is None:
            break
    assert seen == ALL


def test_a_page_keeps_its_place_when_the_thread_goes_on():
    _, cursor = read(TURNS, limit=2)
    later = [*TURNS[:2], turn("c", "c1", "c2"), turn("d", "d1")]
    assert read(later, limit=100, cursor=cursor) == (ALL[:6], None)


def test_positions_ascend_and_both_spellings_are_sent():
    page = unstructure(timeline_page(Snapshot.of(TURNS), ThreadTimelineListParams("t")))
    positions = [entry["position"] for entry in page["data"]]
    assert positions == sorted(set(positions))
    assert page["activeRealtimeSessionAtPageStart"] is None
    begin, end = page["data"][0], page["data"][3]
    assert begin["turnId"] == begin["turn_id"] == "a"
    assert begin["startedAt"] == begin["started_at"] == 1
    assert (end["durationMs"], end["completed_at"], end["status"], end["error"]) == (3, 2, "completed", None)


@pytest.mark.parametrize(
    "cursor",
    ["zz", "[]", "{}", '{"threadId":"x","position":1}', '{"threadId":"t","position":-1}', '{"threadId":"t","position":true}'],
)
def test_a_cursor_of_another_form_is_refused(cursor):
    with pytest.raises(RpcError, match="invalid thread timeline cursor"):
        read(TURNS, cursor=cursor)


async def test_a_thread_is_read_whether_it_is_loaded_or_not(opened, talk):
    async with opened() as runtime:
        client = await talk(runtime)
        id = (await client.call("thread/start"))["thread"]["id"]
        started = await client.call("turn/start", threadId=id, input=[{"type": "text", "text": "hi"}])
        await client.wait_for("turn/completed", id)
        turn_id = started["turn"]["id"]
        for release in ("thread/unsubscribe", "thread/archive", "thread/read"):
            timeline = await client.call("thread/timeline/list", threadId=id)
            kinds = [entry["type"] for entry in timeline["data"]]
            assert kinds == ["turnStarted", "item", "item", "turnCompleted"]
            items = [entry["item"] for entry in timeline["data"] if entry["type"] == "item"]
            ids = [item["id"] for item in items]
            wanted = {"threadId": id, "turnId": turn_id, "itemIds": [*ids[::-1], "nope"]}
            found = await client.call("thread/items/read", **wanted)
            assert [(entry["turnId"], entry["item"]) for entry in found["data"]] == [(turn_id, item) for item in items]
            assert (await client.call("thread/items/read", **{**wanted, "turnId": "nope"}))["data"] == []
            await client.call(release, threadId=id)
        for wrong in ([], [str(number) for number in range(101)]):
            with pytest.raises(Refused, match="itemIds must contain 1 to 100 IDs"):
                await client.call("thread/items/read", threadId=id, turnId=turn_id, itemIds=wrong)
        unknown = "01a22f29-0000-7000-8000-000000000000"
        for method, params in (("thread/timeline/list", {}), ("thread/items/read", {"turnId": "x", "itemIds": ["a"]})):
            with pytest.raises(Refused, match=f"thread not loaded: {unknown}"):
                await client.call(method, threadId=unknown, **params)
            fleeting = (await client.call("thread/start", ephemeral=True))["thread"]["id"]
            with pytest.raises(Refused, match=f"ephemeral threads do not support {method}"):
                await client.call(method, threadId=fleeting, **params)
