"""MCP servers as clients see them: status, resources, tools, and elicitations.

Tools, resources and contents are JSON of the Model Context Protocol, unchanged.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, TypeAlias

from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.shapes import U32, JsonObject
from spindle.rpc.protocol.wire import Notification

McpServerStartupState: TypeAlias = Literal["starting", "ready", "failed", "cancelled"]
McpAuthStatus: TypeAlias = Literal["unsupported", "notLoggedIn", "bearerToken", "oAuth"]
McpServerStatusDetail: TypeAlias = Literal["full", "toolsAndAuthOnly"]
McpServerElicitationAction: TypeAlias = Literal["accept", "decline", "cancel"]

_OPTIONAL = {"omit_none": True}
_META = {"wire": "_meta"}


@frozen
class McpServerStatusUpdatedNotification(Notification):
    """The status of a thread's server changed: starting, ready, or failed with a reason."""

    METHOD: ClassVar[str] = "mcpServer/startupStatus/updated"

    name: str
    status: McpServerStartupState
    error: str | None = None


@frozen
class ListMcpServerStatusParams:
    """Parameters of mcpServerStatus/list."""

    cursor: str | None = None
    limit: U32 | None = None
    detail: McpServerStatusDetail | None = None
    server_name: str | None = None
    """The only server to list."""


@frozen
class McpServerStatus:
    """The tools (by name), resources and authentication of a configured server."""

    name: str
    tools: Mapping[str, JsonObject]
    resources: Sequence[JsonObject]
    resource_templates: Sequence[JsonObject]
    auth_status: McpAuthStatus


@frozen
class ListMcpServerStatusResponse:
    """One page, ordered by name."""

    data: Sequence[McpServerStatus]
    next_cursor: str | None = None


@frozen
class McpResourceReadParams:
    """Parameters of mcpServer/resource/read; without a thread the configured server is started for this request."""

    thread_id: str | None = None
    server: str = field(kw_only=True)
    uri: str = field(kw_only=True)


@frozen
class McpResourceReadResponse:
    """The contents of a resource."""

    contents: Sequence[JsonObject]


@frozen
class McpServerToolCallParams:
    """Parameters of mcpServer/tool/call: a call by the client, which is not part of the conversation."""

    thread_id: str
    server: str
    tool: str
    arguments: object = None
    meta: object = field(default=None, metadata=_META)


@frozen
class McpServerToolCallResponse:
    """The tool's result."""

    content: Sequence[object]
    structured_content: object = field(default=None, metadata=_OPTIONAL)
    is_error: bool | None = field(default=None, metadata=_OPTIONAL)
    meta: object = field(default=None, metadata=_META | _OPTIONAL)


@frozen
class McpServerOauthLoginParams:
    """Parameters of mcpServer/oauth/login."""

    name: str
    scopes: Sequence[str] | None = None
    timeout_secs: int | None = None


@frozen
class McpServerOauthLoginResponse:
    """The page to open in a browser."""

    authorization_url: str


@frozen
class McpServerRefreshResponse:
    """The reload is scheduled."""


@frozen(kw_only=True)
class McpFormElicitationParams:
    """A server asks the user to fill in a form, or the agent asks for approval to call a tool."""

    METHOD: ClassVar[str] = "mcpServer/elicitation/request"

    thread_id: str
    turn_id: str | None = None
    server_name: str
    mode: Literal["form"] = field(default="form", init=False)
    meta: object = field(default=None, metadata=_META)
    message: str
    requested_schema: JsonObject


@frozen(kw_only=True)
class McpUrlElicitationParams:
    """A server asks the user to visit a page."""

    METHOD: ClassVar[str] = "mcpServer/elicitation/request"

    thread_id: str
    turn_id: str | None = None
    server_name: str
    mode: Literal["url"] = field(default="url", init=False)
    meta: object = field(default=None, metadata=_META)
    message: str
    url: str
    elicitation_id: str


@frozen
class McpServerElicitationRequestResponse:
    """The user's answer; `content` are the values of a form."""

    action: McpServerElicitationAction
    content: object = None
    meta: object = field(default=None, metadata=_META)
