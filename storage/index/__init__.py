"""The thread index: a cache in SQLite of the facts about a home's rollouts that lists, searches and readers need.

It may be deleted at any time; it is rebuilt from the files.
"""

from spindle.storage.index.file import IndexUnavailable
from spindle.storage.index.index import ThreadIndex
from spindle.storage.index.outlines import Outlines

__all__ = ["IndexUnavailable", "Outlines", "ThreadIndex"]
