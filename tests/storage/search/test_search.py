"""Searching rollouts: messages, pages, the bound on the work, and stopping."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import zstandard
from attrs import evolve

from spindle.storage.home import Home
from spindle.storage.rollout.lines import encode_line
from spindle.storage.rollout.source import Source
from spindle.storage.search import SearchPage, SearchQuery, find_occurrences, search_threads
from spindle.storage.search.messages import SearchedMessage, messages
from spindle.storage.search.occurrences import OccurrencePage
from spindle.storage.threads.listing import list_threads
from spindle.storage.threads.locate import locate_file
from spindle.storage.threads.query import ThreadQuery
from spindle.storage.threads.thread_errors import InvalidCursor


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def no_check() -> None:
    pass


def event(**payload: Any) -> dict[str, Any]:
    return {"timestamp": "", "type": "event_msg", "payload": payload}


def turn(id: str, asked: str, *answers: str) -> list[dict[str, Any]]:
    said = [event(type="agent_message", message=answer) for answer in answers]
    return [
        event(type="task_started", turn_id=id),
        event(type="user_message", message=asked),
        *said,
        event(type="task_complete", turn_id=id),
    ]


def write(home: Home, number: int, *lines: dict[str, Any]) -> Path:
    folder = home.sessions / "2025" / "10" / "20"
    folder.mkdir(parents=True, exist_ok=True)
    thread_id = f"019a0000-0000-7000-8000-{number:012}"
    path = folder / f"rollout-2025-10-20T12-00-{number:02}-{thread_id}.jsonl"
    head = {"id": thread_id, "timestamp": "2025-10-20T12:00:00Z", "source": "cli"}
    entries = [{"timestamp": "", "type": "session_meta", "payload": head}, *lines]
    path.write_text("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries))
    return path


def search(home: Home, term: str, read_at_most: int = 1 << 30, **query: Any) -> SearchPage:
    wanted = SearchQuery(term, ThreadQuery(**query), read_at_most)
    return search_threads(lambda page: list_threads(home, page), wanted, no_check, lambda id: locate_file(home, id))


def said_in(path: Path) -> list[SearchedMessage]:
    with closing(Source(path)) as source:
        return messages(source, no_check)


def occurrences(path: Path, thread_id: str, term: str, cursor: str | None, limit: int) -> OccurrencePage:
    with closing(Source(path)) as source:
        return find_occurrences(source, thread_id, term, cursor, limit, no_check)


def walk(home: Home, term: str, **options: Any) -> list[list[str]]:
    found: list[list[str]] = []
    cursor = None
    for _ in range(50):
        page = search(home, term, cursor=cursor, **options)
        found.append([snippet for _, snippet in page.data])
        cursor = page.next_cursor
        if cursor is None:
            return found
    raise AssertionError("the pages do not end")


def test_only_shown_messages_are_searched(home: Home) -> None:
    path = write(
        home,
        1,
        {"timestamp": "", "type": "response_item", "payload": {"type": "message", "role": "user", "content": []}},
        *turn("a", "first", "one", "two"),
        event(type="exec_command_end", call_id="c", turn_id="a", command=["x"], stdout="output", exit_code=0),
        *turn("b", "second", "three"),
        event(type="thread_rolled_back", num_turns=1),
        *turn("c", " third\nline ", "four"),
    )
    said = [(message.turn_id, message.item_id, message.text) for message in said_in(path)]
    assert said == [
        ("a", "item-1", "first"),
        ("a", "item-2", "one"),
        ("a", "item-3", "two"),
        ("c", "item-4", "third line"),
        ("c", "item-5", "four"),
    ]


def test_stored_items_of_newer_versions_are_messages_too(home: Home) -> None:
    content = [{"type": "text", "text": "asked"}]
    path = write(
        home,
        1,
        event(type="task_started", turn_id="a"),
        event(type="item_completed", turn_id="a", item={"type": "UserMessage", "id": "u", "content": content}),
        event(
            type="item_completed",
            turn_id="a",
            item={"type": "AgentMessage", "id": "m", "content": [{"type": "Text", "text": "said"}]},
        ),
    )
    assert [(each.item_id, each.text) for each in said_in(path)] == [
        ("item-1", "asked"),
        ("item-2", "said"),
    ]


def test_the_newest_thread_comes_first_with_its_first_match(home: Home) -> None:
    write(home, 1, *turn("a", "about needles", "a NEEDLE"))
    write(home, 2, *turn("a", "nothing", "of the kind"))
    write(home, 3, *turn("a", "nothing", "but one needle"))
    assert walk(home, "needle") == [["but one needle", "about needles"]]
    assert walk(home, "needle", sort_direction="asc") == [["about needles", "but one needle"]]


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
def test_pages_neither_skip_nor_repeat_nor_end_with_an_empty_one(home: Home, limit: int) -> None:
    for number in range(1, 11):
        write(home, number, *turn("a", f"needle {number}" if number % 2 else "nothing"))
    found = walk(home, "needle", limit=limit)
    assert [snippet for page in found for snippet in page] == [f"needle {number}" for number in (9, 7, 5, 3, 1)]
    assert all(found)
    assert [len(page) for page in found[:-1]] == [limit] * (len(found) - 1)


def test_a_request_reads_a_bounded_amount_and_the_next_continues(home: Home) -> None:
    for number in range(1, 8):
        write(home, number, *turn("a", "needle" if number == 1 else "x" * 1000))
    found = walk(home, "needle", read_at_most=1500)
    assert len(found) > 2
    assert [snippet for page in found for snippet in page] == ["needle"]


def test_unreadable_rollouts_are_skipped(home: Home) -> None:
    write(home, 1, *turn("a", "needle"))
    broken = write(home, 2, *turn("a", "needle"))
    broken.write_bytes(broken.read_bytes() + b'{"type":"event_msg","pay')
    page = search(home, "needle")
    gone = evolve(page.data[0][0], path=home.path / "gone")
    wanted = SearchQuery("needle", ThreadQuery())
    listed = list_threads(home, ThreadQuery())
    with_gone = evolve(listed, data=[gone, *listed.data])
    assert len(search_threads(lambda _: with_gone, wanted, no_check).data) == len(page.data) == 2


def test_a_search_can_be_stopped(home: Home) -> None:
    write(home, 1, *turn("a", "x" * 100_000))
    write(home, 2, *turn("a", "needle"))

    def stop() -> None:
        raise KeyError

    for term in ("needle", "nowhere"):
        wanted = SearchQuery(term, ThreadQuery())
        with pytest.raises(KeyError):
            search_threads(lambda page: list_threads(home, page), wanted, stop)


def test_occurrences_are_paged_in_the_order_of_messages(home: Home) -> None:
    path = write(home, 1, *turn("a", "x and x", "y"), *turn("b", "none", "X"))
    places: list[tuple[str, str, int]] = []
    cursor = None
    for _ in range(3):
        page = occurrences(path, "t", "x", cursor, 1)
        places += [(each.message.turn_id, each.message.item_id, each.snippet.start) for each in page.data]
        cursor = page.next_cursor
    assert cursor is None
    assert places == [("a", "item-1", 0), ("a", "item-1", 6), ("b", "item-4", 0)]


def test_a_cursor_is_valid_for_its_thread_and_term_only(home: Home) -> None:
    path = write(home, 1, *turn("a", "x and x"))
    cursor = occurrences(path, "t", "x", None, 1).next_cursor
    for thread_id, term, given in (("u", "x", cursor), ("t", "y", cursor), ("t", "x", "x"), ("t", "x", "[]")):
        with pytest.raises(InvalidCursor):
            occurrences(path, thread_id, term, given, 1)


def test_messages_in_an_earlier_file_are_found_and_reverted_ones_are_not(home: Home) -> None:
    first = write(home, 1, *turn("a", "kept"), *turn("b", "taken back"))
    id = first.stem[-36:]
    data = first.read_bytes().replace(b'"source"', b'"history_mode": "paginated", "source"')
    end = data.index(b'{"timestamp": "", "type": "event_msg", "payload": {"type": "task_started", "turn_id": "b"')
    base = {"thread_id": id, "end_ordinal_exclusive": 4, "end_byte_offset": end}
    meta = encode_line("session_meta", {"id": id, "source": "cli", "history_mode": "paginated", "history_base": base})
    later = [json.dumps(line).encode() for line in turn("c", "said later")]
    first.with_name(f"rollout-2025-10-20T13-00-00-{id}_{id[:-1]}9.jsonl").write_bytes(meta + b"\n".join(later))
    first.with_name(first.name + ".zst").write_bytes(zstandard.ZstdCompressor().compress(data))
    first.unlink()
    assert [walk(home, term) for term in ("kept", "later", "taken")] == [[["kept"]], [["said later"]], [[]]]


def test_a_line_of_several_blocks_is_one_line(home: Home) -> None:
    long = "x" * 100_000 + " end"
    path = write(home, 1, *turn("a", long, "b"))
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    assert [message.text for message in said_in(path)] == [long, "b"]
