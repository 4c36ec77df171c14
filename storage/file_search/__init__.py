"""Find files by a few characters of their path: walk, match, rank. Everything here blocks; call it from a worker thread."""

from spindle.storage.file_search.ranking import LIMIT, RankedPath, best
from spindle.storage.file_search.walking import FoundPath, walk

__all__ = ["LIMIT", "FoundPath", "RankedPath", "best", "walk"]
