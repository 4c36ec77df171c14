"""Stored threads seen from outside: where a thread's rollout is, what its head says, lists of them, the archive, names.

Everything here blocks on the disk; callers run it in a worker thread. Nothing needs a lock to read.
"""

from spindle.storage.threads.archive import archive, unarchive
from spindle.storage.threads.codex_database import tell_codex
from spindle.storage.threads.errors import (
    ArchiveConflict,
    EmptyRollout,
    InvalidCursor,
    NoArchivedRollout,
    NoRollout,
    NoSessionMeta,
    StoredThreadError,
)
from spindle.storage.threads.lineage import Lineage, lineage
from spindle.storage.threads.listing import TooMuchToRead, list_threads
from spindle.storage.threads.locate import RolloutName, locate, locate_archived, locate_file
from spindle.storage.threads.metadata import append_to_stored, latest_meta
from spindle.storage.threads.names import read_names, record_name
from spindle.storage.threads.query import ThreadPage, ThreadQuery
from spindle.storage.threads.removal import remove
from spindle.storage.threads.reverting import Revert, write_segment
from spindle.storage.threads.section_listing import PlacedThread, list_section
from spindle.storage.threads.summary import StoredGit, ThreadSummary, git_of, read_summary

__all__ = [
    "ArchiveConflict",
    "EmptyRollout",
    "InvalidCursor",
    "NoArchivedRollout",
    "NoRollout",
    "NoSessionMeta",
    "StoredThreadError",
    "Lineage",
    "PlacedThread",
    "Revert",
    "RolloutName",
    "StoredGit",
    "ThreadPage",
    "ThreadQuery",
    "ThreadSummary",
    "append_to_stored",
    "TooMuchToRead",
    "archive",
    "git_of",
    "latest_meta",
    "lineage",
    "list_section",
    "list_threads",
    "locate",
    "locate_archived",
    "locate_file",
    "read_names",
    "read_summary",
    "record_name",
    "remove",
    "tell_codex",
    "unarchive",
    "write_segment",
]
