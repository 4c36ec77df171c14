"""Threads with a term in their messages, in the order of `thread/list`.

A request does a bounded amount of work. When it has read too much, it ends its page early, with a cursor to continue.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Final

from attrs import evolve

from spindle.rpc.lazy_class import frozen
from spindle.storage.rollout.compressed import existing
from spindle.storage.rollout.source import Find, Source
from spindle.storage.search.messages import may_hold, messages
from spindle.storage.search.needle import Needle, snippet
from spindle.storage.threads.query import DEFAULT_LIMIT, LARGEST_LIMIT, ThreadPage, ThreadQuery
from spindle.storage.threads.summary import ThreadSummary
from spindle.storage.threads.thread_errors import is_passing

READ_AT_MOST: Final = 512 * 1024 * 1024
"""The most bytes of rollouts that one request reads; the last rollout is read to its end."""


@frozen
class SearchQuery:
    """The search. `threads` gives the threads, their order and the start; its limit counts results."""

    term: str
    threads: ThreadQuery
    read_at_most: int = READ_AT_MOST


@frozen
class SearchPage:
    """Threads, each with the text around its first match. The cursors are those of the list of threads."""

    data: Sequence[tuple[ThreadSummary, str]]
    next_cursor: str | None
    backwards_cursor: str | None


def search_threads(
    list_page: Callable[[ThreadQuery], ThreadPage],
    query: SearchQuery,
    check: Callable[[], None],
    find: Find | None = None,
    on_found: Callable[[ThreadSummary, str], None] | None = None,
) -> SearchPage:
    """One page. `list_page` lists threads; `check` is called regularly, and may raise to stop.

    `find` locates the file that another one continues. `on_found` gets each result when it is found.

    Rollouts that cannot be read are skipped. Raises the errors of `list_page`.
    """
    wanted = DEFAULT_LIMIT if query.threads.limit is None else min(max(query.threads.limit, 1), LARGEST_LIMIT)
    needle = Needle(query.term)
    found: list[tuple[ThreadSummary, str]] = []
    listing = evolve(query.threads, limit=LARGEST_LIMIT, search_term=None)
    last: tuple[ThreadQuery, int] | None = (
        None  # the page of the last result, and the number of its threads up to that result
    )
    backwards: str | None = None
    read = 0
    while True:
        page = list_page(listing)
        for place, thread in enumerate(page.data, 1):
            first, size = _first(thread, needle, check, find)
            read += size
            if first is not None:
                if len(found) == wanted:
                    assert last is not None
                    return SearchPage(found, _after(list_page, *last), backwards)
                backwards = backwards or page.backwards_cursor
                found.append((thread, first))
                if on_found is not None:
                    on_found(thread, first)
                last = listing, place
            if read > query.read_at_most:
                return SearchPage(
                    found, _after(list_page, *(last if len(found) == wanted and last else (listing, place))), backwards
                )
        if page.next_cursor is None:
            return SearchPage(found, None, backwards)
        listing = evolve(listing, cursor=page.next_cursor)


def _after(list_page: Callable[[ThreadQuery], ThreadPage], page: ThreadQuery, threads: int) -> str | None:
    return list_page(evolve(page, limit=threads)).next_cursor


def _first(
    thread: ThreadSummary, needle: Needle, check: Callable[[], None], find: Find | None
) -> tuple[str | None, int]:
    try:
        with closing(Source(existing(thread.path), find)) as source:
            worthwhile, read = may_hold(source, needle, check)
            for message in messages(source, check) if worthwhile else ():
                if matches := needle.matches(message.text):
                    return snippet(message.text, matches[0]).text, read
    except OSError as error:
        if is_passing(error):
            raise
        return None, 0
    return None, read
