"""account/* and getAuthStatus: API keys in auth.json. Logins that need a browser are not offered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from spindle.actors.delivery.events import Event
from spindle.actors.kernel.mailbox import Reply
from spindle.rpc.protocol.accounts import (
    AccountLoginCompletedNotification,
    AccountUpdatedNotification,
    ApiKeyAccount,
    ApiKeyLogin,
    ApiKeyLoginResponse,
    GetAccountParams,
    GetAccountResponse,
    GetAuthStatusParams,
    GetAuthStatusResponse,
    LogoutAccountResponse,
)
from spindle.rpc.protocol.errors import invalid_request

if TYPE_CHECKING:
    from spindle.actors.clients.connection import Connection
    from spindle.actors.runtime import Runtime


def _key_and_need(runtime: Runtime) -> tuple[str | None, bool]:
    """(the stored API key, whether the provider in use needs OpenAI credentials)"""
    return runtime.credentials.api_key(), runtime.config().provider.requires_openai_auth


def read(connection: Connection, params: GetAccountParams, reply: Reply[Any]) -> None:
    """account/read"""

    async def work() -> GetAccountResponse:
        key, needed = await trio.to_thread.run_sync(_key_and_need, connection.runtime, abandon_on_cancel=True)
        return GetAccountResponse(ApiKeyAccount() if key and needed else None, needed)

    connection.later(reply, work)


def auth_status(connection: Connection, params: GetAuthStatusParams, reply: Reply[Any]) -> None:
    """getAuthStatus"""

    async def work() -> GetAuthStatusResponse:
        key, needed = await trio.to_thread.run_sync(_key_and_need, connection.runtime, abandon_on_cancel=True)
        shown = key if needed else None
        return GetAuthStatusResponse("apikey" if shown else None, shown if params.include_token else None, needed)

    connection.later(reply, work)


def login(connection: Connection, params: Any, reply: Reply[Any]) -> None:
    """account/login/start with an API key; the answer comes before the notifications."""
    runtime = connection.runtime
    if not isinstance(params, ApiKeyLogin):
        raise invalid_request("only logins with an API key are supported")

    async def work() -> None:
        config = await trio.to_thread.run_sync(runtime.config, abandon_on_cancel=True)
        if config.forced_login_method == "chatgpt":
            raise invalid_request("API key login is disabled. Use ChatGPT login instead.")
        if (store := config.raw.get("cli_auth_credentials_store")) not in (None, "file", "auto"):
            raise invalid_request(f'`cli_auth_credentials_store = "{store}"` is not supported: keys are kept in a file')
        await trio.to_thread.run_sync(runtime.credentials.login_api_key, params.api_key)
        reply.resolve(ApiKeyLoginResponse())
        connection.subscriber.deliver(Event(AccountLoginCompletedNotification(None, True)))
        runtime.audience.announce(AccountUpdatedNotification("apikey"))

    connection.later(Reply(lambda _: None, reply.reject), work)


def logout(connection: Connection, params: object, reply: Reply[Any]) -> None:
    """account/logout"""
    runtime = connection.runtime

    async def work() -> None:
        await trio.to_thread.run_sync(runtime.credentials.logout)
        reply.resolve(LogoutAccountResponse())
        runtime.audience.announce(AccountUpdatedNotification(None))

    connection.later(Reply(lambda _: None, reply.reject), work)
