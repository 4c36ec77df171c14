"""Read states: revisions guard marks, turns make threads unread, and reverted turns are not unread."""

import pytest

from spindle.rpc.protocol.read_states import ThreadReadState, UnreadFromStart, UnreadFromTurn
from spindle.storage.state.database import TABLES, forget_threads, open_database
from spindle.storage.state.read_states import RevisionConflict, initial, mark, read_states, turn_ended, turns_taken_back


@pytest.fixture
def db(tmp_path):
    connection = open_database(tmp_path / "state.sqlite")
    yield connection
    connection.close()


def test_a_thread_without_a_row_is_read(db):
    assert read_states(db, ["t"]) == {"t": ThreadReadState(None, "initial:t")}


def test_the_first_unread_turn_stays_the_first(db):
    one, two = turn_ended(db, "t", "1"), turn_ended(db, "t", "2")
    assert one.first_unread == two.first_unread == UnreadFromTurn("1")
    assert one.revision != two.revision
    assert read_states(db, ["t", "u"]) == {"t": two, "u": initial("u")}


def test_a_mark_needs_the_current_revision(db):
    seen = turn_ended(db, "t", "1")
    now = turn_ended(db, "t", "2")
    with pytest.raises(RevisionConflict) as caught:
        mark(db, "t", False, seen.revision)
    assert caught.value.state == now
    read = mark(db, "t", False, now.revision)
    assert read.first_unread is None
    assert read.revision != now.revision
    assert turn_ended(db, "t", "3").first_unread == UnreadFromTurn("3")


def test_marking_unread_applies_to_the_last_turn(db):
    state = turn_ended(db, "t", "1")
    state = turn_ended(db, "t", "2")
    assert mark(db, "t", True, state.revision).first_unread == UnreadFromTurn("2")
    assert mark(db, "u", True, initial("u").revision).first_unread == UnreadFromStart()


def test_reverted_turns_are_not_unread(db):
    for turn in "123":
        state = turn_ended(db, "t", turn)
    assert turns_taken_back(db, "t", ["1", "2"]).first_unread == UnreadFromTurn("1")
    state = mark(db, "t", True, turns_taken_back(db, "t", ["1", "2"]).revision)
    assert state.first_unread == UnreadFromTurn("2")
    assert turns_taken_back(db, "t", ["1"]).first_unread is None
    assert turns_taken_back(db, "t", []).first_unread is None


def test_forgetting_a_thread_deletes_all_its_rows(db):
    tables = {
        table
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        if any(column[1] == "thread_id" for column in db.execute(f"PRAGMA table_info({table})"))
    }
    assert tables == set(TABLES)
    turn_ended(db, "t", "1")
    turn_ended(db, "u", "1")
    forget_threads(db, ["t"])
    assert [id for (id,) in db.execute("SELECT thread_id FROM read_states")] == ["u"]
