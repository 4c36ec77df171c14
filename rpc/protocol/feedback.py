"""Feedback of the user: saved as an archive, or sent to the vendor."""

from collections.abc import Mapping, Sequence

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.shapes import PathName


@frozen
class FeedbackSaveParams:
    """Write what the user says, and the files that go with it, to a new archive at `save_path`."""

    classification: str
    save_path: PathName
    extra_log_files: Sequence[PathName] | None = None
    include_logs: bool = False
    reason: str | None = None
    tags: Mapping[str, str] | None = None
    thread_id: str | None = None


@frozen
class FeedbackSaveResponse:
    """Where the archive is."""

    saved_path: str
    thread_id: str
    prompt_hash: str | None = None


@frozen
class FeedbackUploadParams:
    """Send what the user says to the vendor."""

    classification: str
    extra_log_files: Sequence[PathName] | None = None
    include_logs: bool = False
    reason: str | None = None
    tags: Mapping[str, str] | None = None
    thread_id: str | None = None


@frozen
class FeedbackUploadResponse:
    """The feedback is sent."""

    thread_id: str
    prompt_hash: str | None = None
