"""A list from the index equals the list from the files, for all queries."""

import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spindle.storage.home import Home
from spindle.storage.index import ThreadIndex
from spindle.storage.threads.listing import list_threads
from spindle.storage.threads.names import record_name
from spindle.storage.threads.query import ALL_KINDS, ThreadPage, ThreadQuery
from spindle.storage.threads.thread_errors import InvalidCursor

Write = Callable[..., Path]

IDS = [str(uuid.UUID(int=number + (7 << 76) + (2 << 62))) for number in range(8)]
WORDS = ["Needle", "need", "ü\u2028ß", "a\"b'c", "edl", "x" * 17_000 + "deep", "ee", "e"]
SOURCES: list[object] = [
    "cli",
    "vscode",
    "exec",
    "mcp",
    None,
    {"custom": "mine"},
    {"subagent": "review"},
    {"subagent": {"other": "x"}},
    *({"subagent": {"thread_spawn": {"parent_thread_id": id, "depth": 1}}} for id in IDS[:3]),
]
KINDS = list(ALL_KINDS)

THREADS = st.fixed_dictionaries(
    {
        "text": st.none() | st.sampled_from(WORDS),
        "stamp": st.sampled_from(["2025-01-05T12-00-00", "2025-01-05T12-00-01", "2025-02-05T12-00-00", "2024-01-01T00-00-00"]),
        "archived": st.booleans(),
        "source": st.sampled_from(SOURCES),
        "model_provider": st.sampled_from([None, "openai", "mine"]),
        "cwd": st.sampled_from(["/", "/a"]),
    }
)
QUERIES = st.fixed_dictionaries(
    {"limit": st.integers(1, 3)},
    optional={
        "sort_key": st.sampled_from(["created_at", "updated_at", "recency_at"]),
        "sort_direction": st.sampled_from(["asc", "desc"]),
        "model_providers": st.lists(st.sampled_from(["openai", "mine"]), max_size=2),
        "default_provider": st.sampled_from(["openai", "mine"]),
        "source_kinds": st.lists(st.sampled_from(KINDS), max_size=3) | st.just(KINDS),
        "archived": st.booleans(),
        "cwd": st.lists(st.sampled_from(["/", "/a", "/b"]), max_size=2),
        "search_term": st.sampled_from([*WORDS, "", "Need", "deep", "nothing", "ß", "nam", "Ne"]),
        "excluded_ids": st.lists(st.sampled_from(IDS), max_size=3),
        "only_ids": st.lists(st.sampled_from(IDS), max_size=5),
        "parent_thread_id": st.sampled_from(IDS[:4]),
        "ancestor_thread_id": st.sampled_from(IDS[:4]),
    },
)


@given(
    threads=st.lists(THREADS, max_size=len(IDS)),
    names=st.lists(st.tuples(st.sampled_from(IDS), st.sampled_from(["named", "Needle", ""])), max_size=4),
    queries=st.lists(QUERIES, min_size=1, max_size=6),
    from_files=st.lists(st.booleans(), min_size=10, max_size=10),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_index_and_the_files_agree(
    threads: list[dict[str, Any]],
    names: list[tuple[str, str]],
    queries: list[dict[str, Any]],
    from_files: list[bool],
    request: pytest.FixtureRequest,
) -> None:
    from_conftest: Callable[[Home], Write] = request.getfixturevalue("writing")
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        for id, thread in zip(IDS, threads, strict=False):
            values = dict(thread)
            from_conftest(home)(values.pop("text"), values.pop("stamp"), id=id, **values)
        for id, name in names:
            record_name(home, id, name)
        index = ThreadIndex(home)
        for query in queries:
            cursor, met = None, []
            for use_files in from_files:  # paging may start with one and continue with the other
                asked = ThreadQuery(cursor=cursor, **query)
                expected, found = list_threads(home, asked), index.page(asked)
                assert found == expected
                met += [thread.id for thread in expected.data]
                cursor = (expected if use_files else found).next_cursor
                if cursor is None:
                    break
            assert len(met) == len(set(met))
        index.close()


def test_invalid_cursors(write: Write, index: ThreadIndex) -> None:
    write("t")
    for cursor in ("bogus", "", "2025-01-03T12:00:00Z|a|b"):
        with pytest.raises(InvalidCursor):
            index.page(ThreadQuery(cursor=cursor))


def test_a_bare_time_is_a_cursor(write: Write, listed: Callable[..., list[str]]) -> None:
    for day in range(1, 5):
        write(f"t{day}", f"2025-01-{day:02}T12-00-00")
    assert listed(cursor="2025-01-03T12:00:00Z") == ["t2", "t1"]
    assert listed(cursor="2025-01-03T12:00:00Z", sort_direction="asc") == ["t4"]


def test_a_term_that_nearly_all_contain_is_found_in_order(write: Write, index: ThreadIndex) -> None:
    for number in range(2100):
        write(f"please {number:04}", f"2025-01-01T{number // 3600:02}-{number // 60 % 60:02}-{number % 60:02}")
    index.catch_up()
    page = index.page(ThreadQuery(search_term="please", limit=2))
    assert isinstance(page, ThreadPage)
    assert [thread.preview for thread in page.data] == ["please 2099", "please 2098"]
    page = index.page(ThreadQuery(search_term="ease 0007"))
    assert isinstance(page, ThreadPage)
    assert [thread.preview for thread in page.data] == ["please 0007"]


def test_a_term_far_into_a_long_message(write: Write, listed: Callable[..., list[str]]) -> None:
    text = "x" * 17_000 + " deep down"
    write(text)
    assert listed(search_term="deep down") == [text]
    assert listed(search_term="deep inside") == []


def test_descendants_of_a_thread_that_is_its_own_ancestor(write: Write, listed: Callable[..., list[str]]) -> None:
    def spawned(text: str, id: str, parent: str) -> None:
        source = {"subagent": {"thread_spawn": {"parent_thread_id": parent, "depth": 1}}}
        write(text, id=id, source=source)

    spawned("one", IDS[0], IDS[1])
    spawned("two", IDS[1], IDS[0])
    spawned("three", IDS[2], IDS[1])
    assert sorted(listed(ancestor_thread_id=IDS[0])) == ["three", "two"]
    assert listed(parent_thread_id=IDS[0]) == ["two"]
