"""Find files by a few characters of their path, for a client that completes what its user types."""

from collections.abc import Sequence
from typing import ClassVar, Literal, TypeAlias

from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.wire import Notification

FuzzyFileSearchMatchType: TypeAlias = Literal["file", "directory"]


@frozen
class FuzzyFileSearchParams:
    """Search once. A search with the same `cancellation_token` as a running one ends that."""

    query: str
    roots: Sequence[str]
    cancellation_token: str | None = None


@frozen
class FuzzyFileSearchResult:
    """A match. `indices` are the positions of the matched characters in `path`, which is relative to `root`."""

    root: str
    path: str
    match_type: FuzzyFileSearchMatchType = field(metadata={"wire": "match_type"})
    file_name: str = field(metadata={"wire": "file_name"})
    score: int
    indices: Sequence[int] | None


@frozen
class FuzzyFileSearchResponse:
    """The best matches, best first."""

    files: Sequence[FuzzyFileSearchResult]


@frozen
class FuzzyFileSearchSessionStartParams:
    """Read the folders once, for any number of queries."""

    session_id: str
    roots: Sequence[str]


@frozen
class FuzzyFileSearchSessionStartResponse:
    """The session has started."""


@frozen
class FuzzyFileSearchSessionUpdateParams:
    """Search for another query. The search for the query before ends."""

    session_id: str
    query: str


@frozen
class FuzzyFileSearchSessionUpdateResponse:
    """The search has started."""


@frozen
class FuzzyFileSearchSessionStopParams:
    """End a session."""

    session_id: str


@frozen
class FuzzyFileSearchSessionStopResponse:
    """The session has ended."""


@frozen
class FuzzyFileSearchSessionUpdatedNotification(Notification):
    """The best matches of a query so far."""

    METHOD: ClassVar[str] = "fuzzyFileSearch/sessionUpdated"
    session_id: str
    query: str
    files: Sequence[FuzzyFileSearchResult]


@frozen
class FuzzyFileSearchSessionCompletedNotification(Notification):
    """The folders are read, and the last matches are those of all files."""

    METHOD: ClassVar[str] = "fuzzyFileSearch/sessionCompleted"
    session_id: str
