"""account/gatewayOAuth/read and account/bedrock/discover: what this machine knows of clouds that have models."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import trio

from spindle.actors.kernel.mailbox import Reply
from spindle.rpc.protocol.cloud_providers import (
    BedrockAwsProfile,
    BedrockDiscoverParams,
    BedrockDiscoverResponse,
    BedrockEnvironmentCredential,
    GatewayOAuthReadParams,
    GatewayOAuthReadResponse,
)
from spindle.storage.aws import environment_credentials, profiles

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller


def read_gateway(caller: Caller, params: GatewayOAuthReadParams, reply: Reply[Any]) -> None:
    """account/gatewayOAuth/read: no provider of Spindle has a gateway."""

    async def work() -> GatewayOAuthReadResponse:
        config = await trio.to_thread.run_sync(caller.backend.config, abandon_on_cancel=True)
        return GatewayOAuthReadResponse(config.model_provider, config.provider.name, False)

    caller.later(reply, work)


def discover_aws(caller: Caller, params: BedrockDiscoverParams, reply: Reply[Any]) -> None:
    """account/bedrock/discover"""

    async def work() -> BedrockDiscoverResponse:
        found = await trio.to_thread.run_sync(profiles, os.environ, abandon_on_cancel=True)
        return BedrockDiscoverResponse(
            [BedrockEnvironmentCredential(kind, region) for kind, region in environment_credentials(os.environ)],
            [BedrockAwsProfile(name, region) for name, region in found],
        )

    caller.later(reply, work)
