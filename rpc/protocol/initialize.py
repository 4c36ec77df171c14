"""The handshake: who the client is, what it can take, and who answers."""

from collections.abc import Sequence

from attrs import field, frozen


@frozen
class ClientInfo:
    """The client; `name` also becomes the originator that the model's provider is told."""

    name: str
    version: str
    title: str | None = None


@frozen
class InitializeCapabilities:
    """What the client opts into. Notification methods are exact names; unknown ones are accepted."""

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
