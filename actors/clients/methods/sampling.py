"""thread/sample, thread/sample/cancel and thread/prediction/request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from spindle.actors.clients.cancelling import Cancellable
from spindle.actors.clients.identity import thread_id
from spindle.actors.kernel.mailbox import ActorExited, Reply, answer
from spindle.actors.registry.messages import LoadedOrStored
from spindle.actors.tasks.faults import parts
from spindle.actors.thread.messages import PrepareSample
from spindle.rpc.model.interface import Completed, ItemDone, Model, ModelError, ModelRequest
from spindle.rpc.protocol.errors import METHOD_NOT_FOUND, RpcError, internal_error, invalid_request
from spindle.rpc.protocol.samples import (
    ThreadPredictionRequestParams,
    ThreadSampleCancelParams,
    ThreadSampleCancelResponse,
    ThreadSampleParams,
    ThreadSampleResponse,
)
from spindle.storage.rollout.history import stored, text_of

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller
    from spindle.actors.registry.backend import Backend

LONGEST: Final = 4000
"""Bytes of a prompt."""
_SAMPLE: Final = "thread/sample"


def sample(caller: Caller, params: ThreadSampleParams, reply: Reply[Any]) -> None:
    """thread/sample"""
    id, prompt = thread_id(params.thread_id), params.prompt
    if not params.expected_turn_id or not prompt.strip() or len(prompt.encode()) > LONGEST:
        raise invalid_request(f"thread/sample requires expectedTurnId and a prompt of at most {LONGEST} bytes")
    backend = caller.backend

    async def run() -> ThreadSampleResponse:
        model, request = await _prepared(backend, id, params)
        return await _ask(model, request, params.expected_turn_id)

    caller.own(Cancellable).run(_SAMPLE, reply, run, internal_error("sample canceled"))


def cancel(caller: Caller, params: ThreadSampleCancelParams, reply: Reply[Any]) -> None:
    """thread/sample/cancel"""
    caller.own(Cancellable).cancel(_SAMPLE, params.request_id)
    reply.resolve(ThreadSampleCancelResponse())


def predict(caller: Caller, params: ThreadPredictionRequestParams, reply: Reply[Any]) -> None:
    """thread/prediction/request: no version of the reference server has it yet."""
    raise RpcError(METHOD_NOT_FOUND, "thread/prediction/request is not implemented yet")


async def _prepared(backend: Backend, id: str, params: ThreadSampleParams) -> tuple[Model, ModelRequest]:
    unloaded = invalid_request("thread/sample requires a loaded source")

    def send(reply: Reply[tuple[Model, ModelRequest]]) -> None:
        message = PrepareSample(reply=reply, params=params)
        backend.registry.route(LoadedOrStored(id, message, lambda: reply.reject(unloaded)))

    try:
        return await answer(send)
    except ActorExited as error:
        raise unloaded from error


async def _ask(model: Model, request: ModelRequest, source: str) -> ThreadSampleResponse:
    """The model's answer. Raises RpcError."""
    text: str | None = None
    acts = False
    try:
        async with model.stream(request) as batches:
            async for batch in batches:
                for event in batch:
                    match event:
                        case ItemDone(item) if item["type"] == "message":
                            kept = stored(dict(item))
                            text = (text_of(kept) if kept is not None else "") or text
                        case ItemDone(item):
                            acts = acts or item["type"] != "reasoning"
                        case Completed(response_id, usage):
                            return ThreadSampleResponse(
                                source_turn_id=source,
                                response_id=response_id,
                                text=None if acts else text,
                                input_tokens=None if usage is None else usage.input_tokens,
                                cached_input_tokens=None if usage is None else usage.cached_input_tokens,
                                output_tokens=None if usage is None else usage.output_tokens,
                            )
                        case _:
                            pass
    except BaseException as raised:
        cancelled, error = parts(raised)
        if cancelled is None and isinstance(error, ModelError):  # a model with a nursery of its own raises it in a group
            raise internal_error(error.message) from error
        raise
    raise internal_error("the model's answer has ended without its completion")
