"""initialize: who the client is, who we are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle.actors.clients.caller import ClientSession
from spindle.actors.settings.client import ClientName
from spindle.rpc.protocol.catalog import EXPERIMENTAL_NOTIFICATIONS
from spindle.rpc.protocol.errors import invalid_request
from spindle.rpc.protocol.initialize import InitializeCapabilities, InitializeParams, InitializeResponse, ServerInfo
from spindle.rpc.protocol.user_agent import PLATFORM_FAMILY, is_header_value, platform_os, user_agent

if TYPE_CHECKING:
    from spindle.actors.registry.backend import Backend


def initialize(backend: Backend, params: InitializeParams) -> tuple[ClientSession, InitializeResponse]:
    """Check the client's name (it becomes an HTTP header value towards the model) and answer."""
    info = params.client_info
    if not is_header_value(info.name):
        raise invalid_request(f"Invalid clientInfo.name: '{info.name}'. Must be a valid HTTP header value.")
    agent = user_agent(info.name, info.version)
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
        platform_family=PLATFORM_FAMILY,
        platform_os=platform_os(),
        server_info=ServerInfo(name=info.name, version=backend.version),
    )
