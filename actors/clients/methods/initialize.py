"""initialize: who the client is, who we are."""

from __future__ import annotations

import platform
import re
from typing import TYPE_CHECKING

from spindle.actors.clients.caller import ClientSession
from spindle.actors.settings.client import ClientName
from spindle.rpc.protocol.catalog import EXPERIMENTAL_NOTIFICATIONS
from spindle.rpc.protocol.errors import invalid_request
from spindle.rpc.protocol.initialize import InitializeCapabilities, InitializeParams, InitializeResponse, ServerInfo

if TYPE_CHECKING:
    from spindle.actors.registry.backend import Backend

_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\U0010ffff]+")


def initialize(backend: Backend, params: InitializeParams) -> tuple[ClientSession, InitializeResponse]:
    """Check the client's name (it becomes an HTTP header value towards the model) and answer."""
    info = params.client_info
    if not _HEADER_VALUE.fullmatch(info.name):
        raise invalid_request(f"Invalid clientInfo.name: '{info.name}'. Must be a valid HTTP header value.")
    agent = user_agent(info.name, info.version, backend.version)
    capabilities = params.capabilities or InitializeCapabilities()
    unwanted = frozenset(capabilities.opt_out_notification_methods or ())
    session = ClientSession(
        ClientName(originator=info.name, user_agent=agent),
        capabilities.experimental_api,
        unwanted if capabilities.experimental_api else unwanted | EXPERIMENTAL_NOTIFICATIONS,
    )
    return session, InitializeResponse(
        user_agent=agent,
        codex_home=str(backend.home.path),
        platform_family="unix",
        platform_os={"Darwin": "macos"}.get(platform.system(), platform.system().lower()),
        server_info=ServerInfo(name=info.name, version=backend.version),
    )


def user_agent(name: str, version: str, own_version: str) -> str:
    """`<client>/<our protocol version> (<system>; <machine>) spindle (<client>; <client version>)`."""
    return f"{name}/{own_version} ({platform.system()} {platform.release()}; {platform.machine()}) spindle ({name}; {version})"
