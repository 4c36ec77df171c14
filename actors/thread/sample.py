"""What a sample is made of: a request with the history of the thread. Nothing of the thread changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve
from uuid_utils import uuid7

from spindle.actors.settings.catalogue import model_info
from spindle.actors.thread.core import ThreadCore
from spindle.actors.thread.messages import PrepareSample
from spindle.actors.turn.sampling import TurnPlan, request
from spindle.actors.turn.toolbox import Toolbox
from spindle.rpc.protocol.errors import internal_error, invalid_request
from spindle.storage.rollout.history import user_text_item
from spindle.storage.rollout.source import RolloutChanged
from spindle.storage.threads.summary import parent_of

if TYPE_CHECKING:
    from spindle.rpc.model.interface import Model, ModelRequest

RUNNING = (
    "What follows is asked about a copy of the conversation. The turn in it was still running when the copy was made, and "
    "goes on elsewhere. A call without a result in the copy shows as aborted."
)


async def prepare_sample(thread: ThreadCore, message: PrepareSample) -> None:
    """Answer with the model and the request; it offers no tools. Raises RpcError."""
    message.reply.resolve(await _prepared(thread, message))


async def _prepared(thread: ThreadCore, message: PrepareSample) -> tuple[Model, ModelRequest]:
    params, state, services = message.params, thread.state, thread.services
    conversation, running = state.conversation, thread.turn
    if state.ephemeral or parent_of(state.source) is not None:
        raise invalid_request("sample source must be a persistent root thread")
    if not conversation.stored:
        raise invalid_request(f"no rollout found for thread id {thread.thread_id}")
    if running is not None and not params.allow_in_progress_turn:
        raise invalid_request("sample source must be idle")
    try:
        snapshot = await conversation.snapshot(None)
        latest = running.id if running is not None else snapshot.ids[-1] if snapshot.ids else None
        snapshot.close()
        if params.expected_turn_id != latest:
            raise invalid_request("sample source turn must be the latest finished turn")
        history = await conversation.copied()
    except (OSError, RolloutChanged) as error:
        raise internal_error(f"thread {thread.thread_id} cannot be read: {error}") from error
    settings = state.settings if params.effort is None else evolve(state.settings, effort=params.effort)
    await services.model_lists.ready(settings.model_provider, state.config)
    listed = services.model_lists.entries(settings.model_provider, state.config)
    plan = TurnPlan(
        thread_id=thread.thread_id,
        turn_id=str(uuid7()),
        settings=settings,
        info=model_info(settings.model, state.config, listed),
        instructions=settings.base_instructions or services.instructions,
        originator=state.client.originator,
        user_agent=state.client.user_agent,
        toolbox=Toolbox(),
        client_metadata=params.responsesapi_client_metadata or {},
    )
    note = [user_text_item(RUNNING).json] if running is not None else []
    asked = request(plan, [*history, *note, user_text_item(params.prompt).json])
    return services.models.get(settings.model_provider, state.config), asked
