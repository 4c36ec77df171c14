"""thread/search*: finding what was said."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson
import trio

from spindle.actors.clients.cancelling import Cancellable
from spindle.actors.clients.identity import thread_id
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.registry.lists import described, search_stored
from spindle.actors.registry.stored import rollout_of
from spindle.rpc.protocol.errors import INVALID_PARAMS, RpcError, internal_error, invalid_request
from spindle.rpc.protocol.search import (
    ThreadSearchCancelParams,
    ThreadSearchCancelResponse,
    ThreadSearchOccurrence,
    ThreadSearchOccurrencesParams,
    ThreadSearchOccurrencesResponse,
    ThreadSearchParams,
    ThreadSearchPartialNotification,
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
    from spindle.rpc.protocol.envelope import RequestId
    from spindle.storage.threads.summary import ThreadSummary

LONGEST: Final = 65_536
"""Bytes of a search term in UTF-8."""
BETWEEN: Final = 0.1
"""Seconds between two reports of a search that runs."""

_SEARCH: Final = "thread/search"
_STREAM: Final = "thread/search/stream"
_CANCELLED: Final = invalid_request("thread search cancelled")


def search(caller: Caller, params: ThreadSearchParams, reply: Reply[Any]) -> None:
    """thread/search"""
    backend, term, query = caller.backend, _term(params.search_term, _SEARCH), _query(params)
    caller.own(Cancellable).run(_SEARCH, reply, lambda: _search(backend, term, query), _CANCELLED)


def stream(caller: Caller, params: ThreadSearchParams, reply: Reply[Any]) -> None:
    """thread/search/stream: as `thread/search`, with `thread/search/partial` while it runs."""
    term, query, id = _term(params.search_term, _SEARCH), _query(params), caller.request_id
    if len(term.encode("utf-8", "surrogatepass")) > LONGEST:
        raise RpcError(INVALID_PARAMS, f"{_STREAM} searchTerm exceeds {LONGEST} UTF-8 bytes")
    caller.own(Cancellable).run(_STREAM, reply, lambda: _stream(caller, id, term, query), _CANCELLED)


def cancel(caller: Caller, params: ThreadSearchCancelParams, reply: Reply[Any]) -> None:
    """thread/search/cancel"""
    caller.own(Cancellable).cancel(_SEARCH, params.request_id)
    reply.resolve(ThreadSearchCancelResponse())


def cancel_stream(caller: Caller, params: ThreadSearchCancelParams, reply: Reply[Any]) -> None:
    """thread/search/stream/cancel"""
    caller.own(Cancellable).cancel(_STREAM, params.request_id)
    reply.resolve(ThreadSearchCancelResponse())


def _query(params: ThreadSearchParams) -> ThreadQuery:
    return ThreadQuery(
        cursor=params.cursor,
        limit=params.limit,
        sort_key=params.sort_key or "created_at",
        sort_direction=params.sort_direction or "desc",
        model_providers=(),
        source_kinds=params.source_kinds,
        archived=bool(params.archived),
    )


async def _stream(caller: Caller, id: RequestId, term: str, query: ThreadQuery) -> ThreadSearchResponse:
    found: list[tuple[ThreadSummary, str]] = []  # filled by the worker thread that searches

    async def report() -> None:
        sent = 0
        while True:
            await trio.sleep(BETWEEN)
            rows = found[sent:]
            sent += len(rows)
            if rows:
                data = [ThreadSearchResult(*row) for row in await described(caller.backend, rows)]
                caller.notify(ThreadSearchPartialNotification(id, data))

    outcome: ThreadSearchResponse | Exception
    async with trio.open_nursery() as nursery:
        nursery.start_soon(report)
        try:
            outcome = await _search(caller.backend, term, query, lambda row, snippet: found.append((row, snippet)))
        except Exception as error:  # raised in here it would come as a group
            outcome = error
        nursery.cancel_scope.cancel()
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


async def _search(
    backend: Backend, term: str, query: ThreadQuery, on_found: Callable[[ThreadSummary, str], None] | None = None
) -> ThreadSearchResponse:
    page = await search_stored(backend, term, query, on_found)
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
