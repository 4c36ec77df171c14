"""What a turn asks of a model and what it gets back, independent of any provider's wire format."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeAlias, runtime_checkable

from attrs import frozen

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
    "Provider",
    "ReasoningDelta",
    "SummaryDelta",
    "SummaryPartAdded",
    "TextDelta",
    "Usage",
]


@frozen
class ModelRequest:
    """One sampling request.

    `input` holds the conversation, each response item already encoded as JSON, so that a long history is
    concatenated rather than serialised again. `prompt_cache_key` is normally the thread id.
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
    """The kind of sub-agent that asks; None for the user's own agent."""
    parent_thread_id: str | None = None
    """The thread that has started the one that asks."""


@frozen
class Usage:
    """Tokens of one answer. Cached tokens are part of the input, reasoning tokens part of the output."""

    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    reasoning_output_tokens: int
    total_tokens: int


@frozen
class Created:
    """The provider accepted the request and begins to answer."""

    response_id: str | None


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
    """More of what the model calls a tool with that takes text under a grammar."""

    delta: str
    item_id: str | None


@frozen
class ItemDone:
    """A whole output item, final. `item` is the raw response item and always has a string `type`."""

    item: dict[str, Any]


@frozen
class Completed:
    """The answer is whole; nothing follows. `usage` is None when the provider did not report it."""

    response_id: str
    usage: Usage | None


ModelEvent: TypeAlias = (
    Created
    | ItemAdded
    | TextDelta
    | SummaryPartAdded
    | SummaryDelta
    | ReasoningDelta
    | InputDelta
    | ItemDone
    | Completed
)


class Model(Protocol):
    """Something that answers requests. Safe to share between tasks of one trio run."""

    stream_max_retries: int
    """How often a caller may repeat a request whose `ModelError` is retryable."""

    def stream(self, request: ModelRequest) -> AbstractAsyncContextManager[AsyncIterator[Sequence[ModelEvent]]]:
        """Ask; entering sends the request, iterating yields batches of events, leaving drops what is unread.

        A batch is all events that arrived together, never empty. The iteration ends after `Completed`.
        Entering and iterating raise `ModelError`.
        """
        ...

    async def aclose(self) -> None:
        """Release what is kept between requests. Requests in progress may end, new ones are refused."""
        ...


@runtime_checkable
class ListsModels(Protocol):
    """A provider that can be asked for its models."""

    async def list_models(self, client_version: str, etag: str | None) -> tuple[Sequence[object], str | None] | None:
        """(the entries, as they came; the list's etag), or None if it is still the one with this `etag`.

        Some seconds at most. Raises ModelError.
        """
        ...
