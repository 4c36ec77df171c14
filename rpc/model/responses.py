"""The client of the Responses API: one POST per request, the answer as server-sent events."""

import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType
from typing import cast
from urllib.parse import quote, urlencode

import orjson
import trio

from spindle.rpc.large import LARGE, apart
from spindle.rpc.model.connections import Connections, Exchange, Header, HttpFailure, Idle, UnreadableAnswer
from spindle.rpc.model.decode import decode
from spindle.rpc.model.interface import Completed, ModelEvent, ModelRequest
from spindle.rpc.model.model_errors import ModelError, disconnected, refused
from spindle.rpc.model.provider import Provider
from spindle.rpc.protocol.values import loads
from spindle.rpc.sse import EventSplitter, EventTooLong, payloads
from spindle.rpc.urls import shown

_ERROR_BODY_LIMIT = 1 << 20
_ERROR_BODY_SECONDS = 10.0
_BACKOFF_SECONDS = 0.2
_LIST_SECONDS = 5.0
_LIST_LIMIT = 8 << 20


class ResponsesModel:
    """A `Model` over HTTP.

    `api_key` is called per request, and only for a provider that requires OpenAI credentials; a key configured for the
    provider itself has precedence. `environ` has the variables that the provider's settings name. Raises ValueError for
    a provider without `base_url`: no other host is used instead.
    """

    def __init__(
        self,
        provider: Provider,
        api_key: Callable[[], str | None] = lambda: None,
        *,
        environ: Mapping[str, str] | None = None,
        sleep: Callable[[float], Awaitable[None]] = trio.sleep,
    ) -> None:
        if not provider.base_url:
            raise ValueError(f"the provider {provider.name} has no base_url")
        self.provider = provider
        self.stream_max_retries = provider.stream_max_retries
        self._api_key = api_key
        self._environ = os.environ if environ is None else environ
        self._sleep = sleep
        self._idle_seconds = provider.stream_idle_timeout_ms / 1000
        self._connections: Connections | None = None
        self._closed = False
        self._base = base = provider.base_url.rstrip("/")
        query = urlencode(provider.query_params, quote_via=quote)
        self.url = f"{base}/responses" + (f"?{query}" if query else "")
        self._shown = shown(self.url)

    def stream(self, request: ModelRequest) -> AbstractAsyncContextManager[AsyncIterator[Sequence[ModelEvent]]]:
        """As in `Model`. A server error or a lost connection before the answer is retried silently."""
        return _Stream(self, request)

    async def aclose(self) -> None:
        """As in `Model`; busy connections are closed when their answer ends."""
        self._closed = True
        if self._connections is not None:
            await self._connections.aclose()

    async def list_models(self, client_version: str, etag: str | None) -> tuple[Sequence[object], str | None] | None:
        """As in `ListsModels`."""
        headers = [
            ("accept", "application/json"),
            ("originator", "spindle"),
            ("user-agent", f"spindle/{client_version}"),
        ]
        if etag is not None:
            headers.append(("if-none-match", etag))
        query = urlencode({**self.provider.query_params, "client_version": client_version}, quote_via=quote)
        connections = Connections(f"{self._base}/models?{query}")
        where = shown(connections.url)
        try:
            with trio.fail_after(_LIST_SECONDS):
                exchange = await connections.get(self._with_own(headers), _LIST_SECONDS)
                try:
                    received = await exchange.rest(_LIST_LIMIT)
                finally:
                    await exchange.aclose()
        except (HttpFailure, ValueError, trio.TooSlowError) as error:
            raise ModelError(f"cannot get {where}: {str(error) or 'no answer in time'}") from error
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                await connections.aclose()
        if exchange.status == 304:
            return None
        if not 200 <= exchange.status < 300:
            raise refused(exchange.status, self._without_keys(received), where)
        try:
            entries: object = loads(received)["models"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            entries = None
        if not isinstance(entries, list):
            raise ModelError(f"{where} has no list of models")
        return cast("list[object]", entries), exchange.header("etag")

    async def prepare(self) -> None:
        """As in `Prepares`."""
        if not self._closed:
            with suppress(ValueError):
                await self._own_connections().prepare()

    def _own_connections(self) -> Connections:
        if self._connections is None:
            self._connections = Connections(self.url)
        return self._connections

    async def open(self, request: ModelRequest) -> Exchange:
        """Send `request`; returns the exchange of a successful response. Raises `ModelError`."""
        if self._closed:
            raise ModelError("the model is closed")
        connections = self._own_connections()
        headers = self._headers(request)
        try:
            body = encode_body(request)
        except TypeError as error:  # orjson raises this for invalid UTF-8, too
            raise ModelError(f"the request cannot be encoded as JSON: {error}") from error
        retries = self.provider.request_max_retries
        attempt = 0
        while True:
            try:
                exchange = await connections.post(headers, body, self._idle_seconds)
            except ValueError as error:
                raise ModelError(f"model provider {self.provider.name}: {error}") from error
            except Idle as error:
                raise disconnected(str(error)) from error
            except HttpFailure as error:
                if attempt >= retries:
                    raise disconnected(f"error sending request for url ({self._shown}): {error}") from error
            else:
                status = exchange.status
                if 200 <= status < 300:
                    return exchange
                try:
                    received = b""
                    with trio.move_on_after(_ERROR_BODY_SECONDS):
                        received = await exchange.rest(_ERROR_BODY_LIMIT)
                finally:
                    await exchange.aclose()
                if status < 500 or attempt >= retries:
                    raise refused(status, self._without_keys(received), self._shown)
            await self._sleep(_BACKOFF_SECONDS * 2**attempt * random.uniform(0.9, 1.1))
            attempt += 1

    def _headers(self, request: ModelRequest) -> list[Header]:
        thread = request.thread_id
        headers = [
            ("accept", "text/event-stream"),
            ("content-type", "application/json"),
            ("session_id", thread),
            ("x-client-request-id", thread),
            ("x-codex-window-id", f"{thread}:0"),
            ("originator", request.originator),
            ("user-agent", request.user_agent),
        ]
        if request.subagent is not None:
            headers.append(("x-openai-subagent", request.subagent))
        if request.parent_thread_id is not None:
            headers.append(("x-codex-parent-thread-id", request.parent_thread_id))
        return self._with_own(headers)

    def _with_own(self, headers: list[Header]) -> list[Header]:
        """The headers with the key and those of the provider's settings, which replace defaults. Raises ModelError for
        a missing key.
        """
        provider, environ = self.provider, self._environ
        key = self._bearer()
        if key:
            headers.append(("authorization", f"Bearer {key}"))
        if not provider.http_headers and not provider.env_http_headers:
            return headers
        own = {name.lower(): value for name, value in provider.http_headers.items()}
        for name, variable in provider.env_http_headers.items():
            if value := environ.get(variable, "").strip():
                own[name.lower()] = value
        return [(name, value) for name, value in headers if name not in own] + list(own.items())

    def _without_keys(self, body: bytes) -> bytes:
        """The provider's words about a refused request, without the keys that were sent with it."""
        variables = self.provider.env_http_headers.values()
        try:
            keys = [self._bearer(), *(self._environ.get(variable, "").strip() for variable in variables)]
        except ModelError:  # there is no key, so none was sent
            return body
        for key in keys:
            if key:
                body = body.replace(key.encode("utf-8", "replace"), b"***")
        return body

    def _bearer(self) -> str | None:
        provider = self.provider
        if provider.env_key:
            key = self._environ.get(provider.env_key, "").strip()
            if not key:
                hint = f" {provider.env_key_instructions}" if provider.env_key_instructions else ""
                raise ModelError(f"Missing environment variable: `{provider.env_key}`.{hint}")
            return key
        if provider.experimental_bearer_token:
            return provider.experimental_bearer_token
        # OpenAI's key is never sent to other providers.
        return self._api_key() if provider.requires_openai_auth else None


def encode_body(request: ModelRequest) -> list[bytes]:
    """The JSON body of the POST, in parts. The items of `input` are inserted without decoding them."""
    body: dict[str, object] = {
        "model": request.model,
        "instructions": request.instructions,
        "input": (),
        "tools": request.tools,
        "tool_choice": "auto",
        "parallel_tool_calls": request.parallel_tool_calls,
        "reasoning": request.reasoning,
        "store": False,
        "stream": True,
        "include": request.include,
        "prompt_cache_key": request.prompt_cache_key,
    }
    if request.service_tier is not None:
        body["service_tier"] = request.service_tier
    if request.text is not None:
        body["text"] = request.text
    body["client_metadata"] = request.client_metadata
    # no string can contain this placeholder (its quotes would be escaped), and only strings precede it
    head, place, tail = orjson.dumps(body, default=_plain).partition(_INPUT)
    return [head + place[:-1], *_listed(request.input), b"]" + tail]


def _listed(items: Sequence[bytes]) -> list[bytes]:
    """`items` separated by commas, as parts. Few short items are joined to few parts."""
    if len(items) > _MANY:
        parts = [b","] * (2 * len(items) - 1)
        parts[::2] = items
        return parts
    parts = list[bytes]()
    for at in range(0, len(items), _GROUP):
        group = items[at : at + _GROUP]
        if at:
            parts.append(b",")
        if sum(map(len, group)) <= LARGE:
            parts.append(b",".join(group))
            continue
        for item in group:
            parts += (item, b",")
        del parts[-1]
    return parts


_INPUT = b'"input":[]'
_GROUP = 128
_MANY = 8192  # this many are joined piece by piece, while they are sent


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(name): member for name, member in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, Sequence):
        return list(value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    raise TypeError(f"not JSON: {type(value).__name__}")


def _decode(whole: bytes, events: list[ModelEvent]) -> ModelError | None:
    return decode(payloads(whole), events)


class _Stream:
    """The context manager and iterator of `ResponsesModel.stream`."""

    def __init__(self, model: ResponsesModel, request: ModelRequest) -> None:
        self._model = model
        self._request = request
        self._splitter = EventSplitter()
        self._exchange: Exchange | None = None
        self._failure: ModelError | None = None
        self._completed = False

    async def __aenter__(self) -> AsyncIterator[Sequence[ModelEvent]]:
        self._exchange = await self._model.open(self._request)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            await exchange.aclose(whole=self._completed)

    def __aiter__(self) -> AsyncIterator[Sequence[ModelEvent]]:
        return self

    async def __anext__(self) -> Sequence[ModelEvent]:
        if self._failure is not None:
            raise self._failure
        if self._completed:
            raise StopAsyncIteration
        if self._exchange is None:
            raise ModelError("the stream is closed")
        events: list[ModelEvent] = []
        while not events:
            chunk = b""
            failure: ModelError | None
            try:
                chunk = await self._exchange.chunk()
                whole = self._splitter.take(chunk) if chunk else self._splitter.rest()
                failure = None if chunk else disconnected("stream closed before response.completed")
            except (UnreadableAnswer, EventTooLong) as error:  # a retry would be as long
                raise ModelError(f"model provider {self._model.provider.name}: {error}") from error
            except HttpFailure as error:
                whole, failure = self._splitter.rest(), disconnected(str(error))
            # a chunk of small events costs less than a worker thread; only an event of many chunks is large
            self._failure = await apart(len(whole) // 4, None, _decode, whole, events) or failure
            if events and type(events[-1]) is Completed:
                self._completed, self._failure = True, None
            elif self._failure is not None and not events:
                raise self._failure
        return events
