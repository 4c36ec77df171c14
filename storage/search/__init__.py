"""Search the messages in rollouts. Everything here blocks; call it from a worker thread.

The work is done in blocks with a read in between, so that other threads of the interpreter can run.
"""

from spindle.storage.search.needle import Needle
from spindle.storage.search.occurrences import Occurrence, OccurrencePage, find_occurrences
from spindle.storage.search.threads import SearchPage, SearchQuery, search_threads

__all__ = [
    "Needle",
    "Occurrence",
    "OccurrencePage",
    "SearchPage",
    "SearchQuery",
    "find_occurrences",
    "search_threads",
]
