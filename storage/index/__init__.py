"""The thread index: a cache in SQLite of what lists, searches and readers need to know of the rollouts of a home.

It may be deleted at any time; it is made again from the files.
"""

from spindle.storage.index.file import IndexUnavailable
from spindle.storage.index.index import ThreadIndex
from spindle.storage.index.outlines import Outlines

__all__ = ["IndexUnavailable", "Outlines", "ThreadIndex"]
