"""Finding what was said, in the rollouts themselves. Blocks on the disk; callers run it in a worker thread.

The work is done in blocks with a read between any two, so that the interpreter's other threads get their turn.
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
