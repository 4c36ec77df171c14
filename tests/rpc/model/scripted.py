"""A model's client at a scripted server, and the bytes that the server sends."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson
import pytest
import trio
import trio.testing

from spindle.rpc.model.interface import (
    ModelEvent,
    ModelRequest,
    Provider,
)
from spindle.rpc.model.model_errors import ModelError
from spindle.rpc.model.responses import ResponsesModel

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
CREATED = {"type": "response.created", "response": {"id": "r"}}
COMPLETED = {"type": "response.completed", "response": {"id": "r"}}
MESSAGE = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]}
DONE = {"type": "response.output_item.done", "item": MESSAGE}

Make = Callable[..., ModelRequest]


def delta(text: str) -> dict[str, Any]:
    return {"type": "response.output_text.delta", "delta": text}


def chunk(*events: dict[str, Any]) -> bytes:
    data = b"".join(b"event: %s\ndata: %s\n\n" % (e["type"].encode(), orjson.dumps(e)) for e in events)
    return b"%x\r\n%s\r\n" % (len(data), data)


def status(code: int, error: dict[str, Any], extra: bytes = b"") -> bytes:
    body = orjson.dumps({"error": error})
    return b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n%s\r\n%s" % (code, len(body), extra, body)


WHOLE = HEAD + chunk(CREATED, delta("h"), delta("i"), DONE, COMPLETED) + END


class Pauses(list[float]):
    """Replaces `trio.sleep` and records the seconds."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)
        await trio.lowlevel.checkpoint()


def model_of(server: Any, *, key: Any = None, environ: Mapping[str, str] | None = None, **settings: Any) -> Any:
    provider = Provider(**{"name": "p", "base_url": f"{server.url}/v1", "request_max_retries": 0, **settings})
    model = ResponsesModel(provider, key, environ=environ or {}, sleep=(pauses := Pauses()))
    model.pauses = pauses  # type: ignore[attr-defined]
    server.clients.append(model)
    return model


async def ask(model: Any, request: ModelRequest, seen: list[ModelEvent] | None = None) -> list[ModelEvent]:
    events = [] if seen is None else seen
    async with model.stream(request) as batches:
        async for batch in batches:
            assert batch
            events.extend(batch)
    return events


async def failure_of(model: Any, request: ModelRequest, seen: list[ModelEvent] | None = None) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await ask(model, request, seen)
    return caught.value
