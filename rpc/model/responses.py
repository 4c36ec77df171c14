"""The client of the Responses API: one POST per request, the answer as server-sent events."""

import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from types import TracebackType
from typing import cast
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import orjson
import trio

from spindle.rpc.large import apart
from spindle.rpc.model.body import encode_body
from spindle.rpc.model.connections import (
    Connections,
    Exchange,
    Header,
    HttpFailure,
    Idle,
    UnreadableAnswer,
    Unusable,
)
from spindle.rpc.model.decode import decode
from spindle.rpc.model.interface import Completed, ModelEvent, ModelRequest
from spindle.rpc.model.model_errors import ModelError, disconnected
from spindle.rpc.model.own_headers import ApiKey, OwnHeaders, RenewableKey, own_headers
from spindle.rpc.model.provider import Provider
from spindle.rpc.protocol.values import loads
from spindle.rpc.sse import EventSplitter, EventTooLong, payloads
from spindle.rpc.urls import shown

_ERROR_BODY_LIMIT = 1 << 20
_ERROR_BODY_SECONDS = 10.0
_BACKOFF_SECONDS = 0.2
_SILENT_SECONDS = 5.0
"""The longest wait before a request is sent again without an announcement."""
_LIST_SECONDS = 5.0
_LIST_LIMIT = 8 << 20
_FIRST_BYTES = 4096
_NO_STREAMS = frozenset(("text/html", "application/json", "application/problem+json"))
"""Content types of other answers. A stream of events with such a type is read all the same."""


class ResponsesModel:
    """A `Model` over HTTP: a server that speaks OpenAI's Responses API.

    provider: the server and its settings.
    api_key: the key, or a function that returns it, which may be async; it is called before each request and must not block.
    It has precedence over the provider's own `env_key`. An empty key or None is no key.
    environ: has the variables that the provider's settings name; `os.environ` by default.

    Raises ValueError for a provider that cannot be asked, such as one without a usable `base_url`: no other host is used
    instead. Raises TypeError for a key of another type.
    """

    def __init__(
        self,
        provider: Provider,
        api_key: ApiKey = None,
        *,
        environ: Mapping[str, str] | None = None,
        sleep: Callable[[float], Awaitable[None]] = trio.sleep,
    ) -> None:
        if (fault := provider.fault()) is not None:
            raise ValueError(f"the provider {provider.name}: {fault}")
        if provider.auth is not None and api_key is None:
            raise ValueError(f"the provider {provider.name}: only a runtime can run the command of `auth`; give the api_key")
        if not (api_key is None or isinstance(api_key, str) or callable(api_key)):
            raise TypeError(f"api_key is a string or a function, not {type(api_key).__name__}")
        self.provider = provider
        self.stream_max_retries = provider.stream_max_retries
        self._api_key = api_key
        self._environ = os.environ if environ is None else environ
        self._sleep = sleep
        self.idle_seconds = provider.stream_idle_timeout_ms / 1000
        self._connections: Connections | None = None
        self._closed = False
        self.url = _address(provider, "responses")
        self.shown = shown(self.url)

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
        own = await self._with_own(
            [
                ("accept", "application/json"),
                ("originator", "spindle"),
                ("user-agent", f"spindle/{client_version}"),
                *([] if etag is None else [("if-none-match", etag)]),
            ]
        )
        connections = Connections(_address(self.provider, "models", client_version=client_version))
        where = shown(connections.url)
        try:
            with trio.fail_after(_LIST_SECONDS):
                exchange = await connections.get(own.headers, _LIST_SECONDS)
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
            raise self._refused(exchange, own.without_secrets(received), where)
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
        own = await self._with_own(self._headers(request))
        try:
            body = encode_body(request)
        except TypeError as error:  # orjson raises this for invalid UTF-8, too
            raise ModelError(f"the request cannot be encoded as JSON: {error}") from error
        attempt, renewed = 0, not isinstance(self._api_key, RenewableKey)
        while True:
            cause: HttpFailure | None = None
            try:
                exchange = await connections.post(own.headers, body, self.idle_seconds)
            except ValueError as error:
                raise ModelError(f"model provider {self.provider.name}: {error}") from error
            except HttpFailure as error:
                failure, again, cause = self._unsent(error), not isinstance(error, Idle | Unusable), error
            else:
                if 200 <= exchange.status < 300:
                    return exchange
                try:
                    received = b""
                    with trio.move_on_after(_ERROR_BODY_SECONDS):
                        received = await exchange.rest(_ERROR_BODY_LIMIT)
                finally:
                    await exchange.aclose()
                if exchange.status == 401 and not renewed:
                    renewed = True
                    if await self._renewed(own):
                        own = await self._with_own(self._headers(request))
                        continue
                failure, again = self._refused(exchange, own.without_secrets(received), self.shown), exchange.status >= 500
            wait = failure.retry_after
            delay = _BACKOFF_SECONDS * 2 ** min(attempt, 4) * random.uniform(0.9, 1.1) if wait is None else wait
            if not again or attempt >= self.provider.request_max_retries or delay > _SILENT_SECONDS:
                try:
                    raise failure from cause
                finally:
                    del failure, cause  # else the error and this frame refer to each other
            if request.retried is not None:
                request.retried(failure, delay)
            await self._sleep(delay)
            attempt += 1

    async def _renewed(self, refused: OwnHeaders) -> bool:
        """Whether there is another key after a refusal. Raises ModelError."""
        return isinstance(self._api_key, RenewableKey) and refused.key is not None and await self._api_key.renew(refused.key)

    def _unsent(self, error: HttpFailure) -> ModelError:
        if isinstance(error, Idle):
            return disconnected(str(error))
        failure = disconnected(f"error sending request for url ({self.shown}): {error}")
        failure.retryable = not isinstance(error, Unusable)
        return failure

    def _refused(self, exchange: Exchange, body: bytes, where: str) -> ModelError:
        from spindle.rpc.model.refusals import refused

        login = self.provider.requires_openai_auth
        return refused(exchange.status, body, where, header=exchange.header, login=login)

    def _headers(self, request: ModelRequest) -> list[Header]:
        thread = request.thread_id
        headers = [
            ("accept", "text/event-stream"),
            ("content-type", "application/json"),
            ("session_id", thread),
            ("session-id", thread),
            ("thread-id", thread),
            ("x-client-request-id", thread),
            ("x-codex-window-id", f"{thread}:0"),
            ("originator", request.originator),
            ("user-agent", request.user_agent),
        ]
        if (metadata := request.client_metadata.get("x-codex-turn-metadata")) is not None:
            headers.append(("x-codex-turn-metadata", metadata))
        if request.subagent is not None:
            headers.append(("x-openai-subagent", request.subagent))
        if request.parent_thread_id is not None:
            headers.append(("x-codex-parent-thread-id", request.parent_thread_id))
        return headers

    async def _with_own(self, headers: Sequence[Header]) -> OwnHeaders:
        return await own_headers(self.provider, self._api_key, self._environ, headers)


def _address(provider: Provider, resource: str, **more: str) -> str:
    """The URL of a resource: below `base_url`, with its query and the provider's."""
    parts = urlsplit(provider.base_url or "")
    query = urlencode({**provider.query_params, **more}, quote_via=quote)
    path = f"{parts.path.rstrip('/')}/{resource}"
    return urlunsplit((parts.scheme, parts.netloc, path, "&".join(filter(None, (parts.query, query))), ""))


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
        self._first: bytes | None = None
        """The first bytes of what may be no event stream; None if it is one."""

    async def __aenter__(self) -> AsyncIterator[Sequence[ModelEvent]]:
        self._exchange = exchange = await self._model.open(self._request)
        if _kind(exchange) in _NO_STREAMS:
            self._first = b""
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
        since = trio.current_time()
        while not events:
            chunk = b""
            failure: ModelError | None
            try:
                chunk = await self._exchange.chunk()
                whole = self._splitter.take(chunk) if chunk else self._splitter.rest()
                failure = None if chunk else self._ended(self._exchange)
            except (UnreadableAnswer, EventTooLong) as error:  # a retry would be as long
                raise ModelError(f"model provider {self._model.provider.name}: {error}") from error
            except HttpFailure as error:
                whole, failure = self._splitter.rest(), disconnected(str(error))
            if self._first is not None:
                self._first = (self._first + chunk)[:_FIRST_BYTES]
            # a chunk of small events costs less than a worker thread; only an event of many chunks is large
            self._failure = await apart(len(whole) // 4, None, _decode, whole, events) or failure
            if events and type(events[-1]) is Completed:
                self._completed, self._failure = True, None
            elif self._failure is not None and not events:
                raise self._failure
            elif b"data:" in whole:
                since = trio.current_time()
            elif not events and trio.current_time() - since > self._model.idle_seconds:
                raise disconnected("idle timeout waiting for SSE")  # comments keep a connection, but are no answer
        self._first = None
        return events

    def _ended(self, exchange: Exchange) -> ModelError:
        """The body has ended before the answer was complete."""
        if self._first is None:
            return disconnected("stream closed before response.completed")
        from spindle.rpc.model.refusals import no_events

        return no_events(_kind(exchange), self._first, self._model.shown)


def _kind(exchange: Exchange) -> str:
    return (exchange.header("content-type") or "").partition(";")[0].strip().lower()
