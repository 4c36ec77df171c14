"""Samples: one answer of the model beside a thread, which changes nothing in it. From Codex 0.171."""

from collections.abc import Mapping
from typing import Annotated

from spindle.rpc.lazy_class import frozen
from spindle.rpc.protocol.envelope import RequestId
from spindle.rpc.protocol.settings import ReasoningEffort
from spindle.rpc.protocol.shapes import Untagged


@frozen(kw_only=True)
class ThreadSampleParams:
    """Ask the model something with the history of a loaded thread, whose latest turn is `expected_turn_id`.

    `allow_in_progress_turn`: that turn may be running. The metadata goes to the provider.
    """

    thread_id: str
    expected_turn_id: str
    prompt: str
    allow_in_progress_turn: bool = False
    effort: ReasoningEffort | None = None
    responsesapi_client_metadata: Mapping[str, str] | None = None


@frozen(kw_only=True)
class ThreadSampleResponse:
    """The answer. `text` is None if the model wanted to call a tool, or said nothing."""

    source_turn_id: str
    response_id: str
    text: str | None = None
    input_tokens: int | None = None
    cached_input_tokens: int | None = None
    output_tokens: int | None = None


@frozen
class ThreadSampleCancelParams:
    """Cancel the sample that this connection asked for with a request of this id."""

    request_id: Annotated[RequestId, Untagged("RequestId")]


@frozen
class ThreadSampleCancelResponse:
    """The sample, if it ran, is cancelled."""


@frozen
class ThreadPredictionRequestParams:
    """Ask for a prediction of what the user says next."""

    thread_id: str
    source_turn_id: str


@frozen
class ThreadPredictionRequestResponse:
    """The prediction has begun."""
