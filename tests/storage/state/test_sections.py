"""Sections: their changes, and the order of their threads compared with a simple model."""

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spindle.rpc.protocol.sections import ThreadSectionAppearance
from spindle.rpc.protocol.shapes import ABSENT
from spindle.storage.state import sections as module
from spindle.storage.state.database import open_database
from spindle.storage.state.sections import (
    PINNED,
    SectionError,
    create_section,
    delete_section,
    list_sections,
    move_thread,
    pinned_only,
    placements,
    update_section,
)


@pytest.fixture
def db(tmp_path):
    connection = open_database(tmp_path / "spindle" / "state.sqlite")
    yield connection
    connection.close()


def order(db, section):
    return [id for _, id in placements(db).within(section)]


def test_each_home_has_a_permanent_pinned_section(db):
    assert [(section.id, section.name) for section in list_sections(db, None, 9)] == [(PINNED, "Pinned")]
    with pytest.raises(SectionError, match="cannot be renamed"):
        update_section(db, PINNED, "x", ABSENT)
    with pytest.raises(SectionError, match="cannot be deleted"):
        delete_section(db, PINNED)


def test_a_home_without_a_state_file_lists_the_same(db):
    for cursor in (None, "", "0", PINNED, "z"):
        assert pinned_only(cursor) == list_sections(db, cursor, 9)


def test_sections_are_listed_in_the_order_of_creation(db):
    made = [create_section(db, name, None) for name in (" b ", "a", "a")]
    assert [section.name for section in made] == ["b", "a", "a"]
    assert list_sections(db, PINNED, 9) == made
    assert list_sections(db, made[0].id, 1) == [made[1]]


def test_an_appearance_is_kept_cleared_or_replaced(db):
    look = ThreadSectionAppearance("star", None)
    section = create_section(db, "a", look)
    assert update_section(db, section.id, "b", ABSENT).appearance == look
    assert update_section(db, section.id, "b", None).appearance is None
    assert list_sections(db, PINNED, 9)[0].appearance is None


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda db: create_section(db, " ", None), "section name must not be empty"),
        (lambda db: update_section(db, "zz", "a", ABSENT), "thread section not found: zz"),
        (lambda db: delete_section(db, "zz"), "thread section not found: zz"),
        (lambda db: move_thread(db, "t", "zz", None, 1), "section zz does not exist"),
        (lambda db: move_thread(db, "t", PINNED, "t", 1), "thread t cannot be moved before itself"),
        (lambda db: move_thread(db, "t", PINNED, "u", 1), f"before thread u is not in section {PINNED}"),
        (lambda db: move_thread(db, "t", None, "u", 1), "beforeThreadId requires a non-null sectionId"),
    ],
)
def test_refusals_say_why(db, action, message):
    with pytest.raises(SectionError) as caught:
        action(db)
    assert str(caught.value) == message


def test_a_thread_keeps_its_time_while_it_stays_in_the_section(db):
    other = create_section(db, "other", None).id
    move_thread(db, "t", PINNED, None, 1)
    move_thread(db, "t", PINNED, None, 2)
    assert placements(db, "t").by_thread["t"].entered_at == 1
    move_thread(db, "t", other, None, 3)
    assert placements(db, "t").by_thread["t"].entered_at == 3


def test_deleting_a_section_removes_its_placements(db):
    section = create_section(db, "a", None).id
    move_thread(db, "t", section, None, 1)
    move_thread(db, "u", PINNED, None, 1)
    delete_section(db, section)
    assert list(placements(db).by_thread) == ["u"]


THREADS = st.sampled_from("abcdefgh")


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(THREADS, st.sampled_from([None, 0, 1]), st.one_of(st.none(), THREADS)), max_size=60),
    st.sampled_from([1, 2, 1_000_000]),
)
def test_the_order_is_that_of_the_moves(moves, step):
    """Also with small gaps, where sections are often renumbered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_STEP", max(step, 2))
        db = sqlite3.connect(":memory:", isolation_level=None)
        db.execute("PRAGMA foreign_keys = ON")
        module_database_schema(db)
        ids = [PINNED, create_section(db, "other", None).id]
        model: dict[str, list[str]] = {id: [] for id in ids}
        for thread, number, before in moves:
            section = None if number is None else ids[number]
            possible = (section is None and before is None) or (
                section is not None and before != thread and (before is None or before in model[section])
            )
            db.execute("SAVEPOINT move")
            try:
                move_thread(db, thread, section, before, 1)
            except SectionError:
                assert not possible
                db.execute("ROLLBACK TO move")
            else:
                assert possible
                for threads in model.values():
                    if thread in threads:
                        threads.remove(thread)
                if section is not None:
                    at = len(model[section]) if before is None else model[section].index(before)
                    model[section].insert(at, thread)
            db.execute("RELEASE move")
            assert {id: order(db, id) for id in ids} == model
        db.close()


def module_database_schema(db):
    from spindle.storage.state import database

    database._migrate(db)
