"""The permission profiles that a client can choose."""

from collections.abc import Sequence

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.shapes import U32, PathName


@frozen
class PermissionProfileListParams:
    """Parameters of permissionProfile/list; `cwd` adds the profiles of that project."""

    cursor: str | None = None
    cwd: PathName | None = None
    limit: U32 | None = None


@frozen
class PermissionProfileSummary:
    """A profile; `allowed` by the administrator's requirements."""

    id: str
    description: str | None
    allowed: bool


@frozen
class PermissionProfileListResponse:
    """A page of profiles."""

    data: Sequence[PermissionProfileSummary]
    next_cursor: str | None = None
