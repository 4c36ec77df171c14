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
McpServerConnectionStatus: TypeAlias = Literal[
    "notStarted", "starting", "connected", "authenticationRequired", "failed", "cancelled", "disabled"
]
McpServerStartupFailureReason: TypeAlias = Literal["reauthenticationRequired"]
McpServerOauthClientRegistration: TypeAlias = Literal["auto", "cimd", "dcr"]
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
    thread_id: str | None = field(default=None, kw_only=True)
    environment_id: str | None = field(default=None, kw_only=True)
    failure_reason: McpServerStartupFailureReason | None = field(default=None, kw_only=True)


@frozen
class ListMcpServerStatusParams:
    """Parameters of mcpServerStatus/list."""

    cursor: str | None = None
    limit: U32 | None = None
    detail: McpServerStatusDetail | None = None
    server_name: str | None = None
    """The only server to list."""
    environment_id: str | None = None
    """The environment of that server. Servers of plugins are in `local`, others in none."""
    thread_id: str | None = None
    """The thread whose connections are listed. Without a thread the servers are started for this request."""


@frozen(kw_only=True)
class McpServerInfo:
    """What a server says of itself."""

    name: str
    title: str | None = None
    version: str
    description: str | None = None
    icons: Sequence[object] | None = None
    website_url: str | None = None


@frozen(kw_only=True)
class McpServerStatus:
    """The tools (by name), resources and authentication of a configured server.

    `runtime_status` is that of the thread's connection. `tool_list_meta` is `_meta` of the first page of tools.
    """

    name: str
    environment_id: str | None = None
    runtime_status: McpServerConnectionStatus | None = None
    plugin_id: str | None = None
    http_origin: str | None = None
    server_info: McpServerInfo | None = None
    server_capabilities: object = None
    tool_list_meta: object = None
    tools: Mapping[str, JsonObject]
    tools_error: str | None = None
    resources: Sequence[JsonObject]
    resource_templates: Sequence[JsonObject]
    auth_status: McpAuthStatus


@frozen
class ListMcpServerStatusResponse:
    """One page, ordered by name."""

    data: Sequence[McpServerStatus]
    next_cursor: str | None = None


@frozen(kw_only=True)
class McpResourceReadTarget:
    """An account of a hosted app."""

    connector_id: str
    link_id: str | None = field(metadata={"required": True})


@frozen
class McpResourceReadParams:
    """Parameters of mcpServer/resource/read; without a thread the configured server is started for this request."""

    thread_id: str | None = None
    server: str = field(kw_only=True)
    uri: str = field(kw_only=True)
    environment_id: str | None = field(default=None, kw_only=True)
    meta: JsonObject | None = field(default=None, kw_only=True, metadata=_META)
    connector_id: str | None = field(default=None, kw_only=True)
    origin_call_id: str | None = field(default=None, kw_only=True)
    target: McpResourceReadTarget | None = field(default=None, kw_only=True)
    """For hosted apps, which do not exist here."""


@frozen
class McpResourceReadResponse:
    """The contents of a resource. `origin_call_id` is for hosted apps."""

    contents: Sequence[JsonObject]
    origin_call_id: str | None = None


@frozen
class McpServerToolCallParams:
    """Parameters of mcpServer/tool/call: a call by the client, which is not part of the conversation."""

    thread_id: str
    server: str
    tool: str
    arguments: object = None
    meta: object = field(default=None, metadata=_META)
    environment_id: str | None = None


@frozen
class McpServerToolCallResponse:
    """The tool's result."""

    content: Sequence[object]
    structured_content: object = field(default=None, metadata=_OPTIONAL)
    is_error: bool | None = field(default=None, metadata=_OPTIONAL)
    meta: object = field(default=None, metadata=_META | _OPTIONAL)


@frozen
class McpServerOauthLoginParams:
    """Parameters of mcpServer/oauth/login: log in to a server over HTTP."""

    name: str
    scopes: Sequence[str] | None = None
    timeout_secs: int | None = None
    client_registration: McpServerOauthClientRegistration | None = None
    environment_id: str | None = None
    thread_id: str | None = None
    """The thread whose configuration has the server."""


@frozen
class McpServerOauthLoginResponse:
    """The page to open in a browser."""

    authorization_url: str
    login_id: str | None = None


@frozen(kw_only=True)
class McpServerOauthLoginCompletedNotification(Notification):
    """A login to a server is over."""

    METHOD: ClassVar[str] = "mcpServer/oauthLogin/completed"

    name: str
    thread_id: str | None = None
    login_id: str | None = None
    success: bool
    error: str | None = field(default=None, metadata=_OPTIONAL)


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
