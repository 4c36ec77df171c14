"""The headers that a provider's settings add to a request: its key, and headers of its own. Some are secret."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol, TypeAlias, cast, runtime_checkable
from urllib.parse import urlsplit

from attrs import field

from spindle.rpc.lazy_class import frozen
from spindle.rpc.model.connections import Header
from spindle.rpc.model.model_errors import ModelError
from spindle.rpc.model.provider import Provider


@frozen
class AccountToken:
    """A key, and the headers that say which account it is for."""

    key: str = field(repr=False)
    headers: Sequence[Header]


Key: TypeAlias = "str | AccountToken | None"
ApiKey: TypeAlias = "str | Callable[[], Key | Awaitable[Key]] | None"
"""A key, or a function that returns the key of the next request, so that keys can rotate."""


@runtime_checkable
class RenewableKey(Protocol):
    """A function for the key that can return another key after a refusal."""

    async def __call__(self) -> Key:
        """The key of the next request. Raises ModelError."""
        ...

    async def renew(self, refused: str) -> bool:
        """The provider has refused this key: return no longer this one. False if there is no other. Raises ModelError."""
        ...


OPENAI: Final = "api.openai.com"
"""The host that answers no request without a key."""
_SECRET_LENGTH: Final = 16
"""The least characters of a configured header that may be a key: shorter values are words that errors contain, too."""


@frozen
class OwnHeaders:
    """The headers of one request, `secrets` among their values."""

    headers: Sequence[Header]
    secrets: Sequence[str]
    key: str | None = None
    """The key among them."""

    def without_secrets(self, body: bytes) -> bytes:
        """The provider's words about the request, without the keys that were sent with it."""
        for secret in self.secrets:
            body = body.replace(secret.encode("utf-8", "replace"), b"***")
        return body


async def own_headers(
    provider: Provider, api_key: ApiKey, environ: Mapping[str, str], headers: Sequence[Header]
) -> OwnHeaders:
    """`headers` with the key and those of the provider's settings, which replace defaults. Raises ModelError without a key."""
    own = {name.lower(): value for name, value in provider.http_headers.items()}
    secrets = [value for value in own.values() if len(value) >= _SECRET_LENGTH]
    for name, variable in provider.env_http_headers.items():
        if value := environ.get(variable, "").strip():
            own[name.lower()] = value
            secrets.append(value)
    found = await _key(provider, api_key, environ)
    key, of_account = (found.key, found.headers) if isinstance(found, AccountToken) else (found, ())
    if key:
        headers = [*headers, *of_account, ("authorization", f"Bearer {key}")]
        secrets.append(key)
    elif "authorization" not in own and _host_and_user(provider) == (OPENAI, None):
        raise ModelError(
            "There is no API key for OpenAI. Set OPENAI_API_KEY, or log in with an API key (a login with ChatGPT is not "
            "supported), or choose another provider: `model_provider` and [model_providers.<id>] in config.toml",
            "unauthorized",
        )
    return OwnHeaders([*(one for one in headers if one[0] not in own), *own.items()], secrets, key)


def _host_and_user(provider: Provider) -> tuple[str | None, str | None]:
    parts = urlsplit(provider.base_url or "")
    return parts.hostname, parts.username


async def _key(provider: Provider, api_key: ApiKey, environ: Mapping[str, str]) -> Key:
    """The key; None if there is none and none is configured. Raises ModelError if the configured one is missing."""
    if (given := await _given(provider, api_key)) is not None:
        return given
    if not provider.env_key:
        return provider.experimental_bearer_token
    key = environ.get(provider.env_key, "").strip()
    if not key:
        empty = " It is set, but empty." if provider.env_key in environ else ""
        hint = f" {provider.env_key_instructions}" if provider.env_key_instructions else ""
        raise ModelError(
            f"Missing environment variable: `{provider.env_key}`.{empty} It has the API key of the provider {provider.name}, "
            f"as `env_key` in [model_providers.<id>] of config.toml says.{hint}"
        )
    return key


async def _given(provider: Provider, api_key: ApiKey) -> Key:
    try:
        key: object = api_key() if callable(api_key) else api_key
        if inspect.isawaitable(key):
            key = await cast("Awaitable[object]", key)
    except ModelError:
        raise
    except Exception as error:  # its text may have the key
        what = f"the function for the API key has failed ({type(error).__name__})"
        raise ModelError(f"model provider {provider.name}: {what}") from error
    if isinstance(key, AccountToken):
        return key
    if key is not None and not isinstance(key, str):
        raise ModelError(f"model provider {provider.name}: the API key is not a string but {type(key).__name__}")
    return (key or "").strip() or None
