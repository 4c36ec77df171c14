"""Pages of turns and items, over snapshots in memory."""

import itertools

import orjson
import pytest

from spindle.actors.delivery.snapshot import Snapshot
from spindle.actors.thread.turn_pages import end_cursors, items_page, turns_page
from spindle.rpc.protocol.errors import INVALID_PARAMS, INVALID_REQUEST, RpcError
from spindle.rpc.protocol.turn_pages import ThreadItemsListParams, ThreadTurnsListParams

numbers = itertools.count(1)


def turn(id, *said):
    items = [
        {"type": "agentMessage" if place % 2 else "userMessage", "id": f"{id}-{place}", "text": words}
        for place, words in enumerate(said)
    ]
    return {"id": id, "items": items, "status": "completed", "error": None}


def snapshot(*ids):
    return Snapshot.of([turn(id, "ask", "say", "ask more", "say more") for id in ids])


def turns(of, **params):
    return turns_page(of, ThreadTurnsListParams("t", **params))


def items(of, **params):
    return items_page(of, ThreadItemsListParams(thread_id="t", **params))


def ids(page):
    return [body["id"] for body in page.data]


def item_ids(page):
    return [entry.item["id"] for entry in page.data]


def refused(call, *args, **params):
    with pytest.raises(RpcError) as caught:
        call(*args, **params)
    return caught.value


@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("names", [["a", "b", "c", "d", "e"], ["a", "a", "b", "a", "a"], ["a"]])
def test_pages_follow_each_other_without_gap_or_repeat(direction, limit, names):
    of, seen, cursor = snapshot(*names), [], None
    while True:
        page = turns(of, limit=limit, sort_direction=direction, cursor=cursor)
        seen += ids(page)
        if (cursor := page.next_cursor) is None:
            break
        assert len(seen) < len(names)
    assert seen == (names if direction == "asc" else names[::-1])


@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 3, 4, 5, 100])
def test_pages_of_items_cross_turns(direction, limit):
    of, seen, cursor = snapshot("a", "b", "c"), [], None
    while True:
        page = items(of, limit=limit, sort_direction=direction, cursor=cursor)
        seen += item_ids(page)
        if (cursor := page.next_cursor) is None:
            break
        assert len(seen) < 12
    everything = [f"{id}-{place}" for id in "abc" for place in range(4)]
    assert seen == (everything if direction == "asc" else everything[::-1])


def test_the_backwards_cursor_includes_the_anchor():
    of = snapshot("a", "b", "c")
    page = turns(of, limit=2)
    assert ids(page) == ["c", "b"]
    assert ids(turns(of, cursor=page.backwards_cursor, sort_direction="asc")) == ["c"]
    page = items(of, limit=2, sort_direction="desc")
    assert item_ids(items(of, cursor=page.backwards_cursor, sort_direction="asc")) == ["c-3"]


def test_paging_from_the_end_begins_with_the_last():
    of = snapshot("a", "b")
    turns_cursor, items_cursor = end_cursors(of)
    assert ids(turns(of, cursor=turns_cursor)) == ["b", "a"]
    assert item_ids(items(of, cursor=items_cursor, sort_direction="desc", limit=1)) == ["b-3"]
    assert end_cursors(snapshot()) == (None, None)


def test_sizes_of_pages():
    of = snapshot(*(str(next(numbers)) for _ in range(130)))
    assert [len(turns(of, limit=limit).data) for limit in (None, 0, 1000)] == [25, 1, 100]
    assert [len(items(of, limit=limit).data) for limit in (None, 0, 1000)] == [25, 1, 100]


def test_no_turns_give_an_empty_page():
    assert turns(snapshot()).data == []
    assert (turns(snapshot()).next_cursor, turns(snapshot()).backwards_cursor) == (None, None)
    assert items(snapshot()).data == []


def test_views_of_a_turn():
    of = snapshot("a")
    shown = {view: turns(of, items_view=view).data[0] for view in (None, "full", "summary", "notLoaded")}
    assert [(body["itemsView"], [item["id"] for item in body["items"]]) for body in shown.values()] == [
        ("full", ["a-0", "a-1", "a-2", "a-3"]),
        ("full", ["a-0", "a-1", "a-2", "a-3"]),
        ("summary", ["a-0", "a-3"]),
        ("notLoaded", []),
    ]


def test_a_running_turn_ends_with_the_streamed_part_of_its_message():
    of = snapshot("a")
    of.add(turn("live", "ask"))
    of.partial = {"type": "agentMessage", "id": "m", "text": "so f"}
    assert [item["id"] for item in turns(of, limit=1).data[0]["items"]] == ["live-0", "m"]
    assert item_ids(items(of, sort_direction="desc", limit=1)) == ["m"]


@pytest.mark.parametrize(
    "cursor", ["bogus", "", "{}", "[]", "7", '{"turnId":"a"}', '{"turnId":1,"includeAnchor":true}']
)
def test_a_cursor_of_another_form_is_refused(cursor):
    for call in (turns, items):
        error = refused(call, snapshot("a"), cursor=cursor)
        assert (error.code, str(error)) == (INVALID_REQUEST, f"invalid cursor: {cursor}")


def test_a_cursor_to_a_removed_turn_is_refused():
    cursor = turns(snapshot("a", "b"), limit=1).backwards_cursor
    assert str(refused(turns, snapshot("a"), cursor=cursor)) == "invalid cursor: anchor turn is no longer present"


def test_codexs_cursors_are_accepted():
    cursor = orjson.dumps({"turnId": "b", "includeAnchor": False}).decode()
    assert ids(turns(snapshot("a", "b", "c"), cursor=cursor)) == ["a"]


def test_items_of_one_turn_and_after_one():
    of = snapshot("a", "b")
    assert item_ids(items(of, turn_id="b")) == ["b-0", "b-1", "b-2", "b-3"]
    anchor = {"type": "item", "itemId": "b-1"}
    assert item_ids(items(of, turn_id="b", cursor=anchor)) == ["b-2", "b-3"]
    assert item_ids(items(of, turn_id="b", cursor=anchor, sort_direction="desc")) == ["b-0"]
    assert item_ids(items(of, turn_id="nobody")) == []


def test_item_anchors_without_an_item_are_refused():
    of, anchor = snapshot("a", "b"), {"type": "item", "itemId": "a-1"}
    for params in ({"cursor": anchor}, {"cursor": anchor, "turn_id": "b"}, {"cursor": anchor, "turn_id": "nobody"}):
        assert refused(items, of, **params).code == INVALID_PARAMS
    assert refused(items, of, cursor={"type": "other"}).code == INVALID_REQUEST
