"""turn/*: start, steer and interrupt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import evolve

from spindle.actors.clients.identity import thread_id
from spindle.actors.clients.requests import based, based_input, check_profile, mapped
from spindle.actors.kernel.mailbox import Reply
from spindle.actors.registry.messages import ToThread
from spindle.actors.thread.messages import InterruptTurn, StartTurn, SteerTurn
from spindle.actors.turn.metadata import check_origin, given
from spindle.actors.turn.user_input import check_input
from spindle.rpc.protocol.errors import ThreadNotFound, invalid_request
from spindle.rpc.protocol.turns import (
    AdditionalContextEntry,
    TurnInterruptParams,
    TurnInterruptResponse,
    TurnStartParams,
    TurnStartResponse,
    TurnSteerParams,
    TurnSteerResponse,
    TurnToolOutput,
)

if TYPE_CHECKING:
    from spindle.actors.clients.caller import Caller
    from spindle.rpc.protocol.turn_settings import TurnSettingsUpdateParams


def start(caller: Caller, params: TurnStartParams, reply: Reply[Any]) -> None:
    """turn/start"""
    id = thread_id(params.thread_id)
    if params.additional_context or params.tool_output is not None:
        _check_extra(params.additional_context, params.tool_output, with_input=bool(params.input))
    given({}, params.responsesapi_client_metadata, params.responsesapi_client_metadata_patch)
    check_origin(rootTurnId=params.root_turn_id, parentTurnId=params.parent_turn_id, turnTrigger=params.turn_trigger)
    if params.tool_output is None:
        check_input(params.input, params.client_user_message_id)
    check_profile(params.permission_profile)
    if (content := based_input(caller, params.input)) is not params.input:
        params = evolve(based(caller, params, "cwd"), input=content)
    out = mapped(reply, TurnStartResponse)
    caller.backend.registry.route(ToThread(id, StartTurn(reply=out, params=params)))


def steer(caller: Caller, params: TurnSteerParams, reply: Reply[Any]) -> None:
    """turn/steer"""
    id = thread_id(params.thread_id)
    if not params.expected_turn_id:
        raise invalid_request("expectedTurnId must not be empty")
    if params.additional_context:
        _check_extra(params.additional_context)
    given({}, params.responsesapi_client_metadata, params.responsesapi_client_metadata_patch)
    check_input(params.input, params.client_user_message_id)
    out = mapped(reply, TurnSteerResponse)
    message = SteerTurn(
        reply=out,
        content=based_input(caller, params.input),
        expected_turn_id=params.expected_turn_id,
        client_id=params.client_user_message_id,
        context=params.additional_context,
        metadata=params.responsesapi_client_metadata,
        metadata_patch=params.responsesapi_client_metadata_patch,
    )
    caller.backend.registry.route(ToThread(id, message))


def _check_extra(
    context: Mapping[str, AdditionalContextEntry] | None, output: TurnToolOutput | None = None, *, with_input: bool = True
) -> None:
    from spindle.actors.turn.additional_context import check_output, context_items

    check_output(output, with_input=with_input)
    context_items(context)


def interrupt(caller: Caller, params: TurnInterruptParams, reply: Reply[Any]) -> None:
    """turn/interrupt"""
    id = thread_id(params.thread_id)
    out = mapped(reply, _interrupted)
    caller.backend.registry.route(ToThread(id, InterruptTurn(reply=out, turn_id=params.turn_id)))


def update_settings(caller: Caller, params: TurnSettingsUpdateParams, reply: Reply[Any]) -> None:
    """turn/settings/update: refused, as the reference does for its users."""
    id = thread_id(params.thread_id)
    if id not in caller.backend.loaded():
        raise ThreadNotFound(f"thread not found: {id}")
    raise invalid_request("turn settings updates require the step_model_switching feature")


def _interrupted(_: None) -> TurnInterruptResponse:
    return TurnInterruptResponse()
