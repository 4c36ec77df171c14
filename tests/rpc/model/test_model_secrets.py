"""No error of a provider contains a key: not from the URL, not from a header, not when the provider repeats it."""

from collections.abc import Callable
from typing import Any

import pytest

from spindle.rpc.model.interface import ModelRequest
from spindle.rpc.model.model_errors import ModelError
from spindle.rpc.model.provider import Provider
from spindle.rpc.model.responses import ResponsesModel

Make = Callable[..., ModelRequest]
SECRETS = ("sk-key", "sk-header", "sk-query", "sk-user")
ENVIRON = {"KEY": "sk-key", "HEADER": "sk-header"}


def model_of(server: Any, *, host: str = "127.0.0.1", environ: dict[str, str] | None = None) -> ResponsesModel:
    provider = Provider(
        name="p",
        base_url=f"http://ann:sk-user@{host}:{server.port}/v1",
        env_key="KEY",
        env_http_headers={"x-own": "HEADER"},
        query_params={"key": "sk-query"},
        request_max_retries=0,
    )
    model = ResponsesModel(provider, environ=environ or ENVIRON)
    server.clients.append(model)
    return model


def words_of(error: BaseException | None) -> str:
    """The text of a traceback."""
    words = ""
    while error is not None:
        words += f"{error}\n"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return words


async def failure_of(model: ResponsesModel, request: ModelRequest, *, listing: bool = False) -> str:
    async def ask() -> None:
        if listing:
            await model.list_models("1", None)
        async with model.stream(request) as batches:
            async for _ in batches:
                pass

    with pytest.raises(ModelError) as caught:
        await ask()
    said = words_of(caught.value)
    assert [secret for secret in SECRETS if secret in said] == []
    return said


@pytest.mark.parametrize("listing", [False, True])
async def test_a_refusal_that_repeats_the_keys(server: Any, make_request: Make, listing: bool) -> None:
    body = b"wrong sk-key, and sk-header"
    server.script = [[b"HTTP/1.1 401 Unauthorized\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)]]
    said = await failure_of(model_of(server), make_request(), listing=listing)
    assert "wrong ***, and ***" in said
    assert "key=…" in said


async def test_a_lost_connection(server: Any, make_request: Make) -> None:
    said = await failure_of(model_of(server), make_request())  # without a script it closes the connection
    assert "/v1/responses?key=…" in said


async def test_a_key_that_cannot_be_sent(server: Any, make_request: Make) -> None:
    said = await failure_of(model_of(server, environ={"KEY": "sk-key\r\nx: y"}), make_request())
    assert "a header has a value that cannot be sent" in said


async def test_an_invalid_host(server: Any, make_request: Make) -> None:
    said = await failure_of(model_of(server, host="a..b"), make_request())
    assert "model provider p: " in said


def test_a_provider_shows_no_secret() -> None:
    provider = Provider(
        base_url="https://ann:sk-user@host/v1?key=sk-query",
        http_headers={"api-key": "sk-header"},
        query_params={"key": "sk-query"},
        experimental_bearer_token="sk-key",
    )
    assert [secret for secret in SECRETS if secret in repr(provider)] == []
    assert "name='host'" in repr(provider)
    assert "<api-key>" in repr(provider)
    assert provider.identity != Provider(base_url=provider.base_url).identity


async def test_a_refusal_that_repeats_a_configured_header(server: Any, make_request: Make) -> None:
    key, version = "0123456789abcdef", "2026-01-01"
    body = b"wrong %b for %b" % (key.encode(), version.encode())
    server.script = [[b"HTTP/1.1 403 Forbidden\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)]]
    provider = Provider(base_url=server.url, http_headers={"api-key": key, "version": version})
    model = ResponsesModel(provider, environ={})
    server.clients.append(model)
    assert f"wrong *** for {version}" in await failure_of(model, make_request())
