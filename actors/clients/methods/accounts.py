"""account/* and getAuthStatus: API keys in auth.json. Logins that need a browser are not offered."""

from __future__ import annotations

import uuid
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
    CancelLoginAccountParams,
    CancelLoginAccountResponse,
    GetAccountParams,
    GetAccountResponse,
    GetAuthStatusParams,
    GetAuthStatusResponse,
    LogoutAccountResponse,
)
from spindle.rpc.protocol.errors import invalid_request

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller
    from spindle.actors.registry.backend import Backend


def _key_and_need(backend: Backend) -> tuple[str | None, bool]:
    """(the stored API key, whether the provider in use needs OpenAI credentials)"""
    return backend.credentials.api_key(), backend.config().provider.requires_openai_auth


def read(caller: Caller, params: GetAccountParams, reply: Reply[Any]) -> None:
    """account/read"""

    async def work() -> GetAccountResponse:
        key, needed = await trio.to_thread.run_sync(_key_and_need, caller.backend, abandon_on_cancel=True)
        return GetAccountResponse(ApiKeyAccount() if key and needed else None, needed)

    caller.later(reply, work)


def auth_status(caller: Caller, params: GetAuthStatusParams, reply: Reply[Any]) -> None:
    """getAuthStatus"""

    async def work() -> GetAuthStatusResponse:
        key, needed = await trio.to_thread.run_sync(_key_and_need, caller.backend, abandon_on_cancel=True)
        shown = key if needed else None
        return GetAuthStatusResponse("apikey" if shown else None, shown if params.include_token else None, needed)

    caller.later(reply, work)


def cancel_login(caller: Caller, params: CancelLoginAccountParams, reply: Reply[Any]) -> None:
    """account/login/cancel: no login waits for the user here."""
    try:
        uuid.UUID(params.login_id)
    except ValueError:
        raise invalid_request(f"invalid login id: {params.login_id}") from None
    reply.resolve(CancelLoginAccountResponse("notFound"))


def login(caller: Caller, params: Any, reply: Reply[Any]) -> None:
    """account/login/start with an API key; the answer comes before the notifications."""
    backend = caller.backend
    if not isinstance(params, ApiKeyLogin):
        raise invalid_request("only logins with an API key are supported")

    async def work() -> None:
        config = await trio.to_thread.run_sync(backend.config, abandon_on_cancel=True)
        if config.forced_login_method == "chatgpt":
            raise invalid_request("API key login is disabled. Use ChatGPT login instead.")
        if (store := config.raw.get("cli_auth_credentials_store")) not in (None, "file", "auto"):
            raise invalid_request(f'`cli_auth_credentials_store = "{store}"` is not supported: keys are kept in a file')
        await trio.to_thread.run_sync(backend.credentials.login_api_key, params.api_key)
        reply.resolve(ApiKeyLoginResponse())
        caller.subscriber.deliver(Event(AccountLoginCompletedNotification(None, True)))
        backend.audience.announce(AccountUpdatedNotification("apikey"))

    caller.later(Reply(lambda _: None, reply.reject), work)


def logout(caller: Caller, params: object, reply: Reply[Any]) -> None:
    """account/logout"""
    backend = caller.backend

    async def work() -> None:
        await trio.to_thread.run_sync(backend.credentials.logout)
        reply.resolve(LogoutAccountResponse())
        backend.audience.announce(AccountUpdatedNotification(None))

    caller.later(Reply(lambda _: None, reply.reject), work)
