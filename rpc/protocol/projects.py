"""Projects: the user's groups of threads that belong to folders. From Codex 0.171. Times are Unix seconds."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, TypeAlias

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.shapes import U32, AbsolutePath
from spindle.rpc.protocol.turn_pages import SortDirection
from spindle.rpc.protocol.wire import Notification

ProjectSortKey: TypeAlias = Literal["position", "recencyAt"]
ProjectChangeType: TypeAlias = Literal["created", "updated", "deleted"]


@frozen
class ProjectRoot:
    """A folder of a project."""

    path: AbsolutePath


@frozen(kw_only=True)
class Project:
    """A project. `recency_at` is when a thread of it that is not archived changed last; None without one."""

    id: str
    name: str
    roots: Sequence[ProjectRoot]
    metadata: Mapping[str, str]
    created_at: int
    updated_at: int
    recency_at: int | None = None


@frozen(kw_only=True)
class ProjectCreateParams:
    """Create a project at the end of the list. A key that was used before answers with the project of that time."""

    idempotency_key: str
    name: str
    roots: Sequence[ProjectRoot]
    metadata: Mapping[str, str] | None = None


@frozen
class ProjectCreateResponse:
    """The project."""

    project: Project


@frozen(kw_only=True)
class ProjectImportParams:
    """Create a project and move threads into it."""

    idempotency_key: str
    name: str
    roots: Sequence[ProjectRoot]
    metadata: Mapping[str, str] | None = None
    threads: Sequence[str] | None = None


@frozen
class ProjectImportResponse:
    """The project."""

    project: Project


@frozen
class ProjectReadParams:
    """Read a project."""

    project_id: str


@frozen
class ProjectReadResponse:
    """The project."""

    project: Project


@frozen
class ProjectListParams:
    """Page through the projects, in the user's order by default. By `recencyAt`, projects without threads are last."""

    cursor: str | None = None
    limit: U32 | None = None
    sort_key: ProjectSortKey | None = None
    sort_direction: SortDirection | None = None


@frozen
class ProjectListResponse:
    """One page."""

    data: Sequence[Project]
    next_cursor: str | None = None


@frozen
class ProjectUpdateParams:
    """Change a project. What is None stays."""

    project_id: str
    name: str | None = None
    roots: Sequence[ProjectRoot] | None = None
    metadata: Mapping[str, str] | None = None


@frozen
class ProjectUpdateResponse:
    """The changed project."""

    project: Project


@frozen
class ProjectMoveParams:
    """Move a project before another one, or to the end."""

    project_id: str
    before_project_id: str | None = None


@frozen
class ProjectMoveResponse:
    """The project was moved."""


@frozen
class ProjectDeleteParams:
    """Delete a project. Its threads are kept, without a project."""

    project_id: str


@frozen
class ProjectDeleteResponse:
    """The project was deleted."""


@frozen
class ProjectChangedNotification(Notification):
    """A project was created, changed, moved or deleted."""

    METHOD: ClassVar[str] = "project/changed"

    project_id: str
    change_type: ProjectChangeType


@frozen
class ThreadProjectUpdatedNotification(Notification):
    """A thread has another project, or none."""

    METHOD: ClassVar[str] = "thread/project/updated"

    thread_id: str
    project_id: str | None
