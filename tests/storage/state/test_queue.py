"""The stored queue of a thread: its order, its bounds, and the way of an entry to a turn."""

import pytest

from spindle.rpc.protocol.queue import QueuedSubmission
from spindle.rpc.protocol.user_input import TextInput
from spindle.storage.state import queue
from spindle.storage.state.database import forget_threads, has_queue, open_database
from spindle.storage.state.queue import QueueError, QueueFull, Standing, standing


@pytest.fixture
def db(tmp_path):
    connection = open_database(tmp_path / "state.sqlite")
    yield connection
    connection.close()


def entry(id, **members):
    given = {"input": (TextInput(id),), "client_user_message_id": f"c-{id}", **members}
    return QueuedSubmission(id=id, **given)


def fill(db, *ids):
    for id in ids:
        queue.add(db, "t", entry(id))


def order(db):
    return [each.id for each in queue.page(db, "t", 0, 100)]


def test_entries_keep_their_order_and_all_that_they_hold(db):
    kept = entry("a", responsesapi_client_metadata={"x": "y"})
    queue.add(db, "t", kept)
    fill(db, "b")
    queue.add(db, "other", entry("c"))
    found = queue.page(db, "t", 0, 9)
    assert [each.id for each in found] == ["a", "b"]
    assert (list(found[0].input), found[0].responsesapi_client_metadata) == ([TextInput("a")], {"x": "y"})
    assert found[0].client_user_message_id == "c-a"
    assert [each.id for each in queue.page(db, "t", 1, 1)] == ["b"]


def test_an_update_without_metadata_keeps_the_metadata(db):
    queue.add(db, "t", entry("a", responsesapi_client_metadata={"x": "y"}))
    nothing: dict[str, str] = {}
    for empty in (None, nothing):
        after = queue.update(db, "t", "a", (TextInput("new"),), empty)
        assert (after.input, after.responsesapi_client_metadata) == ((TextInput("new"),), {"x": "y"})
    assert queue.update(db, "t", "a", (TextInput("new"),), {"z": "1"}).responsesapi_client_metadata == {"z": "1"}
    with pytest.raises(QueueError, match="queued submission not found: b"):
        queue.update(db, "t", "b", (TextInput("new"),), None)


@pytest.mark.parametrize("ids", [[], ["a"], ["a", "b", "b"], ["a", "b", "x"], ["a", "b", "c", "c"]])
def test_a_new_order_has_every_entry_once(db, ids):
    fill(db, "a", "b", "c")
    with pytest.raises(QueueError, match="must include every queued submission exactly once"):
        queue.reorder(db, "t", ids)
    assert order(db) == ["a", "b", "c"]


def test_a_reordered_queue_grows_at_its_end(db):
    fill(db, "a", "b", "c")
    assert queue.reorder(db, "t", ["c", "a", "b"])
    assert not queue.reorder(db, "t", ["c", "a", "b"])
    fill(db, "d")
    assert order(db) == ["c", "a", "b", "d"]


def test_a_claimed_entry_is_in_no_list_and_returns_to_its_place(db):
    fill(db, "a", "b")
    assert queue.claim(db, "a", "turn")
    assert not queue.claim(db, "a", "another")
    assert order(db) == ["b"]
    assert queue.find(db, "t", "a") is None
    assert not queue.delete(db, "t", "a")
    assert standing(db, "t") == Standing(1, False, [("a", "turn")])
    queue.unclaim(db, "a")
    assert order(db) == ["a", "b"]
    queue.claim(db, "a", "turn")
    queue.drop(db, "a")
    assert standing(db, "t") == Standing(1, False, [])


def test_a_queue_is_bounded(db, monkeypatch):
    monkeypatch.setattr(queue, "MOST", 2)
    fill(db, "a", "b")
    with pytest.raises(QueueFull):
        fill(db, "c")
    monkeypatch.setattr(queue, "MOST", 9)
    monkeypatch.setattr(queue, "MOST_BYTES", 1)
    with pytest.raises(QueueFull):
        fill(db, "c")
    queue.add(db, "other", entry("d"))


def test_a_deleted_thread_leaves_no_entries(db):
    fill(db, "a")
    queue.set_paused(db, "t", True)
    assert has_queue(db, "t")
    assert standing(db, "t").paused
    forget_threads(db, ["t"])
    assert standing(db, "t") == Standing(0, False, [])
    assert not has_queue(db, "t")
