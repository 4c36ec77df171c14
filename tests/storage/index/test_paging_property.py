"""Paging while threads are added and removed: unchanged threads are on exactly one page."""

import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spindle.storage.home import Home
from spindle.storage.index import ThreadIndex
from spindle.storage.threads.archive import archive, unarchive
from spindle.storage.threads.listing import list_threads
from spindle.storage.threads.query import ThreadQuery

Write = Callable[..., Path]

STAMPS = ["2025-01-05T12-00-00", "2025-01-05T12-00-01", "2025-01-06T00-00-00", "2024-12-31T23-59-59"]
STEPS = st.one_of(
    st.tuples(st.just("create"), st.sampled_from(range(len(STAMPS)))),
    st.tuples(st.sampled_from(["archive", "unarchive", "delete"]), st.integers(0, 30)),
    st.tuples(st.just("page"), st.booleans()),
)


@given(
    start=st.lists(st.sampled_from(range(len(STAMPS))), max_size=8),
    steps=st.lists(STEPS, max_size=25),
    limit=st.integers(1, 3),
    direction=st.sampled_from(["asc", "desc"]),
    archived=st.booleans(),
)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_unchanged_threads_are_listed_exactly_once(
    start: list[int],
    steps: list[tuple[str, int]],
    limit: int,
    direction: str,
    archived: bool,
    request: pytest.FixtureRequest,
) -> None:
    writing: Callable[[Home], Write] = request.getfixturevalue("writing")
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        write, index = writing(home), ThreadIndex(home)
        active: list[str] = []
        away: list[str] = []

        def create(stamp: int, put_away: bool = False) -> None:
            id = str(uuid.uuid4())
            write(id, STAMPS[stamp], id=id, archived=put_away)
            (away if put_away else active).append(id)

        for number, stamp in enumerate(start):
            create(stamp, put_away=number % 2 == 1)
        side = away if archived else active
        stayed = set(side)
        met: list[str] = []
        cursor: str | None = None
        ended = False

        def page(from_files: bool) -> None:
            nonlocal cursor, ended
            query = ThreadQuery(cursor=cursor, limit=limit, sort_direction=direction, archived=archived)  # type: ignore[arg-type]
            got = list_threads(home, query) if from_files else index.page(query)
            assert got is not None
            assert {thread.id for thread in got.data} <= set(side)
            met.extend(thread.id for thread in got.data)
            cursor, ended = got.next_cursor, got.next_cursor is None

        for step, value in steps:
            if ended:
                break
            match step:
                case "create":
                    create(value)
                case "archive" if active:
                    archive(home, id := active.pop(value % len(active)))
                    away.append(id)
                case "unarchive" if away:
                    unarchive(home, id := away.pop(value % len(away)))
                    active.append(id)
                case "delete" if active:
                    id = active.pop(value % len(active))
                    next(home.sessions.rglob(f"*{id}.jsonl")).unlink()
                case "page":
                    page(bool(value))
                case _:
                    pass
            stayed &= set(side)
        while not ended:
            page(False)
        assert len(met) == len(set(met))
        assert stayed <= set(met)
        for one, other in ((False, active), (True, away)):
            got = index.page(ThreadQuery(archived=one, limit=100))
            assert got is not None
            assert sorted(thread.id for thread in got.data) == sorted(other)
        index.close()
