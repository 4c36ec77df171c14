"""account/* and getAuthStatus: API keys in auth.json, and tokens that a client has. Logins with a browser are not offered."""

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
    AuthMode,
    CancelLoginAccountParams,
    CancelLoginAccountResponse,
    ChatgptAccount,
    ChatgptAuthTokensLogin,
    ChatgptAuthTokensLoginResponse,
    GetAccountParams,
    GetAccountResponse,
    GetAuthStatusParams,
    GetAuthStatusResponse,
    LogoutAccountResponse,
)
from spindle.rpc.protocol.errors import internal_error, invalid_request
from spindle.storage.passed_tokens import PassedTokens, passed_tokens

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller
    from spindle.actors.registry.backend import Backend
    from spindle.storage.config import Config


def _login_and_need(backend: Backend) -> tuple[str | PassedTokens | None, bool]:
    """(the API key or the tokens in use, whether the provider in use needs OpenAI credentials)"""
    needed = backend.config().provider.requires_openai_auth
    return (backend.credentials.passed or backend.credentials.api_key()) if needed else None, needed


def read(caller: Caller, params: GetAccountParams, reply: Reply[Any]) -> None:
    """account/read"""

    async def work() -> GetAccountResponse:
        login, needed = await trio.to_thread.run_sync(_login_and_need, caller.backend, abandon_on_cancel=True)
        if not isinstance(login, PassedTokens):
            return GetAccountResponse(ApiKeyAccount() if login else None, needed)
        if login.email is None:
            raise invalid_request("email and plan type are required for chatgpt authentication")
        return GetAccountResponse(ChatgptAccount(login.email, login.plan_type), needed)

    caller.later(reply, work)


def auth_status(caller: Caller, params: GetAuthStatusParams, reply: Reply[Any]) -> None:
    """getAuthStatus"""

    async def work() -> GetAuthStatusResponse:
        login, needed = await trio.to_thread.run_sync(_login_and_need, caller.backend, abandon_on_cancel=True)
        mode: AuthMode | None = "apikey" if login else None
        if isinstance(login, PassedTokens):
            mode, login = "chatgptAuthTokens", login.access_token
        return GetAuthStatusResponse(mode, login if params.include_token else None, needed)

    caller.later(reply, work)


def login(caller: Caller, params: Any, reply: Reply[Any]) -> None:
    """account/login/start with an API key or tokens; the answer comes before the notifications."""
    backend = caller.backend

    async def work() -> None:
        config = await trio.to_thread.run_sync(backend.config, abandon_on_cancel=True)
        if not isinstance(params, ApiKeyLogin | ChatgptAuthTokensLogin):
            if config.forced_login_method == "api":
                raise invalid_request("ChatGPT login is disabled. Use API key login instead.")
            raise invalid_request("only logins with an API key, or with tokens that the client has, are supported")
        if isinstance(params, ApiKeyLogin):
            updated = await _store_key(backend, config, params)
            reply.resolve(ApiKeyLoginResponse())
        else:
            updated = _pass_tokens(caller, config, params)
            reply.resolve(ChatgptAuthTokensLoginResponse())
        caller.subscriber.deliver(Event(AccountLoginCompletedNotification(None, True)))
        backend.audience.announce(updated)

    caller.later(Reply(lambda _: None, reply.reject), work)


async def _store_key(backend: Backend, config: Config, params: ApiKeyLogin) -> AccountUpdatedNotification:
    credentials = backend.credentials
    if credentials.passed is not None:
        raise invalid_request(
            "External auth is active. Use account/login/start (chatgptAuthTokens) to update it or account/logout to clear it."
        )
    if config.forced_login_method == "chatgpt":
        raise invalid_request("API key login is disabled. Use ChatGPT login instead.")
    if (store := config.raw.get("cli_auth_credentials_store")) not in (None, "file", "auto", "ephemeral"):
        raise invalid_request(f'`cli_auth_credentials_store = "{store}"` is not supported: keys are kept in a file')
    keep = credentials.hold_api_key if store == "ephemeral" else credentials.login_api_key
    await trio.to_thread.run_sync(keep, params.api_key)
    return AccountUpdatedNotification("apikey")


def _pass_tokens(caller: Caller, config: Config, params: ChatgptAuthTokensLogin) -> AccountUpdatedNotification:
    from spindle.actors.clients.token_refresh import refresh_by

    if config.forced_login_method == "api":
        raise invalid_request("External ChatGPT auth is disabled. Use API key login instead.")
    try:
        tokens = passed_tokens(params.access_token, params.chatgpt_account_id, params.chatgpt_plan_type)
    except ValueError as error:
        raise internal_error(f"failed to set external auth: {error}") from None
    caller.backend.credentials.pass_in(tokens, refresh_by(caller))
    return AccountUpdatedNotification("chatgptAuthTokens", tokens.plan_type)


def cancel_login(caller: Caller, params: CancelLoginAccountParams, reply: Reply[Any]) -> None:
    """account/login/cancel: no login waits for the user here."""
    try:
        uuid.UUID(params.login_id)
    except ValueError:
        raise invalid_request(f"invalid login id: {params.login_id}") from None
    reply.resolve(CancelLoginAccountResponse("notFound"))


def logout(caller: Caller, params: object, reply: Reply[Any]) -> None:
    """account/logout"""
    backend = caller.backend

    async def work() -> None:
        await trio.to_thread.run_sync(backend.credentials.logout)
        reply.resolve(LogoutAccountResponse())
        backend.audience.announce(AccountUpdatedNotification(None))

    caller.later(Reply(lambda _: None, reply.reject), work)
