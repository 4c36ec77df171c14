"""Listing a provider's models."""

from typing import Any

import orjson
import pytest
import trio

from spindle.rpc.model.interface import ListsModels, Provider
from spindle.rpc.model.model_errors import ModelError
from spindle.rpc.model.offline import OfflineModel
from spindle.rpc.model.responses import ResponsesModel

MODELS = [{"slug": "a"}, "odd"]


def answer(value: object, extra: bytes = b"", status: bytes = b"200 OK") -> list[bytes]:
    body = orjson.dumps(value)
    return [b"HTTP/1.1 %s\r\ncontent-length: %d\r\n%s\r\n%s" % (status, len(body), extra, body)]


def lister(server: Any, **settings: Any) -> ResponsesModel:
    provider = Provider(**{"name": "p", "base_url": f"{server.url}/v1/", **settings})
    model = ResponsesModel(provider, environ={})
    server.clients.append(model)
    return model


async def test_the_entries_are_unchanged_and_have_their_etag(server: Any) -> None:
    server.script = [answer({"models": MODELS}, b'etag: "e"\r\n')]
    settings = {"query_params": {"q": "1"}, "experimental_bearer_token": "token", "http_headers": {"x-own": "o"}}
    assert await lister(server, **settings).list_models("0.1", None) == (MODELS, '"e"')
    [asked] = server.received
    assert (asked.method, asked.target) == ("GET", "/v1/models?q=1&client_version=0.1")
    assert (asked.headers["authorization"], asked.headers["x-own"]) == ("Bearer token", "o")
    assert asked.headers["user-agent"] == "spindle/0.1"
    assert "if-none-match" not in asked.headers


async def test_an_unchanged_list_is_not_sent_again(server: Any) -> None:
    server.script = [[b"HTTP/1.1 304 Not Modified\r\n\r\n"]]
    assert await lister(server).list_models("0.1", '"e"') is None
    assert server.received[0].headers["if-none-match"] == '"e"'


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ([answer({"error": {"message": "no"}}, status=b"404 Not Found")], "404"),
        ([answer({"object": "list", "data": [{"id": "a"}]})], "has no list of models"),
        ([answer([])], "has no list of models"),
        ([[b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{", None]], "has no list of models"),
        ([], "cannot get"),
    ],
)
async def test_an_answer_without_a_list_is_an_error(server: Any, script: Any, reason: str) -> None:
    server.script = script
    with pytest.raises(ModelError, match=reason):
        await lister(server).list_models("0.1", None)


async def test_a_missing_answer_times_out(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spindle.rpc.model.responses._LIST_SECONDS", 0.0)
    server.script = [[trio.Event()]]
    with pytest.raises(ModelError, match="cannot get"):
        await lister(server).list_models("0.1", None)


def test_which_models_can_list_models() -> None:
    assert isinstance(ResponsesModel(Provider(name="p", base_url="http://127.0.0.1:1")), ListsModels)
    assert not isinstance(OfflineModel(), ListsModels)
