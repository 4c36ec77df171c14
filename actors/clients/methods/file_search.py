"""fuzzyFileSearch and fuzzyFileSearch/session*: files by a few characters of their path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spindle.actors.clients.files.searches import FileSearches
from spindle.actors.kernel.mailbox import Reply
from spindle.rpc.protocol.file_search import (
    FuzzyFileSearchParams,
    FuzzyFileSearchSessionStartParams,
    FuzzyFileSearchSessionStartResponse,
    FuzzyFileSearchSessionStopParams,
    FuzzyFileSearchSessionStopResponse,
    FuzzyFileSearchSessionUpdateParams,
    FuzzyFileSearchSessionUpdateResponse,
)

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller


def search(caller: Caller, params: FuzzyFileSearchParams, reply: Reply[Any]) -> None:
    """fuzzyFileSearch"""
    searches = caller.own(FileSearches)
    caller.later(reply, lambda: searches.once(params.query, params.roots, params.cancellation_token))


def start(caller: Caller, params: FuzzyFileSearchSessionStartParams, reply: Reply[Any]) -> None:
    """fuzzyFileSearch/sessionStart"""
    caller.own(FileSearches).start(params.session_id, params.roots)
    reply.resolve(FuzzyFileSearchSessionStartResponse())


def update(caller: Caller, params: FuzzyFileSearchSessionUpdateParams, reply: Reply[Any]) -> None:
    """fuzzyFileSearch/sessionUpdate"""
    caller.own(FileSearches).update(params.session_id, params.query)
    reply.resolve(FuzzyFileSearchSessionUpdateResponse())


def stop(caller: Caller, params: FuzzyFileSearchSessionStopParams, reply: Reply[Any]) -> None:
    """fuzzyFileSearch/sessionStop"""
    caller.own(FileSearches).stop(params.session_id)
    reply.resolve(FuzzyFileSearchSessionStopResponse())
