"""thread/search and thread/searchOccurrences: finding what was said."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import trio

from spindle.actors.clients.identity import thread_id
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.registry.lists import search_stored
from spindle.actors.registry.stored import rollout_of
from spindle.rpc.protocol.errors import internal_error, invalid_request
from spindle.rpc.protocol.search import (
    ThreadSearchOccurrence,
    ThreadSearchOccurrencesParams,
    ThreadSearchOccurrencesResponse,
    ThreadSearchParams,
    ThreadSearchResponse,
    ThreadSearchResult,
    ThreadSearchTextRange,
)
from spindle.storage.rollout.compressed import existing
from spindle.storage.rollout.source import Source
from spindle.storage.search import Occurrence, find_occurrences
from spindle.storage.threads.query import ThreadQuery
from spindle.storage.threads.thread_errors import StoredThreadError

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller
    from spindle.actors.registry.backend import Backend


def search(caller: Caller, params: ThreadSearchParams, reply: Reply[Any]) -> None:
    """thread/search"""
    term = _term(params.search_term, "thread/search")
    query = ThreadQuery(
        cursor=params.cursor,
        limit=params.limit,
        sort_key=params.sort_key or "created_at",
        sort_direction=params.sort_direction or "desc",
        model_providers=(),
        source_kinds=params.source_kinds,
        archived=bool(params.archived),
    )
    caller.later(reply, lambda: _search(caller.backend, term, query))


async def _search(backend: Backend, term: str, query: ThreadQuery) -> ThreadSearchResponse:
    page = await search_stored(backend, term, query)
    data = [ThreadSearchResult(thread, snippet) for thread, snippet in page.data]
    return ThreadSearchResponse(data, page.next_cursor, page.backwards_cursor)


def occurrences(caller: Caller, params: ThreadSearchOccurrencesParams, reply: Reply[Any]) -> None:
    """thread/searchOccurrences: of any stored thread, loaded or not, archived ones too."""
    term = _term(params.search_term, "thread/searchOccurrences")
    id, backend = thread_id(params.thread_id), caller.backend

    def work(path: Path) -> ThreadSearchOccurrencesResponse:
        check = trio.from_thread.check_cancelled
        with closing(Source(existing(path), backend.services.outliner.find)) as source:
            page = find_occurrences(source, id, term, params.cursor, params.limit, check)
        return ThreadSearchOccurrencesResponse([_shown(each) for each in page.data], page.next_cursor)

    async def run() -> ThreadSearchOccurrencesResponse:
        try:
            path = await rollout_of(backend, id, ephemeral=f"ephemeral thread does not support search: {id}")
            if path is None:
                raise invalid_request(f"thread not found: {id}")
            return await trio.to_thread.run_sync(work, path)
        except StoredThreadError as error:
            raise invalid_request(str(error)) from error
        except FileNotFoundError:  # a thread without a turn has said nothing yet
            return ThreadSearchOccurrencesResponse(())
        except OSError as error:
            raise internal_error(f"failed to search thread {id}: {error}") from error

    caller.later(reply, run)


def _shown(each: Occurrence) -> ThreadSearchOccurrence:
    cursor = orjson.dumps({"turnId": each.message.turn_id, "includeAnchor": True}).decode()
    return ThreadSearchOccurrence(
        turn_id=each.message.turn_id,
        item_id=each.message.item_id,
        snippet=each.snippet.text,
        snippet_match_range=ThreadSearchTextRange(each.snippet.start, each.snippet.end),
        turn_cursor=cursor,
    )


def _term(text: str, method: str) -> str:
    if not text.strip():
        raise invalid_request(f"{method} requires a non-empty searchTerm")
    return text.strip()
