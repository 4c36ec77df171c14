"""The interface of models: requests and events, independent of a provider's wire format."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeAlias, runtime_checkable

from spindle.rpc.lazy_class import frozen
from spindle.rpc.model.model_errors import ModelError
from spindle.rpc.model.provider import Provider

__all__ = [
    "Completed",
    "Created",
    "InputDelta",
    "ItemAdded",
    "ItemDone",
    "ListsModels",
    "Model",
    "ModelError",
    "ModelEvent",
    "ModelRequest",
    "ResponseMetadata",
    "Prepares",
    "Provider",
    "ReasoningDelta",
    "Retried",
    "Stream",
    "SummaryDelta",
    "SummaryPartAdded",
    "TextDelta",
    "Usage",
]


Retried: TypeAlias = Callable[[ModelError, float], None]


@frozen
class ModelRequest:
    """One sampling request.

    `input` is the conversation, each response item encoded as JSON, so that a long history is concatenated and not
    serialised again. `prompt_cache_key` is normally the thread id.
    """

    model: str
    instructions: str
    input: Sequence[bytes]
    tools: Sequence[object]
    parallel_tool_calls: bool
    reasoning: object | None
    include: Sequence[str]
    service_tier: str | None
    text: object | None
    prompt_cache_key: str
    client_metadata: Mapping[str, str]
    thread_id: str
    turn_id: str
    originator: str
    user_agent: str
    subagent: str | None = None
    """The kind of sub-agent; None for the user's own agent."""
    parent_thread_id: str | None = None
    """The thread that spawned this one."""
    retried: Retried | None = None
    """Called with why, and the seconds until then, where the model itself sends the request again."""


@frozen
class Usage:
    """Tokens of an answer, or of several. Cached tokens are part of the input, reasoning tokens part of the output."""

    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    reasoning_output_tokens: int
    total_tokens: int

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input_tokens + other.input_tokens,
            self.cached_input_tokens + other.cached_input_tokens,
            self.output_tokens + other.output_tokens,
            self.reasoning_output_tokens + other.reasoning_output_tokens,
            self.total_tokens + other.total_tokens,
        )


@frozen
class Created:
    """The provider accepted the request. `model`, which will answer, is None if a header in the event does not name it."""

    response_id: str | None
    model: str | None = None


@frozen
class ResponseMetadata:
    """What the provider says about the answer. `model` as in `Created`; `verifications` are its recommendations."""

    model: str | None = None
    verifications: Sequence[str] = ()
    moderation: object = None


@frozen
class ItemAdded:
    """An output item begins; its deltas follow. `item` is the raw response item."""

    item: dict[str, Any]


@frozen
class TextDelta:
    """More text of the assistant message."""

    delta: str
    item_id: str | None


@frozen
class SummaryPartAdded:
    """Another part of the reasoning summary begins."""

    summary_index: int


@frozen
class SummaryDelta:
    """More text of a part of the reasoning summary."""

    delta: str
    summary_index: int


@frozen
class ReasoningDelta:
    """More text of the raw reasoning."""

    delta: str
    content_index: int


@frozen
class InputDelta:
    """More input of a custom tool call (text under a grammar)."""

    delta: str
    item_id: str | None


@frozen
class ItemDone:
    """A whole output item, final. `item` is the raw response item and always has a string `type`."""

    item: dict[str, Any]


@frozen
class Completed:
    """The answer is complete; no event follows. `usage` and `model`, which answered, are None if the provider did not say."""

    response_id: str
    usage: Usage | None
    model: str | None = None


ModelEvent: TypeAlias = (
    Created
    | ResponseMetadata
    | ItemAdded
    | TextDelta
    | SummaryPartAdded
    | SummaryDelta
    | ReasoningDelta
    | InputDelta
    | ItemDone
    | Completed
)


Stream: TypeAlias = AbstractAsyncContextManager[AsyncIterator[Sequence[ModelEvent]]]
"""An answer: entering sends the request, iterating yields batches of events, leaving discards the rest."""


class Model(Protocol):
    """Answers sampling requests. May be shared by the tasks of one trio run."""

    stream_max_retries: int
    """How often a caller may retry a request after a retryable `ModelError`."""

    def stream(self, request: ModelRequest) -> Stream:
        """Send a request and stream the answer.

        A batch is all events that arrived together, never empty. The iteration ends after `Completed`. Entering and
        iterating raise `ModelError`.
        """
        ...

    async def aclose(self) -> None:
        """Close idle connections. Requests in progress may end; new requests are refused."""
        ...


@runtime_checkable
class Prepares(Protocol):
    """A model that can do ahead what its first request would wait for."""

    async def prepare(self) -> None:
        """Do it. Never raises: the request will report what is wrong."""


@runtime_checkable
class ListsModels(Protocol):
    """A provider that lists its models."""

    async def list_models(self, client_version: str, etag: str | None) -> tuple[Sequence[object], str | None] | None:
        """(the entries as received, the list's etag), or None if the list still has this `etag`.

        Takes a few seconds at most. Raises ModelError.
        """
        ...
