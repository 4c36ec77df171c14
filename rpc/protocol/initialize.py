"""The handshake: the client's name and capabilities, and the server's."""

from collections.abc import Sequence

from attrs import field

from spindle.rpc.lazy_class import frozen


@frozen
class ClientInfo:
    """The client; `name` is also the originator in requests to the model's provider."""

    name: str
    version: str
    title: str | None = None


@frozen
class InitializeCapabilities:
    """The client's options. Notification methods are exact names; unknown names are accepted."""

    experimental_api: bool = False
    opt_out_notification_methods: Sequence[str] | None = None


@frozen
class InitializeParams:
    """The first request of a connection."""

    client_info: ClientInfo
    capabilities: InitializeCapabilities | None = None


@frozen
class ServerInfo:
    """The server's name and version, for clients newer than the reference."""

    name: str
    version: str


@frozen
class InitializeResponse:
    """`user_agent` begins with `<client name>/<version>`; clients read the version from it."""

    user_agent: str
    codex_home: str
    platform_family: str
    platform_os: str
    server_info: ServerInfo | None = field(default=None, metadata={"omit_none": True})
