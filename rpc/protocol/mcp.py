"""MCP servers as clients see them: their status, resources and tools, and what is asked of the user on their behalf.

Tools, resources and contents are JSON in the shape of the Model Context Protocol, handed through as the servers sent it.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, TypeAlias

from attrs import field, frozen

from spindle.rpc.protocol.shapes import U32, JsonObject

McpServerStartupState: TypeAlias = Literal["starting", "ready", "failed", "cancelled"]
McpAuthStatus: TypeAlias = Literal["unsupported", "notLoggedIn", "bearerToken", "oAuth"]
McpServerStatusDetail: TypeAlias = Literal["full", "toolsAndAuthOnly"]
McpServerElicitationAction: TypeAlias = Literal["accept", "decline", "cancel"]

_OPTIONAL = {"omit_none": True}
_META = {"wire": "_meta"}


@frozen
class McpServerStatusUpdatedNotification:
    """A server of a thread starts, is ready, or is not going to be, for the reason given."""

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
    """The only server to tell of."""


@frozen
class McpServerStatus:
    """What a configured server offers; tools by their own names."""

    name: str
    tools: Mapping[str, JsonObject]
    resources: Sequence[JsonObject]
    resource_templates: Sequence[JsonObject]
    auth_status: McpAuthStatus


@frozen
class ListMcpServerStatusResponse:
    """One page, by name."""

    data: Sequence[McpServerStatus]
    next_cursor: str | None = None


@frozen
class McpResourceReadParams:
    """Parameters of mcpServer/resource/read; without a thread the configured server is asked by itself."""

    thread_id: str | None = None
    server: str = field(kw_only=True)
    uri: str = field(kw_only=True)


@frozen
class McpResourceReadResponse:
    """What a resource holds."""

    contents: Sequence[JsonObject]


@frozen
class McpServerToolCallParams:
    """Parameters of mcpServer/tool/call: a call by the client itself, of which the thread's conversation knows nothing."""

    thread_id: str
    server: str
    tool: str
    arguments: object = None
    meta: object = field(default=None, metadata=_META)


@frozen
class McpServerToolCallResponse:
    """What the tool answered."""

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
class McpServerRefreshResponse:
    """config/mcpServer/reload was noted."""


@frozen(kw_only=True)
class McpFormElicitationParams:
    """A server asks the user to fill in a form, or the agent asks whether it may call a tool."""

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
    """What the user did with it; `content` holds what a form was filled in with."""

    action: McpServerElicitationAction
    content: object = None
    meta: object = field(default=None, metadata=_META)
